"""Texts as the arrays that an exported ONNX model takes. Needs no torch: `muster export --format onnx`.

    encoder = Encoder.load(Path("sentiment-onnx"))
    session = onnxruntime.InferenceSession("sentiment-onnx/model.onnx")
    outputs, answers = session.run(None, feeds(encoder, ["a fine film", "a waste of time"]))

B texts, T tokens of the longest.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.text.tokens.given import Words
from cluster.text.tokens.pipeline import Encoder

Feeds = dict[str, npt.NDArray[Any]]


def feeds(encoder: Encoder, texts: Sequence[str | Words]) -> Feeds:
    """`tokens` int64 [B, T], 0 behind each text's end, and beside them: of a bag `weights` float32 [B, T], of a
    sequence `lengths` int64 [B] and, if the model reads tags, marks or affixes, `beside` int64 [B, T] or [B, T, 4]."""
    documents = encoder.encode(texts)
    lengths = documents.lengths.astype(np.int64)
    inside = np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None]
    found: Feeds = {"tokens": _rows(documents.tokens, inside, np.int64)}
    beside = documents.beside
    if encoder.weighted:
        assert beside is not None
        return found | {"weights": _rows(beside, inside, np.float32)}
    found["lengths"] = lengths
    if beside is not None:
        apart = beside if beside.dtype != np.uint64 else beside[..., None].view("<u2")
        found["beside"] = _rows(apart, inside, np.int64)
    return found


def _rows(values: npt.NDArray[Any], inside: npt.NDArray[np.bool_], kind: type[Any]) -> npt.NDArray[Any]:
    rows = np.zeros(inside.shape + values.shape[1:], dtype=kind)
    rows[inside] = values
    return rows
