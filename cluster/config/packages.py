"""Packages that not every run needs, and that a run meets only once its data is prepared: are they there?"""

import importlib.util

from cluster.config.models import Pretrained
from cluster.config.schema import Recipe
from cluster.config.tasks import Rewrite
from cluster.errors import RecipeError

SCORERS = {"bleu": ("sacrebleu", "sacrebleu"), "rouge": ("rouge_score", "rouge-score")}
"""Module and package that each kind of score needs."""


def require_packages(recipe: Recipe) -> None:
    """Raises RecipeError if a package that the recipe needs is absent, so that nobody prepares in vain."""
    if isinstance(recipe.task, Rewrite):
        require_scorer(recipe.task.scores)
    if isinstance(recipe.model, Pretrained):
        _require("transformers", 'model.kind = "pretrained"', "transformers", "hf")


def require_scorer(scores: str) -> None:
    """Raises RecipeError if the package that counts these scores (`task.scores`) is absent."""
    module, package = SCORERS[scores]
    _require(module, f'task.scores = "{scores}"', package, "text")


def _require(module: str, setting: str, package: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise RecipeError(
            f'{setting}: {package} is not installed. Install it (pip install "muster-train[{extra}]", or pip install '
            f"{package})."
        )
