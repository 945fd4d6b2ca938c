"""What each command of `muster` does: the order of things, no more. Loaded when a command runs: it needs pydantic."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.config.describe import as_data, find_all, json_schema
from cluster.config.describe import explain as explain_setting
from cluster.config.load import Loaded, from_toml_with, open_recipe, shipped, to_toml
from cluster.config.packages import require_packages
from cluster.config.schema import Recipe
from cluster.config.settings import sections, settings
from cluster.errors import EXIT_DONE, DataError, RunError
from cluster.plan.plan import describe, make_plan
from cluster.processes import Follower
from cluster.runs import RunFolder, create_run, is_reserved, open_run, prepared_folder, read_json, run_state
from launch import check as checks
from launch import job, local, scores
from launch.checking import Checking
from launch.watch import Watch, evaluation_line


def train(options: argparse.Namespace) -> int:
    """A new run, from raw text to scores."""
    own = job.this_job()
    loaded = _open(options)
    run = RunFolder(Path(options.run or f"runs/{loaded.name}{f'-{own.name}' if own else ''}"))
    if own and job.is_own(run, own):  # the job was requeued
        return _go_on(run, loaded.recipe, [], options.json)
    refuse_taken(run)
    nodes = len(own.nodes) if own else 1
    make_plan(loaded.recipe, checks.machine(), nodes=nodes)  # refuses now what would be refused after the preparation
    require_packages(loaded.recipe)
    with job.requeued_if_interrupted(own):
        prepared = _prepare(options, "--alone", "--wait")
    create_run(run, to_toml(loaded.recipe), Path(prepared["prepared"]))
    if own:
        job.note(run, own)
    return _attempt(run, loaded.recipe, [], options.json)


def resume(options: argparse.Namespace) -> int:
    """Go on with a run from its last checkpoint."""
    run = open_run(Path(options.run))
    recipe = from_toml_with(_text(run.recipe), options.overrides, str(run.recipe))
    return _go_on(run, recipe, options.overrides, options.json)


def _go_on(run: RunFolder, recipe: Recipe, overrides: Sequence[str], as_json: bool) -> int:
    match run_state(run):
        case "finished":
            local.say(f"{run.path} has finished; there is nothing left to do.")
            return _report(run, recipe, as_json, seconds=0.0)
        case "running":
            raise RunError(f"{run.path} is being trained by another process: wait for it, or stop it first.")
        case _:
            _prepare_again(run)
            return _attempt(run, recipe, overrides, as_json)


def refuse_taken(run: RunFolder) -> None:
    """Raises RunError if a new run cannot have this folder, naming the ways on."""
    path, another = run.path, "Begin another with --run DIR."
    match run_state(run) if path.is_dir() else "absent":
        case "finished":
            scored = f" (test {scores.headline(read_json(run.evaluation))})" if run.evaluation.exists() else ""
            raise RunError(
                f"{path} holds a finished run{scored}. "
                f"Use it with `muster predict {path}` or `muster evaluate {path}`. {another}"
            )
        case "running":
            raise RunError(f"{path} is being trained by another process. {another}")
        case "interrupted" | "created":
            steps = run.checkpoint_steps()
            where = (
                f"stopped after the checkpoint of step {steps[-1]:,}"
                if steps
                else "stopped before its first checkpoint"
            )
            raise RunError(f"{path} holds a run that {where}. Go on with: muster resume {path}\n{another}")
        case _:
            _refuse_unusable(path)


def _refuse_unusable(path: Path) -> None:
    """What `create_run` would refuse, before anybody waits for a preparation."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file: a run needs a folder of its own. Choose another with --run DIR.")
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise RunError(f"{path} cannot be made, {there} is a file. Choose another folder with --run DIR.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(
            f"The run folder {path} cannot be written (no rights in {there}). Choose another with --run DIR."
        )
    if path.is_dir() and any(path.iterdir()) and not is_reserved(RunFolder(path)):
        raise RunError(f"{path} is not empty: a new run needs a folder of its own. Choose another with --run DIR.")


def prepare(options: argparse.Namespace) -> int:
    """Raw text to shards, ahead of a run."""
    _open(options)
    answer = _prepare(options)
    print(json.dumps(answer, indent=2) if options.json else answer["prepared"])
    return EXIT_DONE


def check(options: argparse.Namespace) -> int:
    """Everything that can be known to be wrong before anything is started."""
    loaded = _open(options)
    machine = checks.machine()
    plan = make_plan(loaded.recipe, machine)
    require_packages(loaded.recipe)
    checks.check_sources(loaded.recipe, options.recipe, options.overrides)
    planned = describe(plan, machine)
    if options.json:
        report = {"recipe": loaded.name, "valid": True, "notes": loaded.notes, "plan": planned}
        print(json.dumps({**report, "settings": _settings(loaded.recipe)}, indent=2))
    else:
        print(f"{options.recipe} is valid: its settings hold, its sources are there.\nHere it would run on: {planned}")
    return EXIT_DONE


