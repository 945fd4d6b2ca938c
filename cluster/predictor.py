"""A finished run's model with its encoder: texts in, numbers out.

    predictor = Predictor("runs/sentiment")
    predictor(["a fine film"])            # array of probabilities, (1, 2)
    predictor.predict(["a fine film"])    # [{"label": "positive", "probability": 0.97, "probabilities": {...}}]

B texts, C labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cluster.errors import RunError
from cluster.models.build import load_for_inference
from cluster.runs import model_folder
from cluster.tasks.build import build_for_inference
from cluster.tasks.multilabel import Multilabel
from cluster.tasks.regress import Regress
from cluster.tasks.task import Answering
from cluster.text.tokens.pipeline import Documents, Encoder
from cluster.training.checkpoint import verify_folder

# Padding counted; one forward of a recurrent model holds a few hidden states for each.
FORWARD_TOKENS = 32_768
DIGITS = 6

Found = npt.NDArray[np.float64]


class Predictor:
    """All that a finished run's `model/` folder holds, at work on one device. Not for several threads at once.

    `folder` is that of the run, or its `model/`. Raises RunError (no finished run, a damaged model), DataError.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder, self.device = model_folder(Path(folder)), device
        verify_model(self.folder)
        self.encoder = Encoder.load(self.folder)
        self._model, description = load_for_inference(self.folder, device)
        self._model.eval()
        task = build_for_inference(description)
        if not isinstance(task, Answering):
            raise RunError(
                f"{self.folder} holds a language model, which says no label of a text: use `muster predict`."
            )
        self.task = task
        self.labels: list[str] = description["labels"]
        layout = "bag" if self.encoder.weighted else "sequence"
        if description.get("layout", layout) != layout:
            raise RunError(
                f"{self.folder}: encoder.json and model.json belong to different runs. Copy the model again."
            )

    def __call__(self, texts: Sequence[str]) -> Found:
        """The probability of each label for each text (B, C); of a regression the number for each text (B,)."""
        return self.of(self.encoder.encode(texts))

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """An answer for each text, as `muster predict --json` writes it."""
        return self.named(self(texts))

    def of(self, documents: Documents) -> Found:
        """As `__call__`, for documents that this model's encoder made."""
        count = documents.lengths.size
        found = np.zeros(count if isinstance(self.task, Regress) else (count, len(self.labels)))
        with torch.inference_mode():
            for chosen in _forwards(documents):
                found[chosen] = self.task.answers(self._model(*self._batch(documents, chosen)))
        return found

    def named(self, found: Found) -> list[dict[str, Any]]:
        """What `__call__` found, as answers: a label; several labels; or a value."""
        wide = found.ndim == 2
        rounded = [dict(zip(self.labels, row, strict=True)) for row in found.round(DIGITS).tolist()] if wide else []
        match self.task:
            case Regress():
                return [{"value": value} for value in found.round(DIGITS).tolist()]
            case Multilabel():
                given = (found >= self.task.threshold).tolist()
                return [
                    {"labels": [label for label, there in zip(row, has, strict=True) if there], "probabilities": row}
                    for row, has in zip(rounded, given, strict=True)
                ]
            case _:
                best = [self.labels[number] for number in found.argmax(axis=1).tolist()] if rounded else []
                return [
                    {"label": label, "probability": row[label], "probabilities": row}
                    for label, row in zip(best, rounded, strict=True)
                ]

    def _batch(self, documents: Documents, chosen: npt.NDArray[np.int64]) -> tuple[torch.Tensor | None, ...]:
        """What `forward` takes for these documents: tokens, lengths, and the weights or tags beside the tokens."""
        ends = np.cumsum(documents.lengths, dtype=np.int64)
        lengths = documents.lengths[chosen].astype(np.int64)
        places = np.concatenate([np.arange(ends[i] - documents.lengths[i], ends[i]) for i in chosen]).astype(np.int64)
        tokens = documents.tokens[places].astype(np.int64)
        beside = None if documents.beside is None else documents.beside[places]
        if self.encoder.weighted:
            return self._sent(tokens), self._sent(lengths), self._sent(beside)
        inside = np.arange(max(1, int(lengths.max()))) < lengths[:, None]
        tags = None if beside is None else _padded(beside.astype(np.int64), inside)
        return self._sent(_padded(tokens, inside)), self._sent(lengths), self._sent(tags)

    def _sent(self, array: npt.NDArray[Any] | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array).to(self.device)


def _padded(values: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    rows = np.zeros(inside.shape, dtype=np.int64)
    rows[inside] = values
    return rows


def _forwards(documents: Documents) -> Iterator[npt.NDArray[np.int64]]:
    """Which documents to run together: those of like length under the token limit (a bag has no padding, but is
    as large)."""
    order = np.argsort(documents.lengths, kind="stable")[::-1]
    first = 0
    while first < order.size:
        rows = max(1, FORWARD_TOKENS // max(1, int(documents.lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


def verify_model(folder: Path) -> None:
    """Compare what `predict` reads with the hashes that training wrote beside it, if any. Raises RunError."""
    if not (folder / "manifest.json").exists():
        return  # a model put together by other hands
    try:
        verify_folder(folder)
    except RunError as error:
        raise RunError(f"The model cannot be trusted: {error} Train it again, or copy it again.") from error
