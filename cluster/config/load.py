"""From a recipe's name or path, and overrides, to a `Recipe` that holds: every mistake told at once."""

import dataclasses
import datetime
import functools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import TypeAdapter, ValidationError

from cluster.config import mistakes
from cluster.config.contradictions import contradictions
from cluster.config.models import Mlp, Pretrained
from cluster.config.pretrained import kept_of, known
from cluster.config.schema import Data, Recipe, Text
from cluster.config.settings import TAGGED, in_toml, kinds_of, nearest, sections, settings
from cluster.config.tasks import prepared_for
from cluster.config.traits import metrics_of, reads
from cluster.errors import PlanError, RecipeError

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"  # by path: nothing in cluster/ imports launch

Table = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A recipe, and what else a person should know of how it was read."""

    recipe: Recipe
    name: str
    """Name of the file without `.toml`; runs are named after it."""
    notes: tuple[str, ...]
    """What was left out of the file, and why."""


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """The resolved recipe of a shipped name or a path, with overrides such as `train.epochs=3`.

    Raises RecipeError naming every mistake, PlanError for more ranks than the run can ever use.
    """
    return open_recipe(recipe, overrides).recipe


def open_recipe(recipe: str, overrides: Sequence[str] = ()) -> Loaded:
    """As `load`, with the recipe's name and notes."""
    path = find_recipe(recipe)
    document = _parse(_read(path), str(path))
    changes, wrong = parse_overrides(overrides)
    notes = [note for section in TAGGED for note in _change_kind(document, section, changes)]
    for key, value in changes.items():
        _put(document, key, value)
    title = f"{path}" + (" with the overrides" if overrides else "")
    return Loaded(recipe=_checked(document, title, changes, wrong), name=path.stem, notes=tuple(notes))


