"""No checkpoint and no score rests on data that was not checked: what every rank read is settled before either."""

import contextlib
from collections.abc import Iterator

from cluster.data.shards import Reader
from cluster.errors import DataError
from cluster.training.parallel import World


def settle(reader: Reader, world: World) -> None:
    """Waits until every block that any rank has read is checked. A collective.

    Raises DataError on every rank, naming file and block, if any rank read a damaged one: no rank goes on with sums
    that another has spoilt.
    """
    found = ""
    try:
        reader.settle()
    except DataError as error:
        found = str(error)
    if told := world.first_words(found):
        raise DataError(told)


@contextlib.contextmanager
def damage_named(reader: Reader) -> Iterator[None]:
    """What goes wrong inside may come of a damaged block (a token outside the vocabulary, a loss that is no number, a
    rank that left because of either): if this rank read one, that is the error to raise, with file and block."""
    try:
        yield
    except Exception:
        reader.settle()
        raise