def explain(options: argparse.Namespace) -> int:
    """What a setting means and allows."""
    if not options.json:
        print(explain_setting(options.key))
        return EXIT_DONE
    section = options.key.strip("[]")
    if not options.key or section in sections():
        found = [s for s in settings() if s.section == section or not options.key]
    else:
        found = find_all(options.key)
    print(json.dumps([as_data(setting) for setting in found], indent=2))
    return EXIT_DONE


def recipes(options: argparse.Namespace) -> int:
    """The recipes that come with muster."""
    about = {name: _text(path).partition("\n")[0].removeprefix("# ") for name, path in shipped().items()}
    if options.json:
        print(json.dumps([{"name": n, "about": a, "path": str(shipped()[n])} for n, a in about.items()], indent=2))
    else:
        width = max(map(len, about))
        print("\n".join(f"{name:<{width}}  {words}" for name, words in about.items()))
    return EXIT_DONE


def schema(options: argparse.Namespace) -> int:
    """The JSON Schema of a recipe."""
    print(json.dumps(json_schema(), indent=2, allow_nan=False))
    return EXIT_DONE


def inspect_order(options: argparse.Namespace) -> int:
    """Who reads what when."""
    from cluster.data.inspect import order_report, print_order

    loaded = _open(options)
    prepared = _prepare(options, "--alone")
    first, last = options.steps or (0, 10)
    report = order_report(Path(prepared["prepared"]), loaded.recipe, options.ranks or 1, first, last)
    print(json.dumps(report) if options.json else print_order(report))
    return EXIT_DONE


def verify(options: argparse.Namespace) -> int:
    """Is prepared data still what was written, to the bit? Raises DataError that names all that is not."""
    from cluster.data.manifest import open_prepared
    from cluster.data.verify import WAY_OUT, damages, unknown_files

    manifest = open_prepared(prepared_folder(Path(options.data)))
    size = sum(entry.bytes for entry in manifest.files())
    with Checking(size) as checking:
        found = damages(manifest, lambda entry: checking.add(entry.bytes))
    unknown = unknown_files(manifest)
    blocks = sum(len(entry.blocks) for entry in manifest.files())
    if options.json:
        counts = {"data": str(manifest.folder), "bytes": size, "blocks": blocks}
        print(json.dumps({**counts, "damage": [damage._asdict() for damage in found], "unknown_files": unknown}))
    for name in unknown:
        local.say(f"{name} is not in the manifest: no run reads it.")
    if found:
        raise DataError("\n".join([*(damage.words for damage in found), WAY_OUT]))
    if not options.json:
        print(f"{manifest.folder} is whole: {size:,} bytes in {blocks:,} blocks hold what was written.")
    return EXIT_DONE


def evaluate(options: argparse.Namespace) -> int:
    """Exact scores of a finished run, on its test split or on a file."""
    run = open_run(Path(options.run))
    from_toml_with(_text(run.recipe), options.overrides, str(run.recipe))
    if not run.weights.exists():
        raise RunError(f"{run.path} has no model yet: finish it first, with: muster resume {run.path}")
    data = ["--data", str(options.data)] if options.data else []
    evaluation = local.answer("cluster.evaluation", [str(run.path), *options.overrides, *data])
    if evaluation.get("task") == "embed":
        evaluation["similarity"] = _similarity(run)
    if options.json:
        print(json.dumps(evaluation, indent=2))
    else:
        baseline = None if options.data else _known_baseline(run)  # it was scored on the test split
        shown = [scores.per_class(evaluation), scores.comparison(evaluation, baseline), scores.similarity(evaluation)]
        print("\n\n".join(filter(None, shown)))
    return EXIT_DONE


def _similarity(run: RunFolder) -> dict[str, Any]:
    """How word vectors agree with people, by the sets that are fetched."""
    found = dict(local.answer("cluster.similarity", [str(run.path)]))
    if missing := [name for name in scores.SIMILARITY if name not in found]:
        local.say("not compared with people: " + ", ".join(f"`muster data fetch {name}`" for name in missing))
    return found


def report(options: argparse.Namespace) -> int:
    """One page about a run."""
    from launch.report.page import write_report

    path = write_report(open_run(Path(options.run)), Path(options.output) if options.output else None)
    print(json.dumps({"report": str(path)}) if options.json else path)
    return EXIT_DONE


