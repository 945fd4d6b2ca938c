"""How wide words are, estimated without a font: never too narrow for Arial, Helvetica or DejaVu Sans."""

from functools import lru_cache

# Advance in units of the size, rounded up: the larger of DejaVu Sans and Liberation Sans (which is as wide as Arial).
ADVANCES = {
    0.3: "'Iijl",
    0.35: " ,./:;\\|·",
    0.4: "()-[]ft",
    0.45: "!r",
    0.5: '"*J`°',
    0.55: "csz",
    0.6: "?L_kvxy–",
    0.65: "$0123456789FTabdeghnopqu{}",
    0.7: "ABEKPSVXYZ",
    0.75: "CNRU",
    0.8: "&DGHOQ",
    0.85: "#+<=>^w~×≤≥−",
    0.9: "M",
    1.0: "%Wm—…→↔",
    1.05: "@",
}
OTHER = 1.05  # an ideograph is as wide as it is high
BOLD = 1.16
WIDTHS = {character: width for width, characters in ADVANCES.items() for character in characters}


@lru_cache(maxsize=65536)
def width_of(words: str, size: float, bold: bool = False) -> float:
    """In pixels, at `size` pixels."""
    return sum(WIDTHS.get(character, OTHER) for character in words) * size * (BOLD if bold else 1.0)


def fitted(words: str, size: float, most: float, bold: bool = False) -> str:
    """As much of some words as `most` pixels have room for, with … where they were cut."""
    words = " ".join(words.split())
    if width_of(words, size, bold) <= most:
        return words
    low, high = 0, len(words)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        if width_of(words[:middle].rstrip() + "…", size, bold) <= most:
            low = middle
        else:
            high = middle - 1
    return words[:low].rstrip() + "…"


def wrapped(words: str, size: float, most: float, lines: int, bold: bool = False) -> list[str]:
    """Words in lines of at most `most` pixels; what does not go into so many lines is cut."""
    found: list[str] = []
    rest = words.split()
    while rest and len(found) < lines - 1:
        taken = 1
        while taken < len(rest) and width_of(" ".join(rest[: taken + 1]), size, bold) <= most:
            taken += 1
        found.append(fitted(" ".join(rest[:taken]), size, most, bold))
        rest = rest[taken:]
    return [*found, fitted(" ".join(rest), size, most, bold)] if rest else found
