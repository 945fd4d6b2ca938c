"""Language models as Hugging Face folders: weights and settings under the names that `transformers` reads.

A causal model is a LlamaForCausalLM, a masked one a BertForMaskedLM; `transformers` gives the same logits. Nothing of
that imports it; pretrained models, which are its own, it saves itself. A tokenizer comes along where the tokens are
byte-pair encoding. What writes texts of others: `cluster/pegasus.py`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluster.config.models import Bert, Gpt
from cluster.config.pretrained import names_of
from cluster.data.marks import mark_of
from cluster.models import bert, gpt
from cluster.models.build import load_for_inference
from cluster.models.language import INITIAL_DEVIATION
from cluster.models.pretrained import PretrainedModel, saved
from cluster.text.tokens.model import ModelPieces
from cluster.text.tokens.pieces import Pieces
from cluster.text.tokens.pipeline import FIRST_WORD, PAD, UNKNOWN, Encoder

Weights = Mapping[str, Tensor]
SEGMENTS = 2
"""Kinds of segments that BERT tells apart; our models know none, so both are zero."""
ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu"}


def llama_config(config: Gpt, vocabulary_rows: int) -> dict[str, Any]:
    """`config.json` of a causal model."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary_rows,
        "hidden_size": config.embedding,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads if config.key_heads == "heads" else config.key_heads,
        "head_dim": config.embedding // config.heads,
        "hidden_act": ACTIVATIONS[config.activation],
        "max_position_embeddings": config.context,
        "rms_norm_eps": gpt.NORM_EPSILON,
        "rope_theta": gpt.ROTARY_BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": gpt.ROTARY_BASE},  # as transformers 5 has it
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": mark_of(vocabulary_rows),
        "eos_token_id": mark_of(vocabulary_rows),
        "pad_token_id": PAD,
        **_always(),
    }


def llama_weights(weights: Weights, config: Gpt) -> dict[str, Tensor]:
    """The weights of a causal model, what we multiply at once in their several parts."""
    width = config.embedding // config.heads
    heads = (config.heads if config.key_heads == "heads" else config.key_heads) * width
    found = {"model.embed_tokens.weight": weights["words.weight"], "model.norm.weight": weights["norm.weight"]}
    for number in range(config.layers):
        ours, theirs = f"blocks.{number}.", f"model.layers.{number}."
        together = weights[ours + "queries_keys_values.weight"]
        query, key, value = torch.split(together, [config.embedding, heads, heads])
        gate, wide = weights[ours + "gate_and_wide.weight"].chunk(2)
        found |= {
            theirs + "self_attn.q_proj.weight": query,
            theirs + "self_attn.k_proj.weight": key,
            theirs + "self_attn.v_proj.weight": value,
            theirs + "self_attn.o_proj.weight": weights[ours + "attended.weight"],
            theirs + "mlp.gate_proj.weight": gate,
            theirs + "mlp.up_proj.weight": wide,
            theirs + "mlp.down_proj.weight": weights[ours + "narrow.weight"],
            theirs + "input_layernorm.weight": weights[ours + "norm_attention.weight"],
            theirs + "post_attention_layernorm.weight": weights[ours + "norm_feed_forward.weight"],
        }
    return in_own_memory(found)


def bert_config(config: Bert, vocabulary_rows: int) -> dict[str, Any]:
    """`config.json` of a masked model."""
    return {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": vocabulary_rows,
        "hidden_size": config.embedding,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": config.context,
        "type_vocab_size": SEGMENTS,
        "layer_norm_eps": bert.NORM_EPSILON,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        **_always(),
    }


def bert_weights(weights: Weights, config: Bert) -> dict[str, Tensor]:
    """The weights of a masked model."""
    words = weights["words.weight"]
    found = {
        "bert.embeddings.word_embeddings.weight": words,
        "bert.embeddings.position_embeddings.weight": weights["places.weight"],
        "bert.embeddings.token_type_embeddings.weight": torch.zeros(SEGMENTS, words.shape[1]),
        "cls.predictions.bias": weights["bias"],
    }
    names = {
        "norm": "bert.embeddings.LayerNorm",
        "transform": "cls.predictions.transform.dense",
        "norm_transform": "cls.predictions.transform.LayerNorm",
    }
    for number in range(config.layers):
        ours, theirs = f"blocks.{number}.", f"bert.encoder.layer.{number}."
        names |= {
            ours + "attended": theirs + "attention.output.dense",
            ours + "norm_attention": theirs + "attention.output.LayerNorm",
            ours + "wide": theirs + "intermediate.dense",
            ours + "narrow": theirs + "output.dense",
            ours + "norm_feed_forward": theirs + "output.LayerNorm",
        }
        for part in ("weight", "bias"):
            parts = weights[f"{ours}queries_keys_values.{part}"].chunk(3)
            for name, one in zip(("query", "key", "value"), parts, strict=True):
                found[f"{theirs}attention.self.{name}.{part}"] = one
    for mine, its in names.items():
        found |= {f"{its}.{part}": weights[f"{mine}.{part}"] for part in ("weight", "bias")}
    return in_own_memory(found)


