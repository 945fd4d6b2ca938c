"""Slurm's way to write many host names: n[001-004,7],gpu-[1-2]x[0-1] (slurm.schedmd.com/scontrol.html, "hostnames")."""

import itertools
import math
import re

MOST_HOSTS = 1 << 16
"""Slurm's own bound for one range."""
PIECE = re.compile(r"\[([^\[\]]*)\]|([^\[\]]+)")
RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


def expanded(words: str) -> list[str]:
    """Every name of a host list, in its order, as `scontrol show hostnames` gives them. Raises ValueError."""
    names: list[str] = []
    for entry in _entries(words):
        pieces = [_choices(piece, words) for piece in _pieces(entry, words)]
        count = len(names) + math.prod(map(len, pieces))
        if count > MOST_HOSTS:
            raise ValueError(f"a host list names at most {MOST_HOSTS} hosts, {_short(words)} names {count}")
        names.extend("".join(chosen) for chosen in itertools.product(*pieces))
    return names


def _entries(words: str) -> list[str]:
    """What stands between the commas that are outside of brackets."""
    found = re.findall(r"(?:\[[^\]]*\]?|[^,\[])+", words)
    return [entry.strip() for entry in found if entry.strip()]


def _pieces(entry: str, words: str) -> list[tuple[str, bool]]:
    """Text and brackets by turns; True for brackets."""
    found = list(PIECE.finditer(entry))
    if "".join(piece[0] for piece in found) != entry:
        raise ValueError(f"every bracket of a host list is closed once: {_short(words)}")
    return [(piece[1], True) if piece[1] is not None else (piece[2], False) for piece in found]


def _choices(piece: tuple[str, bool], words: str) -> list[str]:
    text, in_brackets = piece
    if not in_brackets:
        return [text]
    found: list[str] = []
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"brackets of a host list hold numbers and ranges, not {part!r}: {_short(words)}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + MOST_HOSTS:
            raise ValueError(f"a range goes up, by at most {MOST_HOSTS} hosts, unlike {part!r}: {_short(words)}")
        found.extend(f"{number:0{len(match[1])}}" for number in range(first, last + 1))
    return found


def _short(words: str) -> str:
    return repr(words if len(words) <= 80 else words[:77] + "...")
