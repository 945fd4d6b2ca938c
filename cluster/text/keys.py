"""What makes two texts the same text, and which side of a split a text falls on: pure functions of the text alone."""

import hashlib
import unicodedata


def normalised(text: str) -> str:
    """The text without what two copies of it commonly differ in: NFKC, lower case, runs of white space as one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.lower().split())


def text_key(text: str) -> int:
    """An unsigned 64-bit key, equal for texts that are equal once normalised (BLAKE2b: the same on every machine)."""
    # surrogatepass: a lone surrogate is refused where files are read; a key must not be the second place to fail
    return _hash(normalised(text).encode("utf-8", "surrogatepass"), b"")


def share_of(key: int, purpose: str = "") -> float:
    """Where in [0, 1) a 64-bit key falls; splits take `share_of(key, purpose) < share`.

    Give every split its own `purpose` (at most 16 ASCII characters). Under one purpose the splits would be cut from the
    same scale: after "below 0.2 is test", a validation split of "below 0.1 of what is left" would be empty.
    """
    if purpose:
        key = _hash(key.to_bytes(8, "little"), purpose.encode("ascii"))
    return (key >> 11) / 2**53  # 53 bits: key / 2**64 would round the highest keys up to 1.0


def _hash(content: bytes, person: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=person).digest(), "little")
