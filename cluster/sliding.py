"""What counting words finds of an answer: a sliding window, without any training of a model.

After Richardson, Burges and Renshaw (EMNLP 2013, aclanthology.org/D13-1020) and the baseline of SQuAD (Rajpurkar et
al., EMNLP 2016, aclanthology.org/D16-1264), with runs of words in place of a parser's constituents:

1. The sentence whose words weigh most that the question has, too; a word weighs log(1 + N / C), for C of N training
   contexts that hold it.
2. In it the run of words, none of them of the question, that is nearest to those words: the sum of their weights, each
   divided by its distance. It is as long as most answers in training to questions that begin with the same word.
3. No answer where the words found weigh less than a share of the question's, chosen on training questions.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from cluster.text.raw.asked import Question

# Numbers with their separators, words, and Han characters one by one.
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[一-龥]|[^\W一-龥]+")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]")
SHORTEST = 1


class Found(NamedTuple):
    """An answer, and the share of the question's weight that its sentence has."""

    text: str
    share: float


class SlidingWindow:
    """Fitted to questions with their answers."""

    def __init__(self, training: Iterable[Question]) -> None:
        self._lengths: dict[str, Counter[int]] = defaultdict(Counter)
        held: Counter[str] = Counter()
        contexts = set[str]()
        for one in training:
            if one.context not in contexts:
                contexts.add(one.context)
                held.update(set(_lower(one.context)))
            for text, _ in one.references[:1]:
                self._lengths[_first(one.question)][max(SHORTEST, len(_WORD.findall(text)))] += 1
        self._usual = sum(self._lengths.values(), Counter[int]())
        self._held, self._contexts = held, max(1, len(contexts))

    def find(self, one: Question) -> Found:
        """The best run of words; empty if every word of the context is one of the question."""
        asked = set(_lower(one.question))
        length = self._length(one.question)
        best, best_weight = "", -1.0
        total = sum(map(self._weight, asked))
        for start, end in _sentences(one.context):
            words = [
                (match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(one.context, start, end)
            ]
            weight = sum(map(self._weight, asked & {word for word, _, _ in words}))
            if weight > best_weight and (run := self._nearest(words, asked, length)):
                best, best_weight = one.context[run[0] : run[1]], weight
        return Found(best, max(best_weight, 0.0) / total if total else 0.0)

    def _nearest(self, words: list[tuple[str, int, int]], asked: set[str], length: int) -> tuple[int, int] | None:
        shared = [place for place, (word, _, _) in enumerate(words) if word in asked]
        free = [place for place in range(len(words)) if words[place][0] not in asked]
        best, best_score = None, -1.0
        for place in free:
            behind = place
            while behind < len(words) and behind - place < length and words[behind][0] not in asked:
                behind += 1
            near = sum(
                self._weight(words[other][0]) / (place - other if other < place else other - behind + 1)
                for other in shared
            )
            # a run as long as wanted beats a shorter one in the same place
            score = near * (behind - place) / length + (behind - place == length) * 1e-9
            if score > best_score:
                best, best_score = (words[place][1], words[behind - 1][2]), score
        return best

    def _weight(self, word: str) -> float:
        return math.log(1 + self._contexts / max(1, self._held[word]))

    def _length(self, question: str) -> int:
        known = self._lengths.get(_first(question)) or self._usual
        return known.most_common(1)[0][0] if known else SHORTEST


def _lower(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _first(question: str) -> str:
    return next(iter(_lower(question)), "")


def _sentences(context: str) -> Iterable[tuple[int, int]]:
    start = 0
    for match in _SENTENCE_END.finditer(context):
        yield start, match.end()
        start = match.end()
    yield start, len(context)
