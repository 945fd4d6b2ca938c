"""From settings to a module, and from a finished run's `model/` folder to a module that predicts."""

import json
from pathlib import Path
from typing import Any, assert_never

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import nn

from cluster.config.schema import Lstm, Mlp, Model
from cluster.errors import RunError
from cluster.models.bag import BagMlp
from cluster.models.lstm import LstmClassifier


def build_model(config: Model, vocabulary_rows: int, classes: int) -> nn.Module:
    """A freshly initialised model on the CPU; seed torch first. All take (tokens, lengths, weights) and give logits
    (B, C)."""
    match config:
        case Mlp():
            return BagMlp(config, vocabulary_rows, classes)
        case Lstm():
            return LstmClassifier(config, vocabulary_rows, classes)
        case _:
            assert_never(config)


def load_for_inference(folder: Path, device: str = "cpu") -> tuple[nn.Module, dict[str, Any]]:
    """The model of a finished run and the contents of its `model.json`. Raises RunError if the folder is not whole."""
    try:
        description = json.loads((folder / "model.json").read_bytes())
        weights = load_file(folder / "weights.safetensors", device="cpu")
    except OSError as error:
        raise RunError(
            f"{folder} holds no finished model ({error}): `muster resume {folder.parent}` finishes the run."
        ) from error
    except Exception as error:  # safetensors raises its own class for a torn file, json a ValueError
        raise RunError(f"The model in {folder} is damaged ({error}): train it again, or copy it again.") from error
    config = TypeAdapter(Model).validate_python(description["model"])
    with torch.device("cpu"):
        model = build_model(config, description["vocabulary_rows"], len(description["labels"]))
    model.load_state_dict(weights)
    return model.to(device).eval(), description
