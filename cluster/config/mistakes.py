"""What is wrong with a recipe, one line a mistake: dotted path, value, what is allowed, the nearest valid name."""

import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from cluster.config.settings import (
    default_words,
    find,
    in_toml,
    kinds_of,
    nearest,
    nearest_setting,
    sections,
    settings,
)

SHOWN_CHARACTERS = 100  # of a value; a list of a thousand paths would hide the sentence after it

Document = Mapping[str, Any]


def lines(errors: Collection[ErrorDetails], document: Document, overridden: Collection[str]) -> list[str]:
    """One line for each mistaken setting, in the order pydantic found them.

    `overridden` are the dotted paths that came from the command line; their lines say so.
    """
    said: dict[str, str] = {}
    for error in errors:
        path = dotted(error)
        kind = _kind(path.partition(".")[0], document)
        # Pydantic has a line for each member of a union, and one for each item of a list: a setting is said once.
        said.setdefault(path, _line(path, error["type"], document, kind))
    return [line + (" (command line)" if path in overridden else "") for path, line in said.items()]


def dotted(error: ErrorDetails) -> str:
    """The setting an error is about, without pydantic's names of union members and list positions."""
    where = [str(part) for part in error["loc"]]
    if where[1:2] and where[1] in kinds_of(where[0]):
        del where[1]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        where = [where[0], "kind"]
    return ".".join(where[:2])


def _line(path: str, problem: str, document: Document, kind: str) -> str:
    section = path.partition(".")[0]
    given = _lookup(document, path)
    shown = path if given is None else f"{path} = {_short(given)}"
    if "." not in path and path in sections():
        what = f"[{path}] with kind = {_kinds(path)}" if kinds_of(path) else f"[{path}]"
        inside = ", ".join(_names(section, ""))
        return f"{path} is missing: give {what}" if given is None else f"{shown}: is a section, {what}; it has {inside}"
    if problem == "unexpected_keyword_argument":
        return f"{shown}: {_unknown(path, kind)}"
    setting = find(path, kind)
    if setting is None:  # a setting of a later pydantic's error shape: better bare than wrong
        return f"{shown}: is not valid"
    takes = f"takes {setting.allowed} ({default_words(setting)})"
    if given is None:
        return f"{path} is missing: it {takes}"
    return f"{shown}: {takes}{_hint(given, setting.choices, takes)}"


def _unknown(path: str, kind: str) -> str:
    section, _, name = path.rpartition(".")
    if kinds_of(section):
        others = [k for k in kinds_of(section) if find(path, k) is not None]
        close = nearest(name, [one for one in _names(section, kind) if one != "kind"])
        also = f'; kind "{others[0]}" has it' if others else f"; did you mean {section}.{close}?" if close else ""
        return f'{section}.kind "{kind}" has no such setting{also}; it has {", ".join(_names(section, kind))}'
    close = nearest_setting(path)
    hint = f"; did you mean {close}?" if close else "."
    if section in sections():
        return f"there is no such setting{hint}" + (
            "" if close else f" [{section}] has {', '.join(_names(section, kind))}"
        )
    return f"there is no such section{hint} The sections are {', '.join(sections())}"


def _hint(given: Any, choices: list[str], takes: str) -> str:
    if isinstance(given, str):
        close = nearest(given, choices)
        if close:
            return f'; did you mean "{close}"?'
        bare = "number" in takes or "true" in takes
        return "; write it without quotes" if bare and _is_bare_value(given) else ""
    return "; write it in quotes" if "text" in takes and not isinstance(given, (list, dict)) else ""


def _is_bare_value(text: str) -> bool:
    try:
        return not isinstance(tomllib.loads(f"v = {text}")["v"], (str, list, dict))
    except ValueError:
        return False


def _lookup(document: Document, path: str) -> Any:
    here: Any = document
    for part in path.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return None
        here = here[part]
    return here


def _short(value: Any) -> str:
    words = in_toml(value)
    return words if len(words) <= SHOWN_CHARACTERS else words[: SHOWN_CHARACTERS - 4] + " ..."


def _kind(section: str, document: Document) -> str:
    kind = _lookup(document, f"{section}.kind")
    return kind if isinstance(kind, str) and kind in kinds_of(section) else ""


def _names(section: str, kind: str) -> list[str]:
    return list(dict.fromkeys(s.name for s in settings() if s.section == section and s.kind in ("", kind)))


def _kinds(section: str) -> str:
    return " or ".join(f'"{kind}"' for kind in kinds_of(section))
