"""The last pass of spaCy's tokenizer: special cases across affixes.

When a text has been split chunk by chunk, spaCy looks for the tokens of each special case in the whole text, longest
first, and puts the case's own tokens in their place (spaCy 3.8, `tokenizer.pyx`, `_apply_special_cases`): "(foo:)" is
"(", "foo", ":", ")" before it and "(", "foo", ":)" after. A match across two chunks changes nothing, unless the case
holds a space, but keeps others that it overlaps from being applied: in "foo: (:bar" the false ":(" leaves "(:" alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cluster.text.tokens.found import Tokens

# Stands where two chunks are more than one space apart, where spaCy has a token of white space: no case holds it.
GAP = "\n"


class LastPass:
    """What the last pass does to a text.

    `tokenizer`: spaCy's. `before`: the tokens of each special case if there were no special cases. `after`: its own.
    """

    def __init__(self, tokenizer: Any, before: Callable[[str], Tokens], after: Mapping[str, Tokens]) -> None:
        self._after = after
        self._cases: dict[str, list[Tokens]] = {}
        self._changing: dict[str, list[Tokens]] = {}
        for case, tokens in after.items():
            if not _looked_for(tokenizer, case):
                continue
            found = before(case)
            self._cases.setdefault(found[0], []).append(found)
            if found != tokens and " " not in case:
                self._changing.setdefault(found[0], []).append(found)
        self._alone = {token for token, cases in self._changing.items() for case in cases if len(case) == 1}
        self._pairs = {(case[0], case[1]) for cases in self._changing.values() for case in cases if len(case) > 1}
        # Each case cut in two: what ends it, by its first token, with the token before; what starts it, by its last.
        self._ends: dict[str, list[tuple[Tokens, str]]] = {}
        self._starts: dict[str, list[tuple[Tokens, str]]] = {}
        for case_tokens in (found for cases in self._cases.values() for found in cases):
            for cut in range(1, len(case_tokens)):
                start, end = case_tokens[:cut], case_tokens[cut:]
                self._ends.setdefault(end[0], []).append((end, start[-1]))
                self._starts.setdefault(start[-1], []).append((start, end[0]))
        spaced = [case for case in after if " " in case]
        self.spaced = re.compile("|".join(map(re.escape, spaced))) if spaced else None
        """Found in every text that holds a special case with a space; None where there is no such case."""

    @property
    def marks(self) -> Sequence[tuple[str, str]]:
        """Two tokens that stand together in every chunk that the pass changes, for each special case that it may
        change; the second is empty where one alone is enough."""
        return sorted(self._pairs | {(token, "") for token in self._alone})

    def changes(self, tokens: Tokens) -> bool:
        """Does the pass change a chunk of these tokens that stands alone?"""
        starts = ((i, case) for i, token in enumerate(tokens) for case in self._changing.get(token, ()))
        return any(tokens[i : i + len(case)] == case for i, case in starts)

    def neighbours(self, tokens: Tokens) -> tuple[frozenset[str], frozenset[str]]:
        """The tokens that may be part of one special case with the first of these, standing right before them; and
        those with the last, right behind. Between any others the pass does the same to these tokens as alone."""
        before = {token for rest, token in self._ends.get(tokens[0], ()) if tokens[: len(rest)] == rest[: len(tokens)]}
        behind = {
            token for start, token in self._starts.get(tokens[-1], ()) if tokens[-len(start) :] == start[-len(tokens) :]
        }
        return frozenset(before), frozenset(behind)

    def __call__(self, text: str, of_chunk: Callable[[str], Tokens]) -> Tokens:
        """The tokens of a text, white space left out, given those of its chunks before the pass."""
        tokens, starts, end = [], [], 0
        for chunk in re.finditer(r"\S+", text):
            if text[end : chunk.start()] != " ":
                tokens.append(GAP)
                starts.append(end)
            end = chunk.start()
            for token in of_chunk(chunk[0]):
                tokens.append(token)
                starts.append(end)
                end += len(token)
        changed: list[str] = []
        left = 0
        for first, last in self._found(tokens):
            case = text[starts[first] : starts[last - 1] + len(tokens[last - 1])]
            if (own := self._after.get(case)) is not None:
                changed += tokens[left:first]
                changed += own
                left = last
        changed += tokens[left:]
        return tuple(token for token in changed if token is not GAP)

    def _found(self, tokens: Sequence[str]) -> Iterable[tuple[int, int]]:
        """The matches, from the left, that no longer one (or as long and further to the left) touches at an end."""
        matches = [
            (first, first + len(case))
            for first, token in enumerate(tokens)
            for case in self._cases.get(token, ())
            if tuple(tokens[first : first + len(case)]) == case
        ]
        seen: set[int] = set()
        kept = []
        for first, last in sorted(matches, key=lambda match: (match[0] - match[1], match[0])):
            if first not in seen and last - 1 not in seen:
                kept.append((first, last))
            seen.update(range(first, last))  # those of a match that is dropped, too
        return sorted(kept)


def _looked_for(tokenizer: Any, case: str) -> bool:
    """Does the last pass look for this special case? (spaCy 3.8, `add_special_case`.)"""
    return (
        not tokenizer.faster_heuristics
        or " " in case
        or bool(tokenizer.find_prefix(case) or tokenizer.find_infix(case) or tokenizer.find_suffix(case))
    )
