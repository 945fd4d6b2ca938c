"""What is done to each token, one after the other."""

from collections.abc import Callable
from typing import Any, Union

Step = Union["Pipeline", Callable[..., Any]]


class Pipeline:
    """Calls a function with a value, or with each element of a list, then those that were added behind it."""

    def __init__(self, convert_token: Callable[..., Any] | None = None) -> None:
        self.convert_token: Callable[..., Any] = _same if convert_token is None else convert_token
        self.pipes: list[Pipeline] = [self]

    def __call__(self, x: Any, *args: Any) -> Any:
        for pipe in self.pipes:
            x = pipe.call(x, *args)
        return x

    def call(self, x: Any, *args: Any) -> Any:
        """What the first function alone makes of it."""
        if isinstance(x, list):
            return [self.convert_token(token, *args) for token in x]
        return self.convert_token(x, *args)

    def add_before(self, pipeline: Step) -> "Pipeline":
        """Puts functions before those that are there; gives itself."""
        self.pipes = [*_pipes(pipeline), *self.pipes]
        return self

    def add_after(self, pipeline: Step) -> "Pipeline":
        """Puts functions behind those that are there; gives itself."""
        self.pipes = [*self.pipes, *_pipes(pipeline)]
        return self


def _same(token: Any, *_: Any) -> Any:
    return token


def _pipes(step: Step) -> list[Pipeline]:
    return step.pipes if isinstance(step, Pipeline) else [Pipeline(step)]
