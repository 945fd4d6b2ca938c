"""Classifiers and taggers as ONNX graphs (onnx.ai), which run without muster and without torch.

B texts, T tokens of the longest, C labels, H width of a hidden layer.
"""

import importlib.metadata
import importlib.util
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cluster.errors import DataError, RunError
from cluster.models.bag import BagLayer, BagLinear, BagMlp, EmbeddingMlp
from cluster.models.build import load_for_inference
from cluster.tasks.build import build_for_inference
from cluster.tasks.classify import Classify
from cluster.tasks.multilabel import Multilabel
from cluster.tasks.regress import Regress
from cluster.tasks.tag import Tag
from cluster.tasks.task import Task

OPSET = 17
"""Of 2022: every runtime that is in use knows it."""
TOLERANCE = 1e-4
"""How far answers may be from ours."""
SIZES = ((1, 1), (3, 7), (5, 33))
"""Texts and tokens of the longest: what is compared. The second is what is traced."""


@dataclass(frozen=True)
class Input:
    """One that the graph takes."""

    name: str
    type: str
    shape: tuple[str | int, ...]
    meaning: str

    def drawn(self, texts: int, tokens: int, rows: int, chance: np.random.Generator) -> npt.NDArray[Any]:
        """An example, below `rows` where it is a number of something."""
        sizes = {"texts": texts, "tokens": tokens}
        shape = [sizes[size] if isinstance(size, str) else size for size in self.shape]
        match self.name:
            case "lengths":
                return chance.permutation(np.linspace(tokens, 1, texts).astype(np.int64))
            case "weights":
                return chance.random(shape, dtype=np.float32)
            case _:
                return chance.integers(0, rows, shape)


