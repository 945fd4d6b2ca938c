"""A pretrained model's folder, as Hugging Face saves it: what a recipe needs to know of it, read without torch.

Ids are the model's own numbers of tokens; rows are ours (`text/tokens/pipeline.py`): padding is 0, unknown 1, and a
language model's mark and mask are the last two. `Kept.ids_of_rows` tells the id of each row.
"""

import functools
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cluster.config.layout import Pair, around, pair_of
from cluster.errors import RecipeError

MASKED = ("bert", "roberta", "distilbert")
CAUSAL = ("gpt2", "llama")
FAMILIES = MASKED + CAUSAL
"""`model_type` of those that are tested; others are refused."""
ROLES = ("pad_token", "unk_token", "bos_token", "eos_token", "cls_token", "sep_token", "mask_token")
WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
MOST_HEADER_BYTES = 100_000_000  # as safetensors has it
_WAY_OUT = "Name a folder that transformers saved (config.json, tokenizer.json, model.safetensors)."


@dataclass(frozen=True)
class Kept:
    """What a run keeps of the folder, so that it can do without it."""

    config: Mapping[str, Any]
    """Its config.json."""
    roles: Mapping[str, str]
    """Names of the tokens with a part of their own, by `ROLES`."""
    special: Mapping[str, int]
    """Ids of `pad`, `unknown`, `mark` (which a document of a language model begins with) and `mask`; where a tokenizer
    lacks one, that of another stands in."""
    before: tuple[int, ...] = ()
    """Ids that the model expects before a text."""
    after: tuple[int, ...] = ()
    """Ids that it expects behind."""
    speaks: bool = False
    """Is it to be a language model?"""
    pair: Pair | None = None
    """How it reads a question and its context, if it is to answer questions."""

    @property
    def family(self) -> str:
        return str(self.config["model_type"])

    @property
    def vocabulary_size(self) -> int:
        return int(self.config["vocab_size"])

    @property
    def places(self) -> int:
        """Most tokens that it reads at once, special ones included."""
        match self.family:
            case "gpt2":
                return int(self.config["n_positions"])
            case "roberta":  # its positions begin behind that of padding
                return int(self.config["max_position_embeddings"]) - self.special["pad"] - 1
            case _:
                return int(self.config["max_position_embeddings"])

    @property
    def room(self) -> int:
        """Most tokens of a text, besides the special ones around it."""
        return self.places - len(self.before) - len(self.after)

    @property
    def ids_of_rows(self) -> list[int]:
        """The id of each row. An id that stands for several roles has several rows, of which the last is its own."""
        first = [self.special["pad"], self.special["unknown"]]
        last = [self.special["mark"], self.special["mask"]] if self.speaks else []
        taken = {*first, *last}
        return [*first, *(one for one in range(self.vocabulary_size) if one not in taken), *last]

    @property
    def typed(self) -> bool:
        """Does it read token types? RoBERTa has one alone, DistilBERT none, whatever their tokenizers say."""
        return self.family == "bert"

    def to_json(self) -> str:
        found = asdict(self)
        if self.pair is None:  # the same text, so the same prepared data, as before there were pairs
            del found["pair"]
        return json.dumps(found, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Kept":
        """Raises RecipeError for what `to_json` did not write."""
        try:
            found = json.loads(text)
            if found.get("pair"):
                found["pair"] = Pair(**{name: tuple(ids) for name, ids in found["pair"].items()})
            return cls(**{**found, "before": tuple(found["before"]), "after": tuple(found["after"])})
        except (ValueError, TypeError, KeyError) as error:
            raise RecipeError(
                f"model.kept is not what muster wrote ({error!r}): leave it out, so that model.folder is read."
            ) from error


def kept_of(folder: str, task: str) -> Kept:
    """What is to be kept of a folder, or of a model of the catalogue, which need not be fetched, for a task
    (`task.kind`). Raises RecipeError for a folder that cannot be used."""
    if is_catalogued(folder):
        return replace(MINILM, speaks=task == "language", pair=MINILM_PAIR if task == "answer" else None)
    return _read(Path(folder), task)


def is_catalogued(folder: str) -> bool:
    """Is it the name of a model of the catalogue, and no folder?"""
    return folder == CATALOGUED and not Path(folder).is_dir()


def tokenizer_of(folder: Path) -> dict[str, Any]:
    """Its tokenizer.json. Raises RecipeError."""
    if not (folder / "tokenizer.json").is_file() and (folder / "config.json").is_file():
        if (folder / "vocabulary.json").is_file():
            raise RecipeError(
                f"model.folder = {str(folder)!r} was exported without a tokenizer, which transformers has for "
                'text.tokens = "bpe" alone: train the language model with that, and export it.'
            )
        raise RecipeError(
            f"model.folder = {str(folder)!r} has no tokenizer.json. Make one: "
            "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    contents = _json(folder, "tokenizer.json")
    # They cut and pad for another program's sake.
    return contents | {"truncation": None, "padding": None}


def _read(folder: Path, task: str) -> Kept:
    if not folder.is_dir():
        raise RecipeError(f"model.folder = {str(folder)!r}: there is no such folder. {_WAY_OUT}")
    config = _json(folder, "config.json")
    family = config.get("model_type")
    if family not in FAMILIES:
        raise RecipeError(
            f"model.folder = {str(folder)!r} holds a model of type {family!r}; muster fine-tunes "
            f"{', '.join(FAMILIES)} (model_type in config.json)."
        )
    if "quantization_config" in config:
        raise RecipeError(f"model.folder = {str(folder)!r} holds quantised weights, which cannot be trained.")
    tokenizer = tokenizer_of(folder)
    ids = _ids(folder, tokenizer)
    try:
        size = int(config["vocab_size"])
        roles = _roles(folder, ids)
        before, after = around(tokenizer.get("post_processor"))
        kept = Kept(config, roles, _special(folder, config, roles, ids, size), before, after, task == "language")
        if task == "answer" and family in MASKED:
            kept = replace(kept, pair=_pair(folder, kept, tokenizer.get("post_processor")))
        room = kept.room
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: config.json or tokenizer.json lacks what transformers writes "
            f"({error!r}). {_WAY_OUT}"
        ) from error
    if max(ids.values()) >= size:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: tokenizer.json numbers tokens up to {max(ids.values())}, config.json "
            f"says vocab_size = {size}: they belong to different models."
        )
    if room < 1:
        raise RecipeError(f"model.folder = {str(folder)!r}: config.json leaves no place for a text.")
    return kept


