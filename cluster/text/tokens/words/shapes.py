"""Chunks of one shape are cut alike: the rules are asked once for all of them.

spaCy's rules ask of a character only whether it is in certain sets: capital letters, closing brackets, and so on. Two
characters that are in the same of them are of one class, and the shape of a chunk is the classes of its characters. The
sets are read off the rules' own patterns (`reach.py`), without those parts that cannot match in a chunk of such
characters: were the units after a digit ("12km") among them, all letters would be of classes of their own. In prose
about ten distinct chunks have one shape, in code two (over 75 MB and 52 MB of English), before runs are cut short.

Nor do the rules look at more than a few characters in a row of most classes (`reach.in_a_row`): a word's letters after
the third might as well not be there. So in a shape, a longer run of one class stands for all that are longer still; a
rule that cuts inside of one is not trusted with it.

What depends on more than the shape is asked of each chunk: is what is left without an affix a special case, or a link?
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from math import inf
from operator import or_
from typing import Any, NamedTuple
from unicodedata import category

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from cluster.text.tokens.words.affixes import Affixes, Search, never, pattern_of
from cluster.text.tokens.words.reach import ALL, UNIVERSE, Texts, Unclear, asked, in_a_row, may_match, of_text
from cluster.text.tokens.words.splitting import ChunkSplitter, Places, Span, Split, cuts, peel

# Kinds of characters, as bits. Which of them a chunk holds decides which parts of the rules matter to it.
LETTER, NUMBER, APOSTROPHE, POINT, OTHER, FOREIGN, SIGN = 1, 2, 4, 8, 16, 32, 64
# Does a letter stand right behind a number, as a unit does?
JOINED = 128
APOSTROPHES = "'’"
DEGREE = "°"
"""With the signs of currencies, what single letters stand beside: "US$", "°C"."""
WORTH_CLASSES = 100
"""So many chunks of the same kinds must be met before it pays to look for their classes of characters."""
LONGEST = 48
"""Longer chunks are rarely of one shape."""
MOST_PLANS = 1 << 16
"""About 60 MB; they are dropped when there are more."""


class _Plans:
    """How the chunks of each shape are cut; places are characters of the shape.

    Each plan is a row of places, of which the first `tokens` are where its tokens begin, if nothing that is looked up
    is found; then come beginning and end of all that may be a special case, and then ends the peeling of affixes; and
    then, if it may be a link, those of what is one token then.
    """

    def __init__(self) -> None:
        self.of_shape: dict[bytes, int] = {}
        self._places, self._ends = array("I"), array("I", [0])
        self._tokens, self._looked_up, self._uncertain = array("I"), array("I"), array("B")

    def add(
        self, shape: bytes, tokens: Sequence[int], looked_up: Sequence[Span], link: Span | None, uncertain: bool
    ) -> int:
        """Remembers a plan; its number. `uncertain`: it may not hold for all chunks of the shape."""
        self._places.extend(tokens)
        for span in (*looked_up, *([link] if link else [])):
            self._places.extend(span)
        self._ends.append(len(self._places))
        self._uncertain.append(uncertain)
        self._tokens.append(len(tokens))
        self._looked_up.append(len(looked_up))
        number = self.of_shape[shape] = len(self.of_shape)
        return number

    def chosen(self, plans: Places) -> "_Chosen":
        """The plan of each of C chunks, given its number."""
        tokens, looked_up = (np.array(one, dtype=np.int64)[plans] for one in (self._tokens, self._looked_up))
        ends = np.array(self._ends, dtype=np.int64)
        first, last = ends[plans], ends[plans + 1]
        spans = first + tokens
        places = np.array(self._places, dtype=np.int64)
        links = spans + 2 * looked_up
        return _Chosen(
            tokens,
            places[ranges(first, tokens)],
            looked_up,
            places[ranges(spans, 2 * looked_up)].reshape(-1, 2),
            np.flatnonzero(links < last),
            places[ranges(links, last - links)].reshape(-1, 2),
            np.array(self._uncertain, dtype=np.bool_)[plans],
        )


class _Chosen(NamedTuple):
    tokens_C: Places
    """How many tokens each chunk has."""
    starts: Places
    """Where they begin, in the shape."""
    looked_up_C: Places
    """How much of each chunk is looked up."""
    spans: Places
    """Beginning and end of it."""
    linked: Places
    """The chunks that may be links."""
    links: Places
    """Beginning and end of what may be one, in each of them."""
    uncertain_C: npt.NDArray[np.bool_]
    """Are these plans for some chunks of their shape alone?"""


@dataclass(frozen=True)
class _Kind:
    """What tells chunks of the same kinds of characters apart."""

    affixes: Affixes
    whole: Search
    """`token_match`, if it may match."""
    classes: npt.NDArray[np.uint8] | None
    """The class of each code point; None where too much depends on single characters."""
    examples: str
    """A character of each class."""
    runs: npt.NDArray[np.int64]
    """So many characters in a row of each class stand for more, too."""


class Shapes:
    """Splits chunks by their shapes, as `splitter` does one by one."""

    def __init__(self, splitter: ChunkSplitter) -> None:
        self._splitter = splitter
        self._sets = _sets()
        self._kind_of = _table(self._sets, FOREIGN)
        self._kinds: dict[int, _Kind] = {}
        self._affixes_of: dict[int, Affixes] = {}
        self._met: Counter[int] = Counter()
        self._links: dict[int, bool] = {}
        self._plans = _Plans()
        self._cases = pa.array(list(splitter.specials), type=pa.string())
        self._longest_case = max(map(len, splitter.specials), default=0)

    def split(self, chunks: Sequence[str]) -> Split:
        """Splits chunks, none of which is empty."""
        kinds = self._kinds_of(chunks)
        order = np.argsort(kinds, kind="stable")
        kinds = kinds[order]
        by_kind = [chunks[i] for i in order.tolist()]
        shaped: list[str] = []
        plans, places, sizes = list[Places](), list[Places](), list[Places]()
        wholes: list[tuple[int, int, Search]] = []
        alone, kinds_alone = list[str](), list[int]()
        places_shaped, places_alone = [order[:0]], [order[:0]]
        if len(self._plans.of_shape) >= MOST_PLANS:
            self._plans = _Plans()
        numbers, firsts = np.unique(kinds, return_index=True)
        for number, first, last in zip(
            numbers.tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(kinds)], strict=True
        ):
            chosen = by_kind[first:last]
            self._met[number] += len(chosen)
            kind = self._kind(number) if self._met[number] >= WORTH_CLASSES else None
            if kind is None or kind.classes is None:
                alone += chosen
                kinds_alone += [number] * len(chosen)
                places_alone.append(order[first:last])
            else:
                if kind.whole is not never:
                    wholes.append((len(shaped), len(shaped) + len(chosen), kind.whole))
                shaped += chosen
                places_shaped.append(order[first:last])
                for found, into in zip(self._plans_of(chosen, number, kind), (plans, places, sizes), strict=True):
                    into.append(found)
        one_by_one = self._one_by_one(alone, kinds_alone).of_those(np.concatenate(places_alone))
        if not shaped:
            return one_by_one
        by_plans = self._by_plans(shaped, np.concatenate(plans), np.concatenate(places), np.concatenate(sizes), wholes)
        return by_plans.of_those(np.concatenate(places_shaped)).then(one_by_one)

    def _kinds_of(self, chunks: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The kinds of characters of each chunk."""
        if not chunks:
            return np.empty(0, dtype=np.uint8)
        lengths, codes = _characters(chunks)
        kinds: npt.NDArray[np.uint8] = np.bitwise_or.reduceat(self._kind_of[codes], np.cumsum(lengths) - lengths)
        kinds[lengths > LONGEST] |= FOREIGN
        of_code = self._kind_of[codes]
        joined = np.flatnonzero((of_code[:-1] == NUMBER) & (of_code[1:] == LETTER))
        ends = np.cumsum(lengths)
        before, behind = (np.searchsorted(ends, joined + one, side="right") for one in (0, 1))
        kinds[before[before == behind]] |= JOINED
        return kinds

    def _plans_of(self, chunks: Sequence[str], number: int, kind: _Kind) -> tuple[Places, Places, Places]:
        """The plan of each chunk of one kind; the place in the chunk of each character of its shape, and its end, one
        chunk after the other; and how many of these each chunk has."""
        assert kind.classes is not None
        lengths, codes = _characters(chunks)
        classes = kind.classes[codes]
        ends = np.cumsum(lengths)
        begins = np.ones(codes.size, dtype=np.bool_)
        begins[1:] = classes[1:] != classes[:-1]
        begins[ends[:-1]] = True
        every = np.arange(codes.size)
        kept = every - np.maximum.accumulate(np.where(begins, every, 0)) < kind.runs[classes]
        before = np.zeros(codes.size + 1, dtype=np.int64)
        np.cumsum(kept, out=before[1:])
        sizes = before[ends] - before[ends - lengths] + 1
        edges = np.cumsum(sizes)
        inside = np.ones(edges[-1], dtype=np.bool_)
        inside[edges - 1] = False
        places, shapes = np.empty(inside.size, dtype=np.int64), np.empty(inside.size, dtype=np.uint8)
        places[inside], places[edges - 1] = (every - np.repeat(ends - lengths, lengths))[kept], lengths
        shapes[inside], shapes[edges - 1] = classes[kept], number  # in another kind the same classes mean other sets
        encoded = _strings(shapes, edges, pa.binary()).dictionary_encode()
        known = self._plans.of_shape
        distinct = encoded.dictionary.to_pylist()
        numbers = [known[shape] if shape in known else self._learn(shape, kind) for shape in distinct]
        return np.array(numbers, dtype=np.int64)[encoded.indices.to_numpy()], places, sizes

    def _by_plans(
        self, chunks: list[str], plans: Places, places: Places, sizes: Places, wholes: Sequence[tuple[int, int, Search]]
    ) -> Split:
        """Cuts all chunks at once: their tokens, one after the other, are the text that they make together.

        `plans`, `places`, `sizes` are those of `_plans_of`. `wholes`: the first and the last chunk of a kind, and what
        may match what is left of them as a whole.
        """
        chosen = self._plans.chosen(plans)
        lengths = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks))
        firsts = np.cumsum(lengths) - lengths
        offsets = np.cumsum(sizes) - sizes
        of_chunk = np.repeat(np.arange(len(chunks)), chosen.looked_up_C)
        chosen = chosen._replace(
            starts=places[np.repeat(offsets, chosen.tokens_C) + chosen.starts],
            spans=places[offsets[of_chunk, None] + chosen.spans],
            links=places[offsets[chosen.linked, None] + chosen.links],
        )
        text = "".join(chunks)
        data = np.frombuffer(text.encode(), dtype=np.uint8)
        if data.size == len(text):
            byte_of = np.arange(data.size + 1)
        else:  # from characters to bytes: all but the first of a character begin with the bits 10
            byte_of = np.append(np.flatnonzero(data & 0xC0 != 0x80), data.size)
        ends = np.append(np.repeat(firsts, chosen.tokens_C) + chosen.starts, len(text))[1:]
        encoded = _strings(data, byte_of[ends], pa.string()).dictionary_encode()
        which = encoded.indices.to_numpy().astype(np.int64)
        tokens: list[str] = encoded.dictionary.to_pylist()
        alone = self._to_be_split_alone(chunks, chosen, of_chunk, data, byte_of, firsts)
        ends_C = np.cumsum(chosen.looked_up_C)
        for first, last, whole in wholes:
            for chunk in range(first, last):
                spans = chosen.spans[ends_C[chunk] - chosen.looked_up_C[chunk] : ends_C[chunk]].tolist()
                alone[chunk] |= any(whole(chunks[chunk][start:end]) for start, end in spans)
        counts = chosen.tokens_C
        if not alone.any():
            return Split(np.arange(len(chunks)), tokens, which, counts)
        which, counts = which[np.repeat(~alone, counts)], counts[~alone]
        used = np.zeros(len(tokens), dtype=np.bool_)
        used[which] = True
        split = Split(
            np.flatnonzero(~alone),
            list(compress(tokens, used.tolist())),
            (np.cumsum(used) - 1)[which],
            counts,
        )
        others = list(compress(chunks, alone.tolist()))
        split_alone = self._one_by_one(others, self._kinds_of(others).tolist())
        return split.then(split_alone.of_those(np.flatnonzero(alone)))

    def _one_by_one(self, chunks: list[str], kinds: Sequence[int]) -> Split:
        found = [self._splitter(chunk, self._affixes(kind)) for chunk, kind in zip(chunks, kinds, strict=True)]
        return Split.of(found)

    def _to_be_split_alone(
        self,
        chunks: Sequence[str],
        chosen: _Chosen,
        of_chunk: Places,
        data: npt.NDArray[np.uint8],
        byte_of: Places,
        firsts: Places,
    ) -> npt.NDArray[np.bool_]:
        """The chunks in which something is found that is looked up, so that their plan does not hold."""
        alone = chosen.uncertain_C.copy()
        short = chosen.spans[:, 1] - chosen.spans[:, 0] <= self._longest_case
        of_chunk = of_chunk[short]
        first, last = byte_of[(chosen.spans[short] + firsts[of_chunk, None]).T]
        rests = _strings(data[ranges(first, last - first)], np.cumsum(last - first), pa.string())
        alone[of_chunk[compute.is_in(rests, value_set=self._cases).to_numpy(zero_copy_only=False)]] = True
        link = self._splitter.link
        for chunk, (start, end) in zip(chosen.linked.tolist(), chosen.links.tolist(), strict=True):
            if link(chunks[chunk][start:end]):
                alone[chunk] = True
        return alone

    def _learn(self, shape: bytes, kind: _Kind) -> int:
        """Asks the rules about a chunk of this shape that is made up."""
        chunk = "".join([kind.examples[one] for one in shape[:-1]])
        peeled = peel(chunk, kind.affixes, (), never)
        start, end = peeled.core
        core = chunk[start:end]
        may_be_link = bool(core) and self._may_be_link(int(np.bitwise_or.reduce(self._kind_of[list(map(ord, core))])))
        inside = [start + place for place in cuts(core, kind.affixes)]
        tokens = [*peeled.fronts[:-1], *inside[:-1], *peeled.backs[:0:-1]]
        return self._plans.add(
            shape,
            tokens,
            peeled.looked_up,
            (start, end) if may_be_link else None,
            any(_is_in_long_run(shape, place, kind) for place in {*tokens, *peeled.fronts, *peeled.backs}),
        )

    def _may_be_link(self, kinds: int) -> bool:
        if kinds not in self._links:
            self._links[kinds] = _may(self._splitter.link, _union(self._sets, kinds))
        return self._links[kinds]

    def _kind(self, number: int) -> _Kind:
        if number not in self._kinds:
            classes = self._classes(number)
            self._kinds[number] = _Kind(
                affixes=self._affixes(number),
                whole=self._splitter.whole if _may(self._splitter.whole, _union(self._sets, number)) else never,
                classes=None if classes is None else _table(dict(enumerate(classes)), len(classes)),
                examples="".join(chr((one & -one).bit_length() - 1) for one in classes or ()),
                runs=np.array([self._run(number, one) for one in classes or ()]),
            )
        return self._kinds[number]

    def _affixes(self, number: int) -> Affixes:
        if number not in self._affixes_of:
            alphabet = ALL if number & FOREIGN else _union(self._sets, number)
            self._affixes_of[number] = Affixes(self._splitter.tokenizer, alphabet)
        return self._affixes_of[number]

    def _texts(self, number: int) -> Texts:
        """All chunks of these kinds."""
        return Texts(_union(self._sets, number), self._sets[NUMBER], 0 if number & JOINED else self._sets[LETTER])

    def _run(self, number: int, one: int) -> int:
        """So many characters in a row of a class say as much as more of them: as many as two matches, one from each
        side, look at, and one between them; two at least, for only there an empty match inside of a run shows. Asked
        of letters alone, whose runs are long."""
        if one & ~self._sets[LETTER]:
            return LONGEST + 1
        tokenizer, texts = self._splitter.tokenizer, self._texts(number)
        searches = (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer)
        found = 0.0
        for pattern in (pattern_of(search) for search in searches if search is not None):
            found = max(found, inf if pattern is None else in_a_row(pattern, texts, one))
        return int(min(max(2 * found + 1, 2), LONGEST + 1))

    def _classes(self, number: int) -> list[int] | None:
        """Sets of characters that the rules treat alike in chunks of these kinds."""
        if number & (FOREIGN | JOINED):  # units are of many letters
            return None
        texts = self._texts(number)
        sets = set(self._sets.values())
        tokenizer = self._splitter.tokenizer
        for search in (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer):
            pattern = pattern_of(search)
            try:
                if pattern is not None:
                    sets |= asked(pattern, texts)
                elif search is not None:
                    return None
            except Unclear:
                return None
        classes = [texts.characters]
        for one in sets:
            classes = [part for whole in classes for part in (whole & one, whole & ~one) if part]
        return classes if len(classes) < 256 else None


