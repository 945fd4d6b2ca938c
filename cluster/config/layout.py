"""What a pretrained model expects around a text, or around two that it reads together: tokenizer.json tells.

Its post-processor is one of those of `tokenizers` (github.com/huggingface/tokenizers, "Post-processors").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Special tokens, by id, and token types of two texts."""

    before: tuple[int, ...]
    """Before the first text, one at least."""
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[int, ...]
    """The token type of each of `before`, of the first text, of each of `between`, of the second text, and of each of
    `after`."""

    @property
    def marks(self) -> tuple[int, int, int]:
        """How many stand before, between and behind the texts."""
        return len(self.before), len(self.between), len(self.after)

    def by(self, rows: Mapping[int, int]) -> "Pair":
        """The same with rows in the ids' place."""
        before, between, after = (tuple(rows[one] for one in ids) for ids in (self.before, self.between, self.after))
        return replace(self, before=before, between=between, after=after)


def around(processor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and behind a text, from the post-processor of a tokenizer."""
    match processor:
        case {"type": "TemplateProcessing", "single": list(parts), "special_tokens": dict(special)}:
            text = next(place for place, part in enumerate(parts) if "Sequence" in part)
            each = [special[part["SpecialToken"]["id"]]["ids"] if "SpecialToken" in part else [] for part in parts]
            return tuple(sum(each[:text], [])), tuple(sum(each[text:], []))
        case {"type": "BertProcessing" | "RobertaProcessing", "sep": [_, sep], "cls": [_, cls]}:
            return (int(cls),), (int(sep),)
        case {"type": "Sequence", "processors": list(several)}:
            return next((found for one in several if (found := around(one)) != ((), ())), ((), ()))
        case _:
            return (), ()


def pair_of(processor: Any) -> Pair | None:
    """How two texts stand together; None if the post-processor does not say, or puts no token before the first.

    Raises KeyError, TypeError, ValueError for one that `tokenizers` did not write.
    """
    match processor:
        case {"type": "TemplateProcessing", "pair": list(parts), "special_tokens": dict(special)}:
            return _templated(parts, special)
        case {"type": "BertProcessing", "sep": [_, sep], "cls": [_, cls]}:
            return Pair((int(cls),), (int(sep),), (int(sep),), (0, 0, 0, 1, 1))
        case {"type": "RobertaProcessing", "sep": [_, sep], "cls": [_, cls]}:
            return Pair((int(cls),), (int(sep), int(sep)), (int(sep),), (0,) * 6)
        case {"type": "Sequence", "processors": list(several)}:
            return next((found for one in several if (found := pair_of(one)) is not None), None)
        case _:
            return None


def _templated(parts: list[Any], special: Mapping[str, Any]) -> Pair | None:
    ids: list[list[int]] = [[]]
    types: list[int] = []
    texts: list[str] = []
    for part in parts:
        ((kind, one),) = part.items()
        if kind == "SpecialToken":
            here = special[one["id"]]["ids"]
            ids[-1] += map(int, here)
            types += [int(one["type_id"])] * len(here)
        else:
            texts.append(one["id"])
            ids.append([])
            types.append(int(one["type_id"]))
    if texts != ["A", "B"] or not ids[0]:
        return None
    before, between, after = map(tuple, ids)
    return Pair(before, between, after, tuple(types))
