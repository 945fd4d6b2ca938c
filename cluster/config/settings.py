"""The list of settings, read from the sections of the recipe: what each is called, means and allows, in words.

Nothing about a setting is written down twice.
"""

import dataclasses
import difflib
import functools
import inspect
import json
import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import tomli_w
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from cluster.config.models import Model
from cluster.config.schema import Recipe
from cluster.config.tasks import Task

REQUIRED = dataclasses.MISSING
TAGGED = {"model": Model, "task": Task}
"""Sections that are a tagged union: which settings they have depends on their `kind`."""


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe."""

    section: str
    name: str
    kind: str
    """The `kind` of its section that has this setting; empty in a section without kinds."""
    annotation: Any
    default: Any
    """REQUIRED if the recipe must give it."""
    description: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def allowed(self) -> str:
        return allowed(self.annotation)

    @property
    def choices(self) -> list[str]:
        """The words it takes, if it takes words of a list."""
        return [c for c in _choices(self.annotation) if isinstance(c, str)]


@functools.cache
def kinds_of(section: str) -> dict[str, type]:
    """The members of a section that is a tagged union, by their `kind`; empty for another section."""
    if section not in TAGGED:
        return {}
    members = get_args(get_args(TAGGED[section])[0])
    return {next(iter(get_args(typing.get_type_hints(member)["kind"]))): member for member in members}


@functools.cache
def sections() -> dict[str, tuple[type, ...]]:
    """Section name to its class; [model] and [task] have one for each kind."""
    hints = typing.get_type_hints(Recipe)
    return {
        field.name: tuple(kinds_of(field.name).values()) or (hints[field.name],) for field in dataclasses.fields(Recipe)
    }


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Every setting, in the order of the schema; those of [model] and [task] once for each kind that has them."""
    found = []
    for section, classes in sections().items():
        if section in TAGGED:
            found.append(_kind_setting(section))
        for cls in classes:
            hints = typing.get_type_hints(cls, include_extras=True)
            kind = next((kind for kind, member in kinds_of(section).items() if member is cls), "")
            described = descriptions(cls)
            for field in dataclasses.fields(cls):
                if section in TAGGED and field.name == "kind":
                    continue  # one setting with all kinds, not one for each
                default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
                found.append(Setting(section, field.name, kind, hints[field.name], default, described[field.name]))
    return tuple(found)


def _kind_setting(section: str) -> Setting:
    kinds = kinds_of(section)
    about = " ".join(f"`{kind}`: {sentence(cls)}" for kind, cls in kinds.items())
    field = next(field for field in dataclasses.fields(Recipe) if field.name == section)
    default = REQUIRED if field.default is REQUIRED else field.default.kind
    return Setting(section, "kind", "", Literal[tuple(kinds)], default, about)


def descriptions(cls: type) -> dict[str, str]:
    """The sentence of each setting of a section's class, on one line; pydantic reads those of a base class only when it
    is asked about the base class."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__pydantic_config__" in base.__dict__:
            properties = TypeAdapter(base).json_schema().get("properties", {})
            found |= {name: " ".join(p["description"].split()) for name, p in properties.items() if "description" in p}
    return found


def sentence(cls: type) -> str:
    """What the docstring of a section's class says, on one line."""
    return " ".join((inspect.getdoc(cls) or "").split())


def find(path: str, kind: str = "") -> Setting | None:
    """The setting of a dotted path; in a section with kinds, of the kind given, or of the first kind that has it."""
    matching = [s for s in settings() if s.path == path]
    return next((s for s in matching if s.kind in ("", kind)), None if kind else next(iter(matching), None))


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like a mistyped one, or an empty string."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def nearest_setting(path: str) -> str:
    """The dotted path most like an unknown one: same section first, then the same name elsewhere, then any."""
    section, _, name = path.rpartition(".")
    everywhere = list(dict.fromkeys(s.path for s in settings()))
    beside = nearest(name, [s.name for s in settings() if s.section == section])
    same_name = [p for p in everywhere if p.rpartition(".")[2] == name]
    return f"{section}.{beside}" if beside else next(iter(same_name), "") or nearest(path, [*everywhere, *sections()])


def allowed(annotation: Any) -> str:
    """What a type takes, in words: `a whole number, at least 1, or "auto"`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return ", or ".join(allowed(member) for member in arguments)
    if origin is Literal:
        return " or ".join(", ".join(json.dumps(a) for a in part) for part in (arguments[:-1], arguments[-1:]) if part)
    if origin is tuple:
        return f"a list, each {allowed(arguments[0])}"
    if origin is dict:
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}[annotation]


def _bounded(base: Any, limits: tuple[Any, ...]) -> str:
    words = [allowed(base)]
    for limit in limits:
        match limit:
            case annotated_types.Ge(ge) if ge == math.inf:
                return "inf"
            case annotated_types.Ge(ge):
                words.append(f"at least {ge:g}")
            case annotated_types.Gt(gt):
                words.append(f"above {gt:g}")
            case annotated_types.Le(le):
                words.append(f"at most {le}")
            case annotated_types.Lt(lt):
                words.append(f"below {lt if isinstance(lt, int) else f'{lt:g}'}")
            case annotated_types.MinLen(length) if base is not str:
                words[0] = words[0].replace("a list", f"a list of {length} or more", 1)
            case annotated_types.MinLen(length) if length > 1:
                words.append(f"at least {length} characters")
            case FieldInfo():
                words += _patterns(limit)
            case _:
                pass
    return ", ".join(words)


def _patterns(info: FieldInfo) -> list[str]:
    words = []
    for part in info.metadata:
        if pattern := getattr(part, "pattern", None):
            words.append(f"of the form {str(pattern).strip('^$')}")
        if getattr(part, "allow_inf_nan", True) is False:
            words.append("finite")
    return words


def _choices(annotation: Any) -> list[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(arguments)
    if origin is Annotated:
        return _choices(arguments[0])
    if origin in (Union, types.UnionType):
        return [choice for member in arguments for choice in _choices(member)]
    return []


def in_toml(value: Any) -> str:
    """A value as a recipe writes it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {in_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(in_toml(item) for item in value) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()


def default_words(setting: Setting) -> str:
    """`required`, or `default 10`."""
    return "required" if setting.default is REQUIRED else f"default {in_toml(setting.default)}"