def baseline(options: argparse.Namespace) -> int:
    """scikit-learn on the same split."""
    _open(options)
    figures = local.answer("cluster.baseline", [options.recipe, *options.overrides])
    print(json.dumps(figures, indent=2) if options.json else scores.baseline(figures))
    return EXIT_DONE


def _open(options: argparse.Namespace) -> Loaded:
    loaded = open_recipe(options.recipe, options.overrides)
    for note in loaded.notes:
        local.say(note)
    return loaded


def _prepare(options: argparse.Namespace, *flags: str) -> dict[str, Any]:
    return dict(local.answer("cluster.prepare", [options.recipe, *options.overrides, "--json", *flags]))


def _prepare_again(run: RunFolder) -> None:
    """A run whose prepared data was cleared away gets it back, if it still comes out the same. Raises RunError."""
    prepared = Path(str(read_json(run.record).get("prepared")))
    if prepared.exists():
        return
    local.say(f"the prepared data of {run.path} is gone; preparing it again")
    again = Path(local.answer("cluster.prepare", [str(run.recipe), "--json", "--alone"])["prepared"])
    if again.name != prepared.name:  # the name is the fingerprint of sources and settings
        raise RunError(
            f"{run.path} was trained on data that cannot be made again: the sources have changed "
            f"({prepared.name} became {again.name}). Restore them, or begin a new run."
        )
    if again.resolve() != prepared.resolve():
        raise RunError(f"{run.path} looks for its data at {prepared}, it is at {again}. Set MUSTER_CACHE as it was.")


def _attempt(run: RunFolder, recipe: Recipe, overrides: Sequence[str], as_json: bool) -> int:
    began = time.monotonic()
    with Watch(run, recipe.evaluate.metric) as watch:
        code = local.supervise(run.path, overrides, watch)
    if code == EXIT_DONE:
        return _report(run, recipe, as_json, time.monotonic() - began)
    if as_json:
        print(json.dumps({"run": str(run.path), "exit_code": code, "verdict": _read_if_there(run.verdict)}, indent=2))
    return code


def _report(run: RunFolder, recipe: Recipe, as_json: bool, seconds: float) -> int:
    """The scores of a finished run, and the ways on."""
    evaluation = _read_if_there(run.evaluation)
    against = _baseline_of(run) if recipe.evaluate.baseline else None
    if as_json:
        report = {
            "run": str(run.path),
            "exit_code": EXIT_DONE,
            "verdict": _read_if_there(run.verdict),
            "seconds": round(seconds, 3),
            "evaluation": evaluation,
            "baseline": against,
        }
        print(json.dumps(report, indent=2))
        return EXIT_DONE
    took = f" in {seconds:.0f} s" if seconds else ""
    print(f"{run.path}: finished{took}")
    print(scores.comparison(evaluation, against) if evaluation else _without_test(run, recipe))
    asked = ' --question "What is asked?"' if recipe.task.kind == "answer" else ""
    if recipe.task.kind == "embed":
        print(f"Who is near whom:    muster neighbours {run.path} WORD")
    else:
        print(f'Use it on text:    muster predict {run.path} "some text"{asked}')
    if evaluation and recipe.task.kind == "embed":
        print(f"Compare with people: muster evaluate {run.path}")
    elif evaluation:
        print(f"See every class:   muster evaluate {run.path}")
    return EXIT_DONE


def _without_test(run: RunFolder, recipe: Recipe) -> str:
    """A run without a test split has its best evaluation on the validation split to show, if it has one."""
    evaluations = [record for record in Follower(run.metrics).new() if record.get("kind") == "evaluation"]
    best = [record for record in evaluations if record.get("best")] or evaluations
    head = 'data.test = "none": no final score.'
    return f"{head} {evaluation_line(best[-1], recipe.evaluate.metric)}" if best else head


def _baseline_of(run: RunFolder) -> dict[str, Any] | None:
    """The baseline on this run's split, fitted now if it was not before. A run is not lost for want of one."""
    known = _known_baseline(run)
    if known is not None:
        return known
    local.say("fitting the baseline on the same split (evaluate.baseline=false leaves it out)")
    try:
        return dict(local.answer("cluster.baseline", [str(run.recipe)]))
    except local.ChildFailed as failed:
        local.say(f"no baseline: it ended with exit code {failed.exit_code}; the run itself is whole.")
        return None


def _known_baseline(run: RunFolder) -> dict[str, Any] | None:
    return _read_if_there(Path(str(read_json(run.record).get("prepared"))) / "baseline.json")


def _read_if_there(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None


def _settings(recipe: Recipe) -> dict[str, Any]:
    import tomllib

    whole: dict[str, Any] = json.loads(json.dumps(tomllib.loads(to_toml(recipe))), parse_constant=lambda _: "inf")
    return whole


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