def _ids(folder: Path, tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """The id of each token by its name."""
    try:
        vocabulary = tokenizer["model"]["vocab"]
        if isinstance(vocabulary, list):  # unigrams, with their scores
            vocabulary = {name: number for number, (name, _) in enumerate(vocabulary)}
        found = {str(name): int(number) for name, number in vocabulary.items()}
        found |= {one["content"]: int(one["id"]) for one in tokenizer.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecipeError(f"{folder / 'tokenizer.json'} is no tokenizer ({error!r}). {_WAY_OUT}") from error
    if not found:
        raise RecipeError(f"{folder / 'tokenizer.json'} holds no token. {_WAY_OUT}")
    return found


def names_of(tokenizer: Mapping[str, Any]) -> dict[int, str]:
    """The name of each id."""
    return {number: name for name, number in _ids(Path("."), tokenizer).items()}


def _roles(folder: Path, ids: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        said = _json(folder, name) if (folder / name).is_file() else {}
        for role in ROLES:
            token = said.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token in ids:
                found.setdefault(role, token)
    return found


def _special(
    folder: Path, config: Mapping[str, Any], roles: Mapping[str, str], ids: Mapping[str, int], size: int
) -> dict[str, int]:
    def known(*wanted: str) -> int | None:
        return next((ids[roles[role]] for role in wanted if role in roles), None)

    pad = config.get("pad_token_id")
    if not isinstance(pad, int) or not 0 <= pad < size:
        pad = known("pad_token", "eos_token", "unk_token")
    if pad is None:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: neither config.json nor tokenizer_config.json says which token pads "
            "(pad_token, or eos_token). Add it to tokenizer_config.json."
        )
    unknown, mark, mask = known("unk_token"), known("cls_token", "bos_token", "eos_token"), known("mask_token")
    return {
        "pad": pad,
        "unknown": pad if unknown is None else unknown,
        "mark": pad if mark is None else mark,
        "mask": pad if mask is None else mask,
    }


def _pair(folder: Path, kept: Kept, processor: Any) -> Pair:
    pair = pair_of(processor)
    if pair is None:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: tokenizer.json does not say how the model reads two texts, with a token "
            "before the first (post_processor), which questions and contexts need. Save it again from the model that "
            "it belongs to."
        )
    kinds = int(kept.config.get("type_vocab_size", 2))
    if kept.typed and max(pair.types) >= kinds:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: tokenizer.json has token types up to {max(pair.types)}, config.json says "
            f"type_vocab_size = {kinds}: they belong to different models."
        )
    return pair