def _always() -> dict[str, Any]:
    return {"initializer_range": INITIAL_DEVIATION, "dtype": "float32", "torch_dtype": "float32"}


def in_own_memory(weights: Weights) -> dict[str, Tensor]:
    """Each in memory of its own, as safetensors wants it."""
    return {name: value.clone().contiguous() for name, value in weights.items()}


@dataclass(frozen=True)
class Specials:
    """The rows that no text becomes, as a tokenizer has them."""

    names: tuple[str, str, str, str]
    """Of padding, unknown words, and the last two rows."""
    roles: Mapping[str, int]
    """What `transformers` calls some of them: places in `names`."""
    around: tuple[Sequence[int], Sequence[int]]
    """Those before a text, and those behind it: places in `names`."""
    in_texts: bool = True
    """May a text hold them by name? Else what looks like one is text."""


CAUSAL = Specials(
    ("<pad>", "<unk>", "<|endoftext|>", "<mask>"), {"bos_token": 2, "eos_token": 2}, around=((2,), ())
)  # fmt: skip
MASKED = Specials(("[PAD]", "[UNK]", "[CLS]", "[MASK]"), {"cls_token": 2, "mask_token": 3}, around=((2,), ()))
PAIRS = Specials(
    ("<pad>", "<unk>", "<s>", "</s>"), {"bos_token": 2, "eos_token": 3}, around=((), (3,)), in_texts=False
)  # fmt: skip


def tokenizer_files(encoder: Encoder, specials: Specials, most_tokens: int) -> dict[str, Any]:
    """The contents of `tokenizer.json` and `tokenizer_config.json`; none where the tokens are not byte-pair encoding.

    The rows are those of the model. Around a text stands what does in training.
    """
    if not isinstance(encoder.pieces, Pieces):
        return {}
    names, last = _names(encoder.words, specials.names), mark_of(encoder.rows)
    special = dict(zip(names, (PAD, UNKNOWN, last, last + 1), strict=True))
    roles = {"pad_token": 0, "unk_token": 1, **specials.roles}
    contents = copy.deepcopy(encoder.pieces.contents)
    vocabulary = {word: row for row, word in enumerate(encoder.words, start=FIRST_WORD)} | special
    contents["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda one: one[1]))
    contents["added_tokens"] = [
        {
            "id": row, "content": name, "single_word": False, "lstrip": place == roles.get("mask_token"),
            "rstrip": False, "normalized": False, "special": True,
        }
        for place, (name, row) in enumerate(special.items())
    ]  # fmt: skip
    before, behind = ([names[place] for place in places] for places in specials.around)
    contents["post_processor"] = _around(before, behind, special)
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": most_tokens,
        **{role: names[place] for role, place in roles.items()},
        **({} if specials.in_texts else {"split_special_tokens": True}),
    }
    return {"tokenizer.json": contents, "tokenizer_config.json": described}


def _names(pieces: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Names that no piece has."""
    taken, found = set(pieces), []
    for name in wanted:
        while name in taken:
            name += "_"
        found.append(name)
    return found


def _around(before: Sequence[str], behind: Sequence[str], rows: Mapping[str, int]) -> dict[str, Any]:
    """The post-processor of `tokenizers` that puts tokens before and behind each text."""

    def whole(which: str) -> list[dict[str, Any]]:
        first, last = ([{"SpecialToken": {"id": name, "type_id": 0}} for name in names] for names in (before, behind))
        return [*first, {"Sequence": {"id": which, "type_id": 0}}, *last]

    return {
        "type": "TemplateProcessing",
        "single": whole("A"),
        "pair": whole("A") + whole("B"),
        "special_tokens": {name: {"id": name, "ids": [rows[name]], "tokens": [name]} for name in (*before, *behind)},
    }


def save_pretrained(folder: Path, output: Path) -> tuple[str, dict[str, Any]]:
    """Puts a fine-tuned model back into its own format, with the names of the labels. Returns its architecture, and the
    contents of `tokenizer.json` and `tokenizer_config.json`. Raises RunError."""
    model, description = load_for_inference(folder)
    encoder = Encoder.load(folder)
    assert isinstance(model, PretrainedModel) and isinstance(encoder.pieces, ModelPieces)
    whole, task, labels = saved(model), description["task"], list(description["labels"])
    problem = {"classify": "single_label_classification", "multilabel": "multi_label_classification",
               "regress": "regression"}.get(task["kind"])  # fmt: skip
    if problem:
        whole.config.problem_type = problem
    if labels:
        whole.config.id2label = dict(enumerate(labels))
        whole.config.label2id = {label: number for number, label in enumerate(labels)}
    if task["kind"] == "regress":  # logits are standard scores: number = logit * deviation + mean
        whole.config.target_mean, whole.config.target_deviation = task["mean"], task["deviation"]
    whole.save_pretrained(str(output))
    kept = encoder.pieces.kept
    typed = ["token_type_ids"] if kept.pair and kept.typed else []
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": kept.places,
        "model_input_names": ["input_ids", *typed, "attention_mask"],
        **kept.roles,
        "pad_token": names_of(encoder.pieces.contents)[kept.special["pad"]],
    }
    return type(whole).__name__, {"tokenizer.json": encoder.pieces.contents, "tokenizer_config.json": described}