class Answers(nn.Module):
    """What the model gives, and what it means: probabilities, or numbers."""

    def __init__(self, model: nn.Module, task: Task, takes_beside: bool) -> None:
        super().__init__()
        self.model, self.task, self.takes_beside = model, task, takes_beside

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outputs = self.model(tokens_BT, lengths_B, beside)
        # Tracing leaves out an input that nothing reads, as a tagger that reads forward only does not read lengths:
        # every graph is to take what `inputs.json` says.
        return self._said(outputs + (lengths_B.sum() * 0).to(outputs.dtype))

    def _said(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        match self.task:
            case Regress(mean=mean, deviation=deviation):
                return outputs, outputs[:, 0] * deviation + mean
            case Multilabel():
                return outputs, outputs.sigmoid()
            case _:
                return outputs, outputs.softmax(dim=-1)


class PaddedBag(Answers):
    """The same of a model over bags, from rows padded with tokens of no weight: ONNX has no embedding bags."""

    def forward(self, tokens_BT: Tensor, weights_BT: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        match self.model:
            case BagLinear() as model:
                return self._said(_layer(model.output, tokens_BT, weights_BT))
            case BagMlp() as model:
                return self._said(model.output(model.hidden(_layer(model.first, tokens_BT, weights_BT))))
            case EmbeddingMlp() as model:
                totals_B1 = weights_BT.sum(dim=1, keepdim=True)
                mean_BH = _sums(model.words, tokens_BT, weights_BT) / torch.where(totals_B1 > 0, totals_B1, 1.0)
                return self._said(model.output(model.hidden(model.first(mean_BH))))
        raise AssertionError(type(self.model).__name__)


def _layer(layer: BagLayer, tokens_BT: Tensor, weights_BT: Tensor) -> Tensor:
    return _sums(layer.words, tokens_BT, weights_BT) + layer.bias


def _sums(words: nn.EmbeddingBag, tokens_BT: Tensor, weights_BT: Tensor) -> Tensor:
    """(B, H): the rows of each text's words, each times its weight."""
    rows_BTH = nn.functional.embedding(tokens_BT, words.weight)
    return torch.matmul(weights_BT[:, None], rows_BTH)[:, 0]


def write_graph(folder: Path, work: Path) -> dict[str, Any]:
    """Writes `model.onnx` and `inputs.json` of a finished model's folder into `work`; gives what `inputs.json` holds.

    The graph is compared with the model where onnxruntime is installed. Raises RunError for a model that no graph can
    be made of, or whose graph gives other answers; DataError without the package onnx.
    """
    if importlib.util.find_spec("onnx") is None:
        raise DataError("--format onnx needs the package onnx: pip install 'muster-train[onnx]'")
    model, description = load_for_inference(folder)
    task = build_for_inference(description)
    if not isinstance(task, Classify | Multilabel | Regress | Tag):
        kind = description["task"]["kind"]
        raise RunError(f'{folder}: task.kind = "{kind}" has no form in ONNX here; classifiers and taggers have.')
    inputs = _inputs(description)
    is_bag = inputs[-1].name == "weights"
    if is_bag and not isinstance(model, BagLinear | BagMlp | EmbeddingMlp):
        raise RunError(f"{folder}: a custom model over bags has no form in ONNX here; one over sequences has.")
    graph = (PaddedBag if is_bag else Answers)(model, task, inputs[-1].name == "beside").eval()
    rows = _rows(description)
    _export(graph, _example(inputs, *SIZES[1], rows), [one.name for one in inputs], work / "model.onnx", folder)
    answers = ["texts", "tokens", "labels"] if isinstance(task, Tag) else ["texts", "labels"]
    contents = {
        "format": 1,
        "task": task.describe(),
        "labels": description["labels"],
        "inputs": [vars(one) for one in inputs],
        "outputs": [
            {"name": "outputs", "type": "float32", "meaning": "of the last layer"},
            {
                "name": "answers",
                "type": "float32",
                "shape": ["texts"] if isinstance(task, Regress) else answers,
                "meaning": "the number" if isinstance(task, Regress) else "probabilities",
            },
        ],
        "opset": OPSET,
        "compared": _compared(graph, inputs, rows, work / "model.onnx"),
    }
    (work / "inputs.json").write_text(json.dumps(contents, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return contents


def _inputs(description: dict[str, Any]) -> list[Input]:
    tokens = Input("tokens", "int64", ("texts", "tokens"), "rows of vocabulary.json; 0 behind a text's end")
    if description.get("layout") == "bag":
        weights = Input("weights", "float32", ("texts", "tokens"), "of each token of the bag; 0 behind its end")
        return [tokens, weights]
    found = [tokens, Input("lengths", "int64", ("texts",), "tokens of each text")]
    if description.get("affix_rows", 0):
        meaning = "tag or mark, first letter, ending and shape of each token"
        found.append(Input("beside", "int64", ("texts", "tokens", 4), meaning))
    elif description.get("tag_rows", 0):
        found.append(Input("beside", "int64", ("texts", "tokens"), "tag or mark of each token"))
    return found


def _rows(description: dict[str, Any]) -> dict[str, int]:
    """Below what the numbers of an input are."""
    tables = [size for size in (description.get("tag_rows", 0), description.get("affix_rows", 0)) if size]
    return {"tokens": int(description["vocabulary_rows"]), "beside": min(tables, default=1)}


def _example(inputs: list[Input], texts: int, tokens: int, rows: dict[str, int]) -> list[npt.NDArray[Any]]:
    chance = np.random.default_rng(1)
    return [one.drawn(texts, tokens, rows.get(one.name, 1), chance) for one in inputs]


def _export(graph: nn.Module, example: list[npt.NDArray[Any]], names: list[str], path: Path, folder: Path) -> None:
    sizes = {0: "texts", 1: "tokens"}
    axes = {name: {0: "texts"} if name == "lengths" else sizes for name in names}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of values that tracing holds fast: what is written is compared below
            # Not the newer exporter: torch 2.13's holds the number of tokens fast where a layer reads backwards.
            torch.onnx.export(
                graph, tuple(map(torch.from_numpy, example)), str(path), dynamo=False, opset_version=OPSET,
                input_names=names, output_names=["outputs", "answers"], dynamic_axes=axes,
            )  # fmt: skip
    except (RuntimeError, TypeError, ValueError) as error:  # torch's own, of which some are RuntimeErrors
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"{folder}: no ONNX graph can be made of this model ({reason}).") from error


def _compared(graph: nn.Module, inputs: list[Input], rows: dict[str, int], path: Path) -> dict[str, Any] | None:
    """How far the graph's answers are from the model's at most, over several sizes; None without onnxruntime. Raises
    RunError."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    furthest = 0.0
    for texts, tokens in SIZES:
        example = _example(inputs, texts, tokens, rows)
        with torch.inference_mode():
            wanted = graph(*map(torch.from_numpy, example))[1].numpy()
        found = session.run(["answers"], dict(zip([one.name for one in inputs], example, strict=True)))[0]
        if wanted.ndim == 3:  # what is said of padding means nothing
            inside = np.arange(tokens) < example[1][:, None]
            wanted, found = wanted[inside], found[inside]
        furthest = max(furthest, float(np.abs(wanted - found).max() / max(1.0, np.abs(wanted).max())))
    if not furthest <= TOLERANCE:
        raise RunError(f"the ONNX graph's answers are {furthest:.2g} from the model's, more than {TOLERANCE:g}.")
    return {"onnxruntime": importlib.metadata.version("onnxruntime"), "largest_difference": furthest}