def weight_files(folder: Path, pickled: bool) -> list[Path]:
    """The files of the weights, each whole by its header. Raises RecipeError: none, torn, or pickled and not asked
    for."""
    if pickled and (folder / PICKLED).is_file():
        return [folder / PICKLED]
    if (folder / WEIGHTS).is_file():
        found = [folder / WEIGHTS]
    elif (folder / INDEX).is_file():
        names = {str(name) for name in (_json(folder, INDEX).get("weight_map") or {}).values()}
        if not names or any(Path(name).name != name for name in names):
            raise RecipeError(f"{folder / INDEX} names no files of this folder. {_WAY_OUT}")
        found = [folder / name for name in sorted(names)]
    elif (folder / PICKLED).is_file():
        raise RecipeError(
            f"model.folder = {str(folder)!r} has its weights as {PICKLED} alone, a pickle, which can hold programs: "
            "save it again as safetensors, or set model.pickled = true if you trust where it is from."
        )
    else:
        raise RecipeError(f"model.folder = {str(folder)!r} has no {WEIGHTS}. {_WAY_OUT}")
    for path in found:
        _refuse_torn(path)
    return found


def _refuse_torn(path: Path) -> None:
    """The header of a safetensors file says where its last tensor ends
    (github.com/huggingface/safetensors, "Format")."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, MOST_HEADER_BYTES):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        ends = [int(one["data_offsets"][1]) for name, one in header.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends)
    except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
        raise RecipeError(f"{path} is no whole safetensors file ({error}): copy it again.") from error
    if size != wanted:
        raise RecipeError(f"{path} has {size:,} bytes, its header says {wanted:,}: it was cut off; copy it again.")


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        raise RecipeError(f"model.folder = {str(folder)!r} has no {name}. {_WAY_OUT}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{folder / name} cannot be read as JSON ({error}). {_WAY_OUT}") from error
    if not isinstance(found, dict):
        raise RecipeError(f"{folder / name} is no JSON object. {_WAY_OUT}")
    return found


def digest(contents: Mapping[str, Any], kept: Kept) -> str:
    """A hash of all that decides what becomes of a text."""
    return hashlib.sha256((json.dumps(contents, sort_keys=True) + kept.to_json()).encode()).hexdigest()


@functools.lru_cache(maxsize=8)
def known(text: str) -> Kept:
    """`Kept.from_json`, of a text that many ask for."""
    return Kept.from_json(text)


CATALOGUED = "minilm"
"""all-MiniLM-L6-v2, which `muster data fetch` brings; so much is known of it before."""
MINILM = Kept(
    config={
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 384,
        "initializer_range": 0.02,
        "intermediate_size": 1536,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": 6,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": 30522,
    },
    roles={
        "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
    },
    special={"pad": 0, "unknown": 100, "mark": 101, "mask": 103},
    before=(101,),
    after=(102,),
)  # fmt: skip
MINILM_PAIR = Pair(before=(101,), between=(102,), after=(102,), types=(0, 0, 0, 1, 1))
