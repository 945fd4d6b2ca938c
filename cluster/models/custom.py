"""Models from a user's own package (docs/custom.md)."""

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from cluster.config.schema import Custom
from cluster.errors import RecipeError


def build_custom(config: Custom, vocabulary_rows: int, outputs: int, tag_rows: int) -> nn.Module:
    """What the user's factory makes. Raises RecipeError if it cannot be found, fails, or makes something else."""
    sizes = {"vocabulary_rows": vocabulary_rows, "outputs": outputs} | ({"tag_rows": tag_rows} if tag_rows else {})
    try:
        model = import_path("model.factory", config.factory)(config.options, **sizes)
    except RecipeError:
        raise
    except Exception as error:  # somebody else's code: whatever it raises, the recipe named it
        raise RecipeError(
            f"model.factory = {config.factory!r} failed with options {config.options}: "
            f"{type(error).__name__}: {error}. It is called as factory(options, {', '.join(sizes)}) and gives a "
            "torch.nn.Module (docs/custom.md)."
        ) from error
    if not isinstance(model, nn.Module):
        raise RecipeError(
            f"model.factory = {config.factory!r} gave {type(model).__name__}, not a torch.nn.Module (docs/custom.md)."
        )
    return model


def import_path(setting: str, path: str) -> Callable[..., Any]:
    """The function that `package.module:function` names. Raises RecipeError."""
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"{setting} = {path!r} cannot be imported ({error}): install the package, or put its folder on PYTHONPATH."
        ) from error
    if not callable(found):
        raise RecipeError(f"{setting} = {path!r} is {type(found).__name__}, not a function.")
    function: Callable[..., Any] = found
    return function
