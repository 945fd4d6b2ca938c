"""Tables and lists of facts, as HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.markup import Html, tag

Column = tuple[str, str]
"""What stands above a column, and its class: "" words, "n" figures, or another of the style sheet."""


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    name: str,
    sortable: bool = False,
    tall: bool = False,
    narrow: bool = False,
) -> Html:
    """A table in a box of its own, which scrolls if the page is too narrow. The first cell of a row is its head.

    `sortable` by any column; `tall`: many rows, which scroll; `narrow`: as wide as its words, not as the page.
    """
    head = tag("tr", *(tag("th", title, scope="col", class_=kind or None) for title, kind in columns))
    body = [
        tag(
            "tr",
            *(
                tag("td" if index else "th", cell, class_=columns[index][1] or None, scope=None if index else "row")
                for index, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    kind = "sortable" if sortable else "narrow" if narrow else None
    built = tag("table", tag("thead", head), tag("tbody", *body), class_=kind)
    # what scrolls must be reached by the keyboard
    return tag("div", built, class_="box tall" if tall else "box", tabindex=0, role="region", aria_label=name)


def listed(facts: Iterable[tuple[str, str | None]]) -> Html:
    """Names and what they are; a fact that is None is left out."""
    return tag(
        "dl", *(part for name, fact in facts if fact is not None for part in (tag("dt", name), tag("dd", fact))),
        class_="facts",
    )  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A part of the page that can be linked to."""

    name: str
    title: str
    body: Html


def section(name: str, title: str, *content: str | None) -> Section:
    """A part of the page with its title above it."""
    return Section(name, title, tag("section", tag("h2", title), *content, id=name))


def fold(title: str, *content: str | None) -> Html:
    """What is there for whoever wants it."""
    return tag("details", tag("summary", title), *content)
