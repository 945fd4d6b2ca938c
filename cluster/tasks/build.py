"""From settings and prepared data to a task, and from a model's `model.json` to one that predicts."""

from collections.abc import Mapping
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from cluster.config import tasks as settings
from cluster.config.packages import require_scorer
from cluster.config.schema import Recipe
from cluster.config.traits import keeps_whole_text, objective
from cluster.data.manifest import Manifest
from cluster.data.reading import shape_of
from cluster.data.windows import Shape
from cluster.decoding import Search
from cluster.errors import RunError
from cluster.overlap import Overlap
from cluster.tasks.answer import Answer
from cluster.tasks.classify import Classify
from cluster.tasks.embed import Embed
from cluster.tasks.language import Language
from cluster.tasks.multilabel import Multilabel
from cluster.tasks.regress import Regress
from cluster.tasks.rewrite import Rewrite
from cluster.tasks.tag import Tag
from cluster.tasks.task import Task


def build_task(recipe: Recipe, manifest: Manifest) -> Task:
    """The task of a run over prepared data. Raises DataError if its labels are not what the task takes, RecipeError if
    a package that it needs is not there."""
    config = recipe.task
    match config:
        case settings.Classify():
            weights = balanced(manifest) if config.class_weights == "balanced" else None
            return Classify(list(manifest.labels), weights, config.label_smoothing)
        case settings.Multilabel():
            return Multilabel(list(manifest.labels), config.threshold)
        case settings.Regress():
            targets = manifest.report["splits"]["train"]["targets"]
            return Regress(targets["mean"], targets["std"])
        case settings.Tag():
            return Tag(list(manifest.labels), config.spans)
        case settings.Answer():
            unanswerable = manifest.report["splits"]["train"]["unanswerable"] > 0
            return Answer(shape_of(config, recipe.model), config.answer_tokens, unanswerable, recipe.text.language)
        case settings.Language():
            return _language(recipe)
        case settings.Embed():
            return Embed()
        case settings.Rewrite():
            overlap = Overlap(config.scores, config.score_tokens, recipe.text.lower)
            require_scorer(config.scores)  # now, not after the training
            return Rewrite(Search(config.beam, config.length_penalty), overlap, config.label_smoothing)
        case _:
            assert_never(config)


def _language(recipe: Recipe) -> Language:
    aim = objective(recipe.model)
    return Language(aim, aim == "causal" and keeps_whole_text(recipe.text))


def balanced(manifest: Manifest) -> npt.NDArray[np.float64]:
    """documents / (classes * documents of the class), as scikit-learn's class_weight="balanced"."""
    counts = manifest.report["splits"]["train"]["labels"]
    documents = np.array([counts[label] for label in manifest.labels], dtype=np.float64)
    weights: npt.NDArray[np.float64] = documents.sum() / (len(documents) * documents)
    return weights


def build_for_inference(description: Mapping[str, Any]) -> Task:
    """The task of a finished run, from its `model.json`. Raises RunError."""
    labels = list(description["labels"])
    match description.get("task", {"kind": "classify"}):
        case {"kind": "classify"}:
            return Classify(labels)
        case {"kind": "multilabel", "threshold": float(threshold)}:
            return Multilabel(labels, threshold)
        case {"kind": "regress", "mean": float(mean), "deviation": float(deviation)}:
            return Regress(mean, deviation)
        case {"kind": "tag", "spans": bool(spans)}:
            return Tag(labels, spans)
        case {
            "kind": "answer",
            "windows": [int(window), int(stride), int(question), *marks],
            "answer_tokens": int(answer_tokens),
            "unanswerable": bool(unanswerable),
            "language": str(language),
            "threshold": float(threshold),
        }:
            return Answer(Shape(window, stride, question, *marks), answer_tokens, unanswerable, language, threshold)
        case {"kind": "language", "objective": str(objective), "whole_text": bool(whole_text)}:
            return Language(objective, whole_text)
        case {"kind": "embed"}:
            return Embed()
        case {"kind": "rewrite", "search": dict(search), "overlap": dict(overlap)}:
            return Rewrite(Search(**search), Overlap(**overlap))
        case other:
            raise RunError(f"model.json has the task {other!r}, unknown to this version of muster: train it again.")
