"""What the training loop and the evaluation ask of a task."""

from typing import Any, Protocol

from torch import Tensor


class Task(Protocol):
    def loss_sum(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Sum (not mean) of the loss over the targets of a micro-batch, on the device, in at least float32."""
        ...

    def empty_sums(self) -> dict[str, Tensor]:
        """Zero sums on the CPU, to be filled by `add` and added up over ranks."""
        ...

    def add(self, sums: dict[str, Tensor], outputs: Tensor, labels: Tensor) -> None:
        """Count one micro-batch of an evaluation."""
        ...

    def scores(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """The figures of an evaluation from sums over all examples."""
        ...