def _is_in_long_run(shape: bytes, place: int, kind: _Kind) -> bool:
    """Does it lie inside a run that stands for longer ones, too?"""
    if not 0 < place < len(shape) - 1 or shape[place] != shape[place - 1]:
        return False
    one = shape[place : place + 1]
    before, behind = shape[:place], shape[place:-1]
    run = len(before) - len(before.rstrip(one)) + len(behind) - len(behind.lstrip(one))
    return run >= int(kind.runs[one[0]])


def _characters(chunks: Sequence[str]) -> tuple[Places, npt.NDArray[np.uint32]]:
    """How many characters each chunk has, and the code points of all, those beyond as one."""
    lengths = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks))
    codes = np.frombuffer("".join(chunks).encode("utf-32-le"), dtype=np.uint32)
    return lengths, np.minimum(codes, UNIVERSE)


def _strings(data: npt.NDArray[np.uint8], ends: Places, kind: Any) -> Any:
    """Arrow's array of the pieces of `data` that end at `ends`, each where the one before it ended."""
    offsets = np.zeros(ends.size + 1, dtype=np.int32)
    offsets[1:] = ends
    return pa.Array.from_buffers(kind, ends.size, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def ranges(starts: Places, counts: Places) -> Places:
    """All whole numbers from each start on, so many as its count says."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1] if ends.size else 0)


def _sets() -> dict[int, int]:
    """The characters of each kind."""
    letters = of_text(letter for letter in map(chr, range(UNIVERSE)) if letter.isalpha())
    numbers = of_text(letter for letter in map(chr, range(UNIVERSE)) if letter.isnumeric()) & ~letters
    apostrophes, point = of_text(APOSTROPHES), of_text(".")
    signs = of_text(letter for letter in map(chr, range(UNIVERSE)) if letter == DEGREE or category(letter) == "Sc")
    other = ALL & ~(letters | numbers | apostrophes | point | signs)
    return {LETTER: letters, NUMBER: numbers, APOSTROPHE: apostrophes, POINT: point, OTHER: other, SIGN: signs}


def _union(sets: dict[int, int], kinds: int) -> int:
    """All characters of these kinds."""
    return reduce(or_, (found for bit, found in sets.items() if bit & kinds), 0)


def _table(sets: dict[int, int], beyond: int) -> npt.NDArray[np.uint8]:
    """For each code point the number of the set that it is in, `beyond` for those from `UNIVERSE` on."""
    table = np.full(UNIVERSE + 1, beyond, dtype=np.uint8)
    for number, one in sets.items():
        bits = np.frombuffer(bin(one)[:1:-1].encode(), dtype=np.uint8)
        table[np.flatnonzero(bits == ord("1"))] = number
    return table


def _may(search: Search, characters: int) -> bool:
    """May the search find something in a text of these characters?"""
    pattern = pattern_of(search)
    return search is not never if pattern is None else may_match(pattern, Texts(characters))
