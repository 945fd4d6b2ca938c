"""Answers compared as texts, by the rules of SQuAD's official evaluation.

The rules are those of the evaluation scripts v1.1 and v2.0 (rajpurkar.github.io/SQuAD-explorer): texts are compared in
lower case, without punctuation (ASCII), the articles a, an and the, and with single spaces; F1 is over the words, each
as often as it stands there; of several references the best counts. v2.0 differs where a text has nothing left: such a
reference is none, and F1 is then whether both are empty. v1.1 rules hold for a split in which every question has an
answer, v2.0 rules for others. Figures here are shares, not per cent.

Chinese is compared by characters, as MLQA's evaluation does (github.com/facebookresearch/MLQA,
mlqa_evaluation_v1.py): Han characters one by one, other letters as words; no article, and all of Unicode's punctuation
left out.
"""

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_HAN = re.compile("([一-龥])")  # U+4E00 to U+9FA5, as in MLQA
BY_CHARACTERS = frozenset({"zh"})
"""Values of `text.language` whose answers are compared by characters."""


class Judged(NamedTuple):
    """How right an answer is."""

    exact: float
    f1: float


def words_of(text: str) -> list[str]:
    """The words of an answer that are compared; joined by spaces, the normalised answer."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def characters_of(text: str) -> list[str]:
    """The same of Chinese."""
    return _HAN.sub(r" \1 ", text.lower().translate(_all_punctuation())).split()


def _all_punctuation() -> dict[int, int | None]:
    if not _UNICODE:
        every = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("P"))
        _UNICODE.update(dict.fromkeys([*every, *map(ord, string.punctuation)]))
    return _UNICODE


_UNICODE: dict[int, int | None] = {}


def splitter(language: str) -> Callable[[str], list[str]]:
    """What makes words to compare of answers in a language."""
    return characters_of if language in BY_CHARACTERS else words_of


def judge(given: str, references: Sequence[str], v2: bool, split: Callable[[str], list[str]] = words_of) -> Judged:
    """The given answer ("": none) against those that are right (none, if the question has no answer)."""
    right = [split(one) for one in references]
    if v2:
        right = [words for words in right if words] or [[]]
    words = split(given)
    return Judged(
        max((float(words == one) for one in right), default=0.0),
        max((_f1(words, one, v2) for one in right), default=0.0),
    )


def _f1(given: Sequence[str], right: Sequence[str], v2: bool) -> float:
    if v2 and not (given and right):
        return float(given == right)
    same = (Counter(given) & Counter(right)).total()
    if not same:
        return 0.0
    precision, recall = same / len(given), same / len(right)
    return 2 * precision * recall / (precision + recall)


def best_threshold(gains_N: Numbers, margins_N: Numbers, answerable_N: npt.NDArray[np.bool_]) -> float:
    """The margin up to which questions are answered, above which they are held to have no answer, that gives the
    highest sum of `gains_N`, what each best answer scores (v2.0's `find_best_thresh`; equal margins stand together).

    Midway between two margins; of several the lowest, at which fewest are answered.
    """
    if not margins_N.size:
        return 0.0
    order = np.argsort(margins_N, kind="stable")
    margins = margins_N[order]
    # Answering wins what the answer scores, or loses the point that a rightly unanswered question has.
    won = np.concatenate([[0.0], np.cumsum(np.where(answerable_N, gains_N, -1.0)[order])])
    ends = np.append(np.flatnonzero(np.diff(margins)) + 1, margins.size)
    counts = np.concatenate([[0], ends])
    count = int(counts[int(np.argmax(won[counts]))])
    low = float(margins[count - 1]) if count else float(margins[0]) - 2.0
    high = float(margins[count]) if count < margins.size else low + 2.0
    return (low + high) / 2


def figures(exact_N: Numbers, f1_N: Numbers, answerable_N: npt.NDArray[np.bool_], answered_N: Any) -> dict[str, Any]:
    """The official figures over all questions, those with an answer and those without. `exact_N` and `f1_N` are what
    the best answer scores if it is given; of what is not `answered_N`, unanswerable questions alone are right."""
    right = np.where(answerable_N, 0.0, 1.0)
    exact = np.where(answered_N, exact_N, right)
    f1 = np.where(answered_N, f1_N, right)
    parts = {"has_answer": answerable_N, "no_answer": ~answerable_N}
    found: dict[str, Any] = {"exact_match": _mean(exact), "answer_f1": _mean(f1), "examples": int(exact.size)}
    for name, part in parts.items():
        if part.any() and not part.all():
            here = {"exact_match": _mean(exact[part]), "answer_f1": _mean(f1[part]), "examples": int(part.sum())}
            found[name] = here
    return found


def _mean(values: Numbers) -> float:
    return float(values.mean()) if values.size else 0.0
