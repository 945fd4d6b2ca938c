"""How much of what is held in memory at once, so that a process of preparation stays within what it was given."""

from dataclasses import dataclass

DEFAULT_MEBIBYTES = 1024
LEAST_MEBIBYTES = 512
_NEEDED_MEBIBYTES = 384
"""The interpreter with spaCy, numpy and Arrow takes 150; the rest is what one block of 16 MiB becomes on its way."""


@dataclass(frozen=True)
class Budget:
    """What fits into so much memory (measured with 1.5 million rows of English, and rounded up)."""

    mebibytes: int = DEFAULT_MEBIBYTES

    @property
    def chunks(self) -> int:
        """Distinct chunks that a tokenizer remembers: 500 bytes each."""
        return self._of(1 << 20)

    @property
    def words(self) -> int:
        """Distinct words that are counted before they go to the disk: 250 bytes each."""
        return self._of(1 << 21)

    @property
    def rows(self) -> int:
        """Rows that are searched for duplicates at once: 50 bytes each."""
        return self._of(1 << 22)

    @property
    def waiting_bytes(self) -> int:
        """Raw text handed out to processes that have not come to it."""
        return self._of(96 << 20)

    def _of(self, at_the_default: int) -> int:
        return at_the_default * (self.mebibytes - _NEEDED_MEBIBYTES) // (DEFAULT_MEBIBYTES - _NEEDED_MEBIBYTES)
