"""The same clock for every trainer: it hangs on the model and on torch's optimizers, not on anybody's callbacks."""

import time
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

WARM_STEPS = 10
"""Steps at the beginning that do not count for the speed (caches, allocators, compiled kernels)."""


class Clock:
    """Counts tokens in front of the model and steps behind the optimizer."""

    def __init__(self, total_steps: int) -> None:
        self.warm_steps = min(WARM_STEPS, total_steps // 2)
        self.total_steps = total_steps
        self.steps = 0
        self.real_tokens = self.padded_tokens = self.warm_tokens = 0
        self.first_step_seconds = self.began = self.ended = 0.0
        self.pending: list[torch.Tensor] = []
        register_optimizer_step_post_hook(self._stepped)

    def watch(self, model: nn.Module) -> nn.Module:
        model.register_forward_pre_hook(self._entered)
        return model

    def _entered(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        if model.training and self.steps < self.total_steps:
            tokens, lengths = inputs[:2]
            self.padded_tokens += tokens.numel()
            self.pending.append(lengths.detach())  # added up when the clock is read: a GPU need not be waited for

    def _stepped(self, *_: Any) -> None:
        self.steps += 1
        if self.steps in (1, self.warm_steps, self.total_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.real_tokens += sum(int(lengths.sum()) for lengths in self.pending)
            self.pending.clear()
            if self.steps == 1:
                self.first_step_seconds = time.time() - psutil.Process().create_time()
            if self.steps == self.warm_steps:
                self.began, self.warm_tokens = time.perf_counter(), self.real_tokens
            if self.steps == self.total_steps:
                self.ended = now

    def figures(self) -> dict[str, float]:
        if self.steps != self.total_steps:
            raise RuntimeError(f"{self.steps} steps were made, not {self.total_steps}: this is no fair comparison")
        return {
            "tokens_per_second": (self.real_tokens - self.warm_tokens) / (self.ended - self.began),
            "padding_share": 1 - self.real_tokens / self.padded_tokens,
            "first_step_seconds": self.first_step_seconds,
            "peak_memory_bytes": peak_memory_bytes(),
        }


def peak_memory_bytes() -> int:
    """Of the GPU (torch's allocator) if there is one, else of this process.

    Not `ru_maxrss`: Linux hands a parent's on to the program it starts.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM: this comparison needs Linux")
