"""HTML and SVG that cannot be broken by what stands in them: text is escaped unless it was built here.

The texts, labels and paths of a report come from data that nobody vouches for, and names in a picture from machines, so
escaping is not left to the places that print them: `tag` escapes every plain string, and only `tag` and `join` make
`Html`. What it writes is XML too, but for HTML's elements without an end.
"""

import html
from collections.abc import Iterable
from typing import TypeAlias

Value: TypeAlias = "str | int | float | None"
VOID = frozenset({"br", "col", "hr", "meta"})
# What has no place in HTML or XML (or moves the cursor of whoever copies it) is shown as the picture of the character.
_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
    **dict.fromkeys((0xFFFE, 0xFFFF), 0xFFFD),
}


class Html(str):
    """Markup, escaped already."""

    __slots__ = ()


def visible(words: str) -> str:
    """Words without characters that would move a cursor or end a document: each is shown as its picture."""
    return words.translate(_SHOWN)


def text(words: str) -> Html:
    """A string as text of a page, or as the value of an attribute."""
    return words if isinstance(words, Html) else Html(html.escape(visible(words), quote=True))


def tag(name: str, /, *content: str | None, **attributes: Value) -> Html:
    """One element. Plain strings in it are escaped; an attribute that is None is left out.

    `class_` is `class`; any other underscore becomes a hyphen, as in `data_tip` and `stroke_width`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def join(parts: Iterable[str | None]) -> Html:
    """Parts one after the other, plain strings escaped, None left out."""
    return Html("".join(text(part) for part in parts if part is not None))


def number(value: Value) -> str:
    """A value of an attribute; coordinates need no more than two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
