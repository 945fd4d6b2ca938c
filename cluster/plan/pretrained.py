"""Parameters of the pretrained families, as transformers builds them, from their config.json.

D width, F width of the hidden layer, V vocabulary, C outputs.
"""

from collections.abc import Mapping
from typing import Any

from cluster.config.pretrained import Kept


def pretrained_count(kept: Kept, outputs: int, each_token: bool) -> int | None:
    """Number of trained parameters with the last layer of the task; None where config.json leaves something to
    transformers."""
    try:
        match kept.family:
            case "bert" | "roberta":
                return _bert(kept, outputs, each_token)
            case "distilbert":
                return _distilbert(kept, outputs, each_token)
            case "gpt2":
                return _gpt2(kept, outputs, each_token)
            case _:
                return _llama(kept, outputs, each_token)
    except (KeyError, TypeError):
        return None


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _encoder_layer(width: int, hidden: int) -> int:
    """Four maps of attention, two of the hidden layer, two norms."""
    return 4 * _linear(width, width) + _linear(width, hidden) + _linear(hidden, width) + 4 * width


def _masked_head(width: int, vocabulary: int) -> int:
    """The output is the embedding, with a bias."""
    return _linear(width, width) + 2 * width + vocabulary


def _bert(kept: Kept, outputs: int, each_token: bool) -> int:
    config = kept.config
    width = config["hidden_size"]
    rows = config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"]
    body = rows * width + 2 * width
    body += config["num_hidden_layers"] * _encoder_layer(width, config["intermediate_size"])
    if kept.speaks:
        return int(body + _masked_head(width, config["vocab_size"]))
    # BERT pools, RoBERTa's last layer begins with a map of the same size.
    return int(body + (0 if each_token else _linear(width, width)) + _linear(width, outputs))


def _distilbert(kept: Kept, outputs: int, each_token: bool) -> int:
    config = kept.config
    width = config["dim"]
    body = (config["vocab_size"] + config["max_position_embeddings"]) * width + 2 * width
    body += config["n_layers"] * _encoder_layer(width, config["hidden_dim"])
    if kept.speaks:
        return int(body + _masked_head(width, config["vocab_size"]))
    return int(body + (0 if each_token else _linear(width, width)) + _linear(width, outputs))


def _gpt2(kept: Kept, outputs: int, each_token: bool) -> int:
    config = kept.config
    width = config["n_embd"]
    layer = _encoder_layer(width, config.get("n_inner") or 4 * width)
    body = (config["vocab_size"] + config["n_positions"]) * width + config["n_layer"] * layer + 2 * width
    return int(body + _causal_head(config, width, outputs, each_token, kept.speaks, tied=True))


def _llama(kept: Kept, outputs: int, each_token: bool) -> int:
    config = kept.config
    width, hidden, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    queries, keys = heads * head, (config.get("num_key_value_heads") or heads) * head
    attention = width * (queries + 2 * keys) + queries * width
    if config.get("attention_bias"):
        attention += queries + 2 * keys + width
    feed_forward = 3 * width * hidden + (2 * hidden + width if config.get("mlp_bias") else 0)
    layers = config["num_hidden_layers"] * (attention + feed_forward + 2 * width)
    body = config["vocab_size"] * width + layers + width
    return int(body + _causal_head(config, width, outputs, each_token, kept.speaks, tied=False))


def _causal_head(
    config: Mapping[str, Any], width: int, outputs: int, each_token: bool, speaks: bool, tied: bool
) -> int:
    """Without a bias, but where each token is labelled; `tied` is what transformers takes if config.json is silent."""
    if speaks:
        return 0 if config.get("tie_word_embeddings", tied) else int(config["vocab_size"]) * width
    return width * outputs + (outputs if each_token else 0)
