"""One fact about a machine: its value, or why there is none.

Nothing that was not read passes for zero, or for healthy.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform

T = TypeVar("T")
U = TypeVar("U")

Status = Literal["ok", "unsupported", "denied", "absent", "error"]
"""`unsupported`: this hardware, kernel or driver does not tell. `denied`: this user may not ask, or it is hidden.
`absent`: there is no such thing here. `error`: it should have answered, but did not, or not in words that we know."""
Unlimited = Literal["unlimited"]

ABSENT = {errno.ENOENT, errno.ENODEV, errno.ENOTDIR, errno.ENXIO}
DENIED = {errno.EACCES, errno.EPERM}
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODATA, errno.ENOTTY}


class Unread(Exception):
    """A fact cannot be had, for a reason that is known; raised by those who ask, told by `reading`."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


SHAPE: dict[str, Any] = {
    "use_attribute_docstrings": True,  # they are the descriptions of the JSON Schema
    "json_schema_serialization_defaults_required": True,  # what is written is written whole
    "extra": "ignore",
}


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value with its unit and where it was read; or None, with the kind of reason and the reason."""

    __pydantic_config__: ClassVar[dict[str, Any]] = SHAPE

    value: T | None
    unit: str = ""
    source: str = ""
    status: Status = "ok"
    why: str = ""

    def or_else(self, otherwise: U) -> T | U:
        """The value, or `otherwise` where it is not known."""
        return otherwise if self.value is None else self.value

    @property
    def known(self) -> bool:
        return self.status == "ok" and self.value is not None


UNREAD: Fact[Any] = Fact(None, status="absent", why="not asked")

LIVE = "live"
Live = Annotated[Fact[T], LIVE]
"""A fact that changes by itself (a temperature, free space): two records are not compared by it."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """A group of facts: frozen, by keyword only, docstrings of fields kept as the descriptions of the JSON Schema."""
    cls.__pydantic_config__ = SHAPE  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True, slots=True)(cls)


def reading(source: str, read: Callable[[], T], unit: str = "") -> Fact[T]:
    """The fact that `read` tells, or why it cannot. `source`: where it looks, in words for people."""
    try:
        return Fact(read(), unit, source)
    except Unread as unread:
        return unknown(unread.status, unread.why, source, unit)
    except OSError as error:
        return unknown(status_of(error), _words(error), source, unit)
    except (ValueError, LookupError, TypeError) as error:
        return unknown("error", f"not understood: {type(error).__name__}: {error}", source, unit)


def first_known(first: Fact[T], *others: Callable[[], Fact[T]]) -> Fact[T]:
    """Of several ways to a fact the first that tells it; where none does, why the first did not."""
    for way in (lambda: first, *others):
        fact = way()
        if fact.known:
            return fact
    return first


def value_of(fact: Fact[T]) -> T:
    """For a fact that follows from another one. Raises Unread, with that one's reason."""
    if fact.status != "ok" or fact.value is None:
        raise Unread("error" if fact.status == "ok" else fact.status, fact.why)
    return fact.value


def unknown(status: Status, why: str, source: str = "", unit: str = "") -> Fact[Any]:
    return Fact(None, unit, source, status, why)


def status_of(error: OSError) -> Status:
    """What kind of reason an error of the operating system is."""
    if error.errno in ABSENT:
        return "absent"
    if error.errno in DENIED:
        return "denied"
    return "unsupported" if error.errno in UNSUPPORTED else "error"


def _words(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"
