"""How big things will be, before anything is allocated."""

from itertools import pairwise
from typing import assert_never

from cluster.config.schema import Lstm, Mlp, Model


def parameter_count(model: Model, vocabulary_rows: int, classes: int) -> int:
    """Number of trained parameters of a model with so many embedding rows and outputs."""
    match model:
        case Mlp():
            widths = (*model.hidden, classes)
            return vocabulary_rows * model.hidden[0] + model.hidden[0] + sum(a * b + b for a, b in pairwise(widths))
        case Lstm():
            # Four gates, each with input weights, recurrent weights and two biases (torch keeps both).
            inputs = (model.embedding, *[model.hidden] * (model.layers - 1))
            gates = sum(4 * model.hidden * (width + model.hidden + 2) for width in inputs)
            return vocabulary_rows * model.embedding + gates + model.hidden * classes + classes
        case _:
            assert_never(model)
