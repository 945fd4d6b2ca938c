"""Real ranks with pages, started and watched by a test."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from cluster.pulse.clock import Clock
from cluster.pulse.page import Pages

LOOK_SECONDS = 0.25


class Ranks:
    """So many processes of one command, as an agent would start them."""

    def __init__(self, count, command, log):
        self.pages, self.log = Pages(range(count)), log
        before = signal.getsignal(signal.SIGUSR2)
        handed_down = dict(self.pages.hand_down())
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        place = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.processes = []
        for rank in range(count):
            where = {name: str(value) for name, value in (place | {"RANK": rank, "LOCAL_RANK": rank}).items()}
            with open(log / f"rank-{rank}.log", "w") as file:
                environment = os.environ | handed_down | where | {"GLOO_SOCKET_IFNAME": "lo"}
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, *map(str, command)], stdout=file, stderr=subprocess.STDOUT, env=environment
                    )
                )
        signal.signal(signal.SIGUSR2, before)
        self.clock = Clock(self.pages, LOOK_SECONDS)

    def said(self):
        return "\n".join(path.read_text() for path in sorted(self.log.glob("rank-*.log")))

    def until(self, wanted, seconds=120):
        """Waits for what a test waits for; nobody may end meanwhile."""
        end = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < end and all(one.poll() is None for one in self.processes), self.said()
            time.sleep(0.02)

    def until_step(self, step, rank=0):
        self.until(lambda: self.pages.pages[rank].read().step >= step)

    def until_stuck(self, seconds):
        """What the first look that finds anything finds, and how long that took."""
        began = time.monotonic()
        while not (stuck := self.clock.look()):
            assert time.monotonic() - began < seconds, self.clock.snapshot()
            time.sleep(LOOK_SECONDS)
        return stuck, time.monotonic() - began

    def end(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self.pages.close()


@contextlib.contextmanager
def ranks(count, command, log):
    started = Ranks(count, command, log)
    try:
        yield started
    finally:
        started.end()
