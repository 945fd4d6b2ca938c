"""Functions of a user's own package, named in a recipe."""

import importlib
from collections.abc import Callable
from typing import Any

from cluster.errors import RecipeError


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


def called(setting: str, path: str, options: dict[str, Any], sizes: dict[str, int]) -> Any:
    """What the function gives when it is called with the recipe's options and the sizes by name. Raises RecipeError if
    it cannot be found, or fails."""
    function = import_path(setting, path)
    try:
        return function(options, **sizes)
    except RecipeError:
        raise
    except Exception as error:  # somebody else's code: whatever it raises, the recipe named it
        raise RecipeError(
            f"{setting} = {path!r} failed with options {options}: {type(error).__name__}: {error}. It is called as "
            f"{path.partition(':')[2]}(options, {', '.join(sizes)}) (docs/custom.md)."
        ) from error


def sizes(vocabulary_rows: int, outputs: int, tag_rows: int, affix_rows: int) -> dict[str, int]:
    """What those functions are told beside the options: `tag_rows` and `affix_rows` only if the documents have such."""
    beside = {"tag_rows": tag_rows, "affix_rows": affix_rows}
    return {"vocabulary_rows": vocabulary_rows, "outputs": outputs} | {
        name: rows for name, rows in beside.items() if rows
    }