def shipped() -> dict[str, Path]:
    """The recipes that come with muster, by name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"), key=lambda path: path.stem)}


def find_recipe(recipe: str) -> Path:
    """The file of a shipped name or a path. Raises RecipeError naming the shipped recipe that is nearest."""
    known = shipped()
    if recipe in known:
        return known[recipe]
    path = Path(recipe)
    if path.is_file():
        return path
    what = "is a folder, not a recipe" if path.is_dir() else "is neither a shipped recipe nor a file that is there"
    inside = path / "recipe.toml"  # a run keeps its own
    close = str(inside) if inside.is_file() else nearest(path.stem, known)
    raise RecipeError(
        f"{recipe!r} {what}" + (f"; did you mean {close}?" if close else ".") + "\n"
        f"Shipped recipes: {', '.join(known)}. Your own is named by its path, such as my.toml."
    )


def parse_overrides(overrides: Sequence[str]) -> tuple[Table, list[str]]:
    """`train.epochs=3` and the like to values by dotted path; values are TOML, and bare words are text.

    Also one line for each override that cannot be read.
    """
    changes: Table = {}
    wrong: list[str] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            wrong.append(f"{_printable(override)}: an override is SECTION.SETTING=VALUE, such as train.epochs=3")
            continue
        try:
            leaves = _leaves(".".join(parts), _value(text.strip()))
        except ValueError as error:
            wrong.append(f"{_printable(override)}: {error}")
            continue
        if key in sections() and key in leaves:  # would hide what else is said of that section
            wrong.append(
                f"{_printable(override)}: [{key}] is a section; name one of its settings, as in {key}.NAME=VALUE"
            )
        else:
            changes.update(leaves)
    return changes, wrong


def resolve(recipe: Recipe) -> Recipe:
    """Settle what depends on other settings (`text.weights`, `data.label`, `data.target`, `evaluate.metric`); check
    what no setting alone can tell.

    Raises RecipeError naming every contradiction, PlanError for more ranks than the run can ever use.
    """
    if recipe.text.weights == "auto":
        weights: Literal["tfidf", "count", "none"] = "none" if reads(recipe.model) == "sequence" else "tfidf"
        if isinstance(recipe.model, Mlp) and recipe.model.embedding != "none":
            weights = "count"  # the mean of the embeddings of all tokens
        recipe = dataclasses.replace(recipe, text=dataclasses.replace(recipe.text, weights=weights))
    if isinstance(recipe.model, Pretrained):
        recipe = _with_kept(recipe, recipe.model)
    if prepared_for(recipe.task) in ("language", "rewrite"):
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, label=""))
    if recipe.task.kind == "answer":
        recipe = dataclasses.replace(recipe, data=_named_as_squad(recipe.data))
    if recipe.task.kind == "rewrite" and not recipe.data.target:
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, target="target"))
    if recipe.evaluate.metric == "auto":
        metric = metrics_of(recipe.task)[0]
        recipe = dataclasses.replace(recipe, evaluate=dataclasses.replace(recipe.evaluate, metric=metric))
    if wrong := contradictions(recipe):
        raise RecipeError(_listed(wrong, "the recipe"))
    ranks, limit = recipe.launch.ranks, recipe.train.max_ranks
    if ranks != "auto" and ranks > limit:
        raise PlanError(
            f"launch.ranks ({ranks}) exceeds train.max_ranks ({limit}): a step has at most {limit} micro-batches to "
            f"share out. Use at most {limit} ranks, or start a new run with a larger train.max_ranks."
        )
    return recipe


def _named_as_squad(data: Data) -> Data:
    """The fields of questions; those that no recipe names are called as SQuAD calls them."""
    default = Data(train=data.train)
    return dataclasses.replace(
        data,
        text="context" if data.text == default.text else data.text,
        label="answers" if data.label == default.label else data.label,
        question=data.question or "question",
    )


def _with_kept(recipe: Recipe, model: Pretrained) -> Recipe:
    """What a pretrained model's folder settles: its tokens, in whatever letters, and how many it reads. Raises
    RecipeError for a folder that cannot be used."""
    kept = known(model.kept) if model.kept else kept_of(model.folder, recipe.task.kind)
    text = recipe.text
    tokens = "model" if text.tokens == Text().tokens else text.tokens
    cut = text.max_tokens == Text().max_tokens and recipe.task.kind not in ("language", "answer")
    most = min(text.max_tokens, kept.room) if cut else text.max_tokens
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(model, kept=kept.to_json()),
        text=dataclasses.replace(text, tokens=tokens, lower=False, max_tokens=most),
    )


def to_toml(recipe: Recipe) -> str:
    """The whole recipe, defaults included, as TOML that `from_toml` reads back to an equal one."""
    return tomli_w.dumps(dataclasses.asdict(recipe))


def from_toml(text: str, source: str = "the recipe") -> Recipe:
    """A recipe from TOML text. Raises RecipeError naming every mistake; `source` is what the message calls the text."""
    return _checked(_parse(text, source), source)


def from_toml_with(text: str, overrides: Sequence[str], source: str = "the run's recipe") -> Recipe:
    """The recipe of a run that has begun, with overrides of `launch.*`, which alone may change then.

    Raises RecipeError naming every mistake, PlanError for more ranks than the run can ever use.
    """
    document = _parse(text, source)
    changes, wrong = parse_overrides(overrides)
    for key, value in changes.items():
        if key.startswith("launch."):
            _put(document, key, value)
        else:
            wrong.append(f"{key}: a run that has begun takes launch.* settings only; begin another with `muster train`")
    return _checked(document, f"{source} with the overrides" if overrides else source, changes, wrong)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path} is not UTF-8 text (line {line}): TOML must be; save it as UTF-8.") from error


def _parse(text: str, source: str) -> Table:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise RecipeError(f"{source} is not TOML: {error}. (Text needs quotes; a section is [train].)") from error


def _value(text: str) -> Any:
    """A TOML value, or bare words as text. Raises ValueError for what began as TOML and does not end so."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not valid UTF-8")
    try:
        parsed = tomllib.loads(f"v = {text}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if text[:1] in ('"', "'", "[", "{"):
            raise ValueError(f"the value is not TOML ({error}); text that begins so needs quotes around it") from error
        return text
    value = parsed["v"]
    # A line break in the text can end the value; a date is the name of a file far more often than a date.
    is_text = len(parsed) > 1 or isinstance(value, (datetime.date, datetime.time))
    return text if is_text else value


def _leaves(key: str, value: Any) -> Table:
    """`model={kind="lstm", layers=2}` as the two overrides that it stands for."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {path: leaf for name, item in value.items() for path, leaf in _leaves(f"{key}.{name}", item).items()}


def _put(document: Table, key: str, value: Any) -> None:
    section, *above, last = key.split(".") if "." in key else ("", key)
    here = document.setdefault(section, {}) if section else document
    if not isinstance(here, dict):
        return  # the file has a value where a section belongs: reported as that
    for part in above:  # no setting holds tables, so this is a mistake; put in, it will be reported as one
        if not isinstance(here.get(part), dict):
            here[part] = {}
        here = here[part]
    here[last] = value


def _change_kind(document: Table, section: str, changes: Mapping[str, Any]) -> list[str]:
    """Take out of the file's section what an override of its `kind` leaves without a meaning; say what was."""
    table = document.get(section)
    if not isinstance(table, dict):
        return []
    kinds = kinds_of(section)
    old, new = table.get("kind"), changes.get(f"{section}.kind", table.get("kind"))
    if not (isinstance(old, str) and isinstance(new, str)) or old == new or old not in kinds or new not in kinds:
        return []
    has = {
        kind: {s.name: s.annotation for s in settings() if s.section == section and s.kind == kind}
        for kind in (old, new)
    }
    # The same name with another type (a list of widths, one width) is another setting.
    left_out = [name for name in table if name in has[old] and has[old][name] != has[new].get(name)]
    return [
        f'{section}.{name} = {in_toml(table.pop(name))} of the recipe is left out: it is a setting of kind "{old}", '
        f'and the command line asks for "{new}".'
        for name in left_out
    ]


@functools.cache
def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _checked(
    document: Table, title: str, changes: Mapping[str, Any] | None = None, wrong: Sequence[str] = ()
) -> Recipe:
    found = list(wrong)
    if isinstance(document.get("task"), dict):
        document = document | {"task": {"kind": "classify"} | document["task"]}  # as without a section
    try:
        # As JSON, because pydantic is strict about types there and yet takes a table for a section and a list for a
        # tuple; infinity and NaN pass through as its JSON dialect writes them.
        recipe = _adapter().validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        found += mistakes.lines(error.errors(include_url=False), document, changes or {})
    if found:
        raise RecipeError(_listed(found, title))
    return resolve(recipe)


def _listed(wrong: Sequence[str], where: str) -> str:
    count = "1 mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
    return "\n".join(
        [f"{count} in {where}:", *(f"  {line}" for line in wrong), "`muster explain KEY` tells more of a setting."]
    )


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
