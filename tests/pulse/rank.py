"""A rank with a pulse and no training: what it does is its first argument."""

import ctypes
import datetime
import os
import sys
import time

import torch
import torch.distributed as dist

from cluster.training.pulse import begin

LONG_AGO = datetime.timedelta(minutes=5)


def main():
    rank = int(os.environ["RANK"])
    pulse = begin(rank)
    match sys.argv[1]:
        case "starts, the interpreter held":
            hold_the_interpreter()
        case "steps":
            take_steps(pulse)
        case "steps, then holds the interpreter":
            pulse.first(0, compiles=False)
            pulse.tick(1)
            hold_the_interpreter()
        case "meets, but rank 1 skips a collective":
            meet(rank, pulse)


def take_steps(pulse):
    pulse.first(0, compiles=False)
    for step in range(1, 100_000):
        time.sleep(0.01)
        pulse.tick(step)


def hold_the_interpreter():
    while True:
        ctypes.PyDLL(None).sleep(600)  # a signal ends it early


def meet(rank, pulse):
    dist.init_process_group("gloo", timeout=LONG_AGO)
    pulse.first(0, compiles=False)
    for step in range(1, 6):
        dist.all_reduce(torch.zeros(3))
        pulse.tick(step)
    if rank == 1:
        skips_the_collective()
    dist.all_reduce(torch.zeros(4))


def skips_the_collective():
    time.sleep(10_000)


if __name__ == "__main__":
    main()
