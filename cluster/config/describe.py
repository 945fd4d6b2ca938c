"""What a recipe may hold, told to people and to editors: `muster explain`, the JSON Schema."""

import json
import math
import shlex
import textwrap
from typing import Any

from pydantic import TypeAdapter

from cluster.config.schema import Recipe
from cluster.config.settings import (
    REQUIRED,
    Setting,
    default_words,
    descriptions,
    in_toml,
    kinds_of,
    nearest_setting,
    sections,
    sentence,
    settings,
)
from cluster.errors import RecipeError

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"  # what pydantic writes


EXAMPLES = {"data.roles": "6:", "model.folder": "minilm"}
"""Where neither the default nor a word would show what a setting is for."""


def explain(key: str = "") -> str:
    """What a setting means, its default and what it allows; for a section, its settings; without a key, all sections.

    Raises RecipeError with the nearest key for an unknown one.
    """
    if key in ("", "all"):
        return "\n\n".join(_explain_section(name) for name in sections())
    if key.strip("[]") in sections():
        return _explain_section(key.strip("[]"), fully=True)
    return "\n\n".join(_explain_setting(setting) for setting in find_all(key))


def find_all(key: str) -> list[Setting]:
    """The settings that a key names: one, or one for each model kind; a bare name will do if one section alone has it.

    Raises RecipeError with the nearest key for an unknown one.
    """
    found = [s for s in settings() if s.path == key]
    if not found:
        found = [s for s in settings() if s.name == key]
    paths = list(dict.fromkeys(s.path for s in found))
    if len(paths) > 1:
        raise RecipeError(f"{key} is a setting of several sections: {', '.join(paths)}. Name one of these.")
    if not found:
        close = nearest_setting(key)
        raise RecipeError(
            f"{key}: there is no such setting" + (f"; did you mean {close}?" if close else ".") + "\n"
            f"The sections are {', '.join(sections())}: `muster explain SECTION` lists one, `muster explain` all."
        )
    return found


def _explain_section(section: str, fully: bool = False) -> str:
    classes = sections()[section]
    lines = [f"[{section}]" + (f"  {sentence(classes[0])}" if len(classes) == 1 else "")]
    width = max(len(s.path) for s in settings() if s.section == section)
    for kind in dict.fromkeys(s.kind for s in settings() if s.section == section):
        if kind:
            lines.append(f'  with kind = "{kind}"')
        for setting in (s for s in settings() if s.section == section and s.kind == kind):
            lines.append(f"  {setting.path:<{width}}  {setting.allowed} ({default_words(setting)})")
            if fully:
                lines.append(_wrapped(setting.description, width + 6))
    return "\n".join(lines)


def _explain_setting(setting: Setting) -> str:
    where = f'   with {setting.section}.kind = "{setting.kind}"' if setting.kind else ""
    example = example_value(setting)
    argument = f"{setting.path}={_bare(example)}"
    return "\n".join(
        [
            f"{setting.path}{where}",
            _wrapped(setting.description, 2),
            f"  Allowed: {setting.allowed}.",
            "  It must be given." if setting.default is REQUIRED else f"  Default: {in_toml(setting.default)}",
            f"  In the recipe:        under [{setting.section}]:  {setting.name} = {example}",
            f"  On the command line:  {shlex.quote(argument)}",
        ]
    )


def _wrapped(words: str, indent: int) -> str:
    margin = " " * indent
    return textwrap.fill(words, 110, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def _bare(example: str) -> str:
    """Words need no quotes on the command line."""
    return json.loads(example) if example.startswith('"') and len(example) > 2 else example


def example_value(setting: Setting) -> str:
    """A value that the setting takes, as TOML."""
    if setting.path in EXAMPLES:
        return in_toml(EXAMPLES[setting.path])
    if setting.default is not REQUIRED and setting.path != "model.size":
        return in_toml(setting.default or "name") if isinstance(setting.default, str) else in_toml(setting.default)
    words = "package.module:function" if setting.kind == "custom" else "train.jsonl"
    return in_toml(setting.choices[0] if setting.choices else words)


def as_data(setting: Setting) -> dict[str, Any]:
    """A setting as JSON holds it; `inf` is written as the string TOML would show."""
    default = None if setting.default is REQUIRED else setting.default
    return {
        "setting": setting.path,
        "kind": setting.kind or None,
        "description": setting.description,
        "allowed": setting.allowed,
        "choices": setting.choices or None,
        "required": setting.default is REQUIRED,
        "default": in_toml(default) if isinstance(default, float) and not math.isfinite(default) else default,
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    schema = TypeAdapter(Recipe).json_schema()
    for section in sections():
        for cls in kinds_of(section).values():
            properties = schema["$defs"][cls.__name__]["properties"]
            for name, about in descriptions(cls).items():
                properties[name]["description"] = about
    return {"$schema": SCHEMA_DIALECT, **_finite(schema), "title": "muster recipe"}


def _finite(node: Any) -> Any:
    """JSON knows no infinity: such a default is told in the description, such a limit is left out."""
    if isinstance(node, list):
        return [_finite(item) for item in node]
    if not isinstance(node, dict):
        return node
    infinite = {key for key, value in node.items() if isinstance(value, float) and not math.isfinite(value)}
    kept = {key: _finite(value) for key, value in node.items() if key not in infinite}
    if "default" in infinite:
        kept["description"] = f"{kept.get('description', '')} Default: {in_toml(node['default'])}.".strip()
    return kept
