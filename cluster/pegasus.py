"""Transformers that write texts of others as Hugging Face folders: a PegasusForConditionalGeneration of `transformers`
has the same layers (arxiv.org/abs/1912.08777), gives the same logits, and writes the same tokens, the most probable one
each time. Nothing here imports it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cluster.config.models import Seq2Seq
from cluster.data.marks import end_of, mark_of
from cluster.decoding import MOST_BEYOND, NEVER_SAID
from cluster.errors import RunError
from cluster.huggingface import in_own_memory
from cluster.models.transformer import positions
from cluster.text.tokens.pipeline import PAD

MOST_PLACES = 1 << 17
"""Positions have a row each, in the encoder and in the decoder: 256 MiB at width 256."""
LAYERS = {
    "words": ["shared"],
    "norm_read": ["encoder.layer_norm"],
    "norm_written": ["decoder.layer_norm"],
    "queries_keys_values": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attended": ["self_attn.out_proj"],
    "norm_attention": ["self_attn_layer_norm"],
    "queries": ["encoder_attn.q_proj"],
    "keys_values": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
    "attended_reading": ["encoder_attn.out_proj"],
    "norm_reading": ["encoder_attn_layer_norm"],
    "wide": ["fc1"],
    "narrow": ["fc2"],
    "norm_feed_forward": ["final_layer_norm"],
}
"""Our layers, and what each is there: what we multiply at once is several."""
READING = ("words", "queries_keys_values", "queries", "keys_values", "wide")
"""Layers of which the columns stand for the width; of the others the rows, and the biases, do."""


def places_of(max_tokens: int) -> int:
    """Positions for texts of `max_tokens` and an end, and for all that greedy decoding may write of them; ours are
    without end. Raises RunError if they are too many to be written down."""
    places = max_tokens + 1 + MOST_BEYOND
    if places > MOST_PLACES:
        raise RunError(
            f"text.max_tokens ({max_tokens:,}) is too large: transformers keeps a row for each position, and "
            f"{MOST_PLACES:,} are the most that are exported. Train with at most {MOST_PLACES - 1 - MOST_BEYOND:,}; "
            "model.start_from takes the weights over."
        )
    return places


def pegasus_config(config: Seq2Seq, vocabulary_rows: int, places: int) -> dict[str, Any]:
    """`config.json`."""
    return {
        "architectures": ["PegasusForConditionalGeneration"],
        "model_type": "pegasus",
        "is_encoder_decoder": True,
        "vocab_size": vocabulary_rows,
        "d_model": config.embedding,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.feed_forward,
        "decoder_ffn_dim": config.feed_forward,
        "activation_function": "relu",
        "dropout": config.dropout,
        "activation_dropout": config.dropout,
        "attention_dropout": 0.0,
        "scale_embedding": True,
        "max_position_embeddings": places,
        "tie_word_embeddings": True,
        "dtype": "float32",
        "forced_eos_token_id": None,  # a Pegasus has row 1 there, if nothing is said
        **_rows(vocabulary_rows),
    }


def pegasus_generation(vocabulary_rows: int, places: int) -> dict[str, Any]:
    """`generation_config.json`: rows that `cluster/decoding.py` never says are not said there."""
    suppressed = [*NEVER_SAID, mark_of(vocabulary_rows)]
    return {**_rows(vocabulary_rows), "suppress_tokens": suppressed, "max_new_tokens": places - 1}


def _rows(vocabulary_rows: int) -> dict[str, int]:
    mark, end = mark_of(vocabulary_rows), end_of(vocabulary_rows)
    return {"pad_token_id": PAD, "bos_token_id": mark, "decoder_start_token_id": mark, "eos_token_id": end}


def pegasus_weights(weights: Mapping[str, Tensor], config: Seq2Seq, places: int) -> dict[str, Tensor]:
    """All weights, the width in another order: positions there are all sines, then all cosines, and ours take turns.

    Positions are written down too: those that `transformers` makes differ by rounding, by 2.7e-5 among the first 500 of
    width 256.
    """
    words = weights["words.weight"]
    order = torch.cat([torch.arange(0, config.embedding, 2), torch.arange(1, config.embedding, 2)])
    found = {"final_logits_bias": torch.zeros(1, len(words))}
    for side in ("encoder", "decoder"):
        found[f"model.{side}.embed_positions.weight"] = positions(places, config.embedding, words)[:, order]
    for name, value in weights.items():
        *block, layer, part = name.split(".")
        if layer not in READING:
            value = value[order]
        elif part == "weight":
            value = value[:, order]
        where = f"model.{block[0]}.layers.{block[1]}." if block else "model."
        for its, one in zip(LAYERS[layer], value.chunk(len(LAYERS[layer])), strict=True):
            found[f"{where}{its}.{part}"] = one
    return in_own_memory(found)
