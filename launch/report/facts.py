"""What a run's folder tells, gathered for its report; what is not there is said, not guessed."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.config.settings import REQUIRED, find, in_toml
from cluster.errors import InfrastructureError, RunError
from cluster.processes import Follower
from cluster.runs import RunFolder, RunState, read_json, run_state
from launch import local

Record = Mapping[str, Any]
TIMES = ("data", "compute", "communication", "evaluation", "checkpoint", "other")
STANDARD_METRICS = {
    "classify": "accuracy", "multilabel": "f1_micro", "regress": "mse", "tag": "accuracy", "answer": "answer_f1",
    "language": "loss", "rewrite": "loss", "embed": "loss",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a report shows. Dictionaries are what the files hold (empty if a file is not there)."""

    name: str
    folder: str
    state: RunState
    record: Record
    plan: Record
    recipe: Mapping[str, Record]
    """The resolved recipe: section, setting, value."""
    recipe_text: str
    verdict: Record
    evaluation: Record
    baseline: Record
    manifest: Record
    records: Sequence[Record]
    """The lines of metrics.jsonl."""
    attempts: Sequence[Record]
    """Of each attempt that failed in a rank: "attempt", "rank" and what the rank said."""
    attempt_count: int
    mistakes: Record
    """What `cluster.mistakes` answers."""
    missing: Sequence[str]
    """What should be there and is not, in sentences."""

    def of_kind(self, kind: str) -> list[Record]:
        """The lines of metrics.jsonl of one kind that stand at a step."""
        return [record for record in self.records if record.get("kind") == kind and isinstance(record.get("step"), int)]

    @property
    def task(self) -> str:
        """`classify`, `multilabel`, `regress`, `tag`, `answer`, `language`, `rewrite` or `embed`."""
        kind = str(self.recipe.get("task", {}).get("kind"))
        return kind if kind in STANDARD_METRICS else "classify"  # runs of before there were tasks

    @property
    def metric(self) -> str:
        """The validation figure that decides."""
        chosen = str(self.recipe.get("evaluate", {}).get("metric", "auto"))
        if chosen != "auto":
            return chosen
        return "span_f1" if self.scores_spans else STANDARD_METRICS[self.task]

    @property
    def scores_spans(self) -> bool:
        """Do the labels of words spell spans?"""
        return self.recipe.get("task", {}).get("spans") is True

    @property
    def best(self) -> Record:
        """The best evaluation on the validation split; empty without one."""
        evaluations = self.of_kind("evaluation")
        marked = [record for record in evaluations if record.get("best")]
        return next(reversed(marked or evaluations), {})

    def seconds(self) -> dict[str, float]:
        """Where the time of the steps that count went, by `TIMES`; without those that were not measured."""
        found: dict[str, float] = {}
        for record in self.of_kind("step"):
            measured = record.get("seconds")
            for name, value in measured.items() if isinstance(measured, dict) else ():
                found[name] = found.get(name, 0.0) + float(value)
        for kind, name in (("evaluation", "evaluation"), ("scored", "evaluation"), ("checkpoint", "checkpoint")):
            values = [float(record["seconds"]) for record in self.of_kind(kind) if "seconds" in record]
            if values:
                found[name] = found.get(name, 0.0) + sum(values)
        known = {name: found.pop(name) for name in TIMES if name in found}
        return {**known, **({"other": known.get("other", 0.0) + sum(found.values())} if found else {})}


def gather(run: RunFolder, mistakes: int = 50) -> Facts:
    """Everything about a run. Raises RunError if a file of the run is damaged."""
    record = read_json(run.record)
    prepared = Path(str(record["prepared"]))
    answered = _mistakes(run, mistakes)
    recipe_text = _text(run.recipe)
    return Facts(
        name=run.path.resolve().name,
        folder=str(run.path.resolve()),
        state=run_state(run),
        record=record,
        plan=_read(run.plan),
        recipe=_sections(recipe_text, run.recipe),
        recipe_text=recipe_text,
        verdict=_read(run.verdict),
        evaluation=_read(run.evaluation),
        baseline=_read(prepared / "baseline.json"),
        manifest=_read(prepared / "manifest.json"),
        records=Follower(run.metrics).new(),
        attempts=_failures(run),
        attempt_count=run.attempts(),
        mistakes=answered,
        missing=list(answered.get("missing", [])),
    )


def changed_settings(recipe: Mapping[str, Record]) -> list[tuple[str, str, str]]:
    """Settings that are not at their default: dotted name, value and default as TOML (no default: "")."""
    found = []
    for section, settings in recipe.items():
        kind = str(settings.get("kind", ""))
        for name, value in settings.items():
            setting = find(f"{section}.{name}", kind)
            default = REQUIRED if setting is None else setting.default
            default = list(default) if isinstance(default, tuple) else default
            if default is REQUIRED:
                found.append((f"{section}.{name}", _toml(value), ""))
            elif value != default:
                found.append((f"{section}.{name}", _toml(value), _toml(default)))
    return found


def _toml(value: Any) -> str:
    return " ".join(in_toml(value).split())


def _mistakes(run: RunFolder, count: int) -> Record:
    """Texts and arrays are the business of the other wing; the page is whole without them."""
    try:
        return dict(local.answer("cluster.mistakes", [str(run.path), "--count", str(count)]))
    except (local.ChildFailed, InfrastructureError) as failed:
        return {
            "missing": [f"No mistakes, no lengths of documents: the program that looks for them failed ({failed})."]
        }


def _read(path: Path) -> Record:
    return read_json(path) if path.exists() else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read ({error}): restore it from a copy, or begin a new run.") from error


def _sections(toml: str, path: Path) -> Mapping[str, Record]:
    try:
        return {name: section for name, section in tomllib.loads(toml).items() if isinstance(section, dict)}
    except ValueError as error:
        raise RunError(f"{path} is not TOML ({error}): restore it from a copy, or begin a new run.") from error


def _failures(run: RunFolder) -> list[Record]:
    """What ranks said of their own end, attempt by attempt."""
    found: list[Record] = []
    for attempt in range(run.attempts()):
        for path in sorted(run.attempt_logs(attempt).glob("rank-*.failure.json")):
            rank = path.name.removeprefix("rank-").partition(".")[0]
            found.append({**read_json(path), "attempt": attempt, "rank": rank})
    return found
