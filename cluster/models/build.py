"""From settings to a module, and from a finished run's `model/` folder to a module that predicts."""

import json
from pathlib import Path
from typing import Any, assert_never

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import nn

from cluster.config.models import (
    Bert,
    Cnn,
    Custom,
    Embeds,
    Gpt,
    Gru,
    Linear,
    Lstm,
    Mlp,
    Model,
    Pretrained,
    Seq2Seq,
    Seq2SeqLstm,
    Skipgram,
    Transformer,
)
from cluster.data.manifest import ANSWER_OUTPUTS, TARGETED
from cluster.errors import RecipeError, RunError
from cluster.models.bag import BagLinear, BagMlp, EmbeddingMlp
from cluster.models.bert import Encoder
from cluster.models.cnn import CnnClassifier
from cluster.models.custom import build_custom
from cluster.models.gpt import Decoder
from cluster.models.layers import Beside, word_embedding
from cluster.models.pretrained import PretrainedModel
from cluster.models.recurrent import RecurrentClassifier
from cluster.models.seq2seq import TransformerWriter
from cluster.models.seq2seq_lstm import LstmWriter
from cluster.models.skipgram import SkipgramModel
from cluster.models.transformer import TransformerClassifier

LAST_LAYER = "output."
"""How the names of every model's last layer begin: what depends on the labels."""
FROZEN_ROWS = "frozen_rows"
"""Buffer (rows,) u8 of a word embedding: 1 where `model.freeze_vectors` holds a row."""


def build_model(
    config: Model, vocabulary_rows: int, outputs: int, tag_rows: int = 0, affix_rows: int = 0, each_token: bool = False
) -> nn.Module:
    """A freshly initialised model on the CPU; seed torch first. All take (tokens, lengths, what stands beside the
    tokens: weights of a bag, tags or affixes of a sequence, or None) and give outputs (B, C), or with `each_token`
    (B, T, C); language models take the numbers of the tokens' documents beside them, those that write a text the
    tokens before those asked for, and both give Spoken. Raises RecipeError for a custom model that cannot be made."""
    model = _built(config, vocabulary_rows, outputs, Beside(tag_rows, affix_rows), each_token)
    if isinstance(config, Embeds) and config.freeze_vectors:
        word_embedding(model).register_buffer(FROZEN_ROWS, torch.zeros(vocabulary_rows, dtype=torch.uint8))
    return model


def _built(config: Model, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool) -> nn.Module:
    match config:
        case Linear() | Mlp() if each_token:
            raise RecipeError(f"the {config.kind} reads a bag of words: it has nothing to say of each word.")
        case Linear():
            return BagLinear(vocabulary_rows, outputs)
        case Mlp():
            if config.embedding == "none":
                return BagMlp(config, vocabulary_rows, outputs)
            return EmbeddingMlp(config, config.embedding, vocabulary_rows, outputs)
        case Cnn():
            return CnnClassifier(config, vocabulary_rows, outputs, beside, each_token)
        case Lstm() | Gru():
            return RecurrentClassifier(config, vocabulary_rows, outputs, beside, each_token)
        case Transformer():
            return TransformerClassifier(config, vocabulary_rows, outputs, beside, each_token)
        case Gpt():
            return Decoder(config, vocabulary_rows)
        case Bert():
            return Encoder(config, vocabulary_rows)
        case Pretrained():
            return PretrainedModel(config, outputs, each_token)
        case Seq2Seq():
            return TransformerWriter(config, vocabulary_rows)
        case Seq2SeqLstm():
            return LstmWriter(config, vocabulary_rows)
        case Skipgram():
            return SkipgramModel(config, vocabulary_rows)
        case Custom():
            return build_custom(config, vocabulary_rows, outputs, beside, each_token)
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
        task = description.get("task", {}).get("kind")
        outputs = ANSWER_OUTPUTS if task == "answer" else len(description["labels"]) or 1  # a number has no label
        model = build_model(
            config,
            description["vocabulary_rows"],
            outputs,
            description.get("tag_rows", 0),
            description.get("affix_rows", 0),
            each_token=task in TARGETED,
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"The weights in {folder} are not those of its model.json, or of another version of muster: train it again."
        ) from error
    return model.to(device).eval(), description
