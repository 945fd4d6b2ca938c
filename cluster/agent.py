"""One for each node: starts the ranks through torch's elastic launcher in this process, and says how they ended.

python -m cluster.agent train RUN [launch.ranks=2]
python -m cluster.agent evaluate RUN [--data FILE] [launch.ranks=2]
"""

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from cluster.config.load import from_toml_with
from cluster.config.schema import Recipe
from cluster.data.manifest import open_prepared
from cluster.errors import (
    EXIT_CHECKPOINTED,
    EXIT_DONE,
    EXIT_WRONG_INPUT,
    DataError,
    InfrastructureError,
    Interrupted,
    MusterError,
    without_right,
)
from cluster.plan.placement import place
from cluster.plan.plan import Plan, describe, keep_stored, make_plan
from cluster.runs import RunFolder, locked, open_run, read_json
from cluster.topology.health.judge import before_start
from cluster.topology.node import cluster_of
from cluster.training.faults import ATTEMPT, PARENT, STOP_SIGNALS, die_with_parent
from cluster.training.parallel import machine
from cluster.training.site import hand_down, node_of, refuse_unfit, write_record
from cluster.training.verdict import verdict_of, write_verdict

SHUTDOWN_SECONDS = 120
"""How long ranks may take to save a checkpoint after a signal before they are killed."""
LOG_TAIL_LINES = 20


class RankLogs(LogsSpecs):
    """`rank-N.log` for each rank of an attempt, in the run folder."""

    def __init__(self, run: RunFolder, attempt: int) -> None:
        super().__init__(str(run.attempt_logs(attempt)))
        self.run = run
        self.attempt = attempt

    @property
    def root_log_dir(self) -> str:
        return str(self.run.attempt_logs(self.attempt))

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        logs = {local: str(self.run.rank_log(self.attempt, int(env.get("RANK", local)))) for local, env in envs.items()}
        nowhere = dict.fromkeys(envs, "")
        for local in envs:
            envs[local]["TORCHELASTIC_ERROR_FILE"] = ""  # a rank leaves `rank-N.failure.json` instead
        return LogsDest(stdouts=logs, stderrs=dict(nowhere), error_files=dict(nowhere))


def main(arguments: list[str] | None = None) -> int:
    """Run one attempt, or one evaluation; returns the exit code of its verdict."""
    options = _parse(arguments)
    _quieten_torch()
    die_with_parent(signal.SIGTERM)
    try:
        run = open_run(options.run)
        recipe = from_toml_with(run.recipe.read_text(), options.overrides)
        if options.job == "train":
            return train(run, recipe, options.overrides)
        print(json.dumps(evaluate(run, recipe, options.data, options.overrides)))
        return EXIT_DONE
    except MusterError as error:
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"muster: {without_right(error)}", file=sys.stderr)
        return EXIT_WRONG_INPUT


def _quieten_torch() -> None:
    """The verdict says it better. Each module of torch's launcher has a logger with a level of its own."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster.agent", description=__doc__)
    parser.add_argument("job", choices=["train", "evaluate"])
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="launch.KEY=VALUE")
    parser.add_argument("--data", type=Path, help="evaluate: a file instead of the test split")
    return parser.parse_intermixed_args(arguments)


def train(run: RunFolder, recipe: Recipe, overrides: list[str]) -> int:
    """One attempt at a run: start the ranks, wait, write the verdict. Returns its exit code."""
    with locked(run):
        attempt = run.attempts()
        node = node_of(run.path, Path(read_json(run.record)["prepared"]))
        try:
            refuse_unfit(before_start(node), recipe, _say)
        except InfrastructureError as error:
            write_verdict(run, "infrastructure", str(error), attempt=attempt)
            raise
        here = machine()
        plan = make_plan(recipe, here)
        if run.plan.exists():
            plan = keep_stored(plan, read_json(run.plan), recipe)
        placement = place(node, plan, recipe, ranks_of_node=plan.ranks)
        _say("\n  ".join([describe(plan, here), *placement.reasons]))
        if run.plan.exists() and (differences := plan.differences(read_json(run.plan))):
            _say(f"not bit-equal to the attempts before: {', '.join(differences)}")
        run.attempt_logs(attempt).mkdir(parents=True)
        write_record(run, cluster_of([node]))
        hand_down(placement)
        os.environ[ATTEMPT] = str(attempt)
        failures = _run_ranks(run, attempt, plan, ["cluster.train", "--resume", str(run.path), *overrides])
        return _conclude(run, attempt, failures)


def evaluate(run: RunFolder, recipe: Recipe, data: Path | None, overrides: list[str]) -> dict[str, Any]:
    """Scores of a finished run on its test split, or on a file. Raises MusterError."""
    with tempfile.TemporaryDirectory(prefix="muster-evaluate-") as scratch:
        prepared, unknown = _evaluation_data(run, recipe, data, Path(scratch) / "data")
        here = machine()
        plan = make_plan(recipe, here)
        hand_down(place(node_of(run.path, prepared), plan, recipe, ranks_of_node=plan.ranks))
        print(describe(plan, here), file=sys.stderr, flush=True)
        output = Path(scratch) / "scores.json"
        logs = RunFolder(Path(scratch))
        logs.attempt_logs(0).mkdir(parents=True)
        module = ["cluster.evaluate", str(run.path), *overrides, "--prepared", str(prepared), "--output", str(output)]
        os.environ[ATTEMPT] = "0"
        failures = _run_ranks(logs, 0, plan, module)
        if failures is None:
            raise Interrupted("The evaluation was stopped; nothing was changed.")
        if failures or not output.exists():
            cause = _root_cause(logs, 0, failures)
            error = MusterError(cause["message"] + (f"\n{cause['traceback']}" if cause["traceback"] else ""))
            error.exit_code = cause["exit_code"]
            raise error
        return {**json.loads(output.read_bytes()), "unknown_labels": unknown}


def _evaluation_data(run: RunFolder, recipe: Recipe, data: Path | None, scratch: Path) -> tuple[Path, dict[str, int]]:
    """The folder that holds the split to score, and its labels that the model was never taught."""
    if data is None:
        manifest = open_prepared(Path(read_json(run.record)["prepared"]))
        if "test" not in manifest.splits:
            raise DataError(f"{run.path} has no test split (data.test is none): name a file with --data FILE.")
        return manifest.folder, dict(manifest.report.get("unknown_labels", {}).get("test", {}))
    from cluster.prepare import prepare_evaluation  # spaCy: only where text is read
    from cluster.text.raw.read import resolve
    from cluster.text.tokens.pipeline import Encoder

    labels = json.loads((run.model / "model.json").read_bytes())["labels"]
    try:
        files = resolve(str(data), "test")
    except DataError as error:
        raise DataError(f"--data {data}: {str(error).removeprefix('data.test: ')}") from error
    encoder, kind = Encoder.load(run.model), recipe.task.kind
    report = prepare_evaluation(encoder, labels, files, recipe.data, scratch, _say, task=kind)
    return scratch, dict(report.get("unknown_labels", {}))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run_ranks(run: RunFolder, attempt: int, plan: Plan, module: list[str]) -> dict[int, ProcessFailure] | None:
    """Start the ranks and wait for them. Returns who failed: nobody is {}, and None means that a signal ended them."""
    os.environ["OMP_NUM_THREADS"] = str(plan.threads)
    # How long an idle OpenMP thread spins before it sleeps. libgomp's default lets a step take 30 times as long as soon
    # as another process wants one of the cores; this costs 1-3 % where none does (measured with an LSTM on 2 cores).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # The loader's threads share the heap: with heaps of their own, as glibc has them, a rank grew by 12 MB in 10^5
    # batches instead of 4 (`bench.data growth`).
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    os.environ[PARENT] = str(os.getpid())
    # A restarted rank would read the dead attempt's addresses from a shared store (torch 2.13, gloo).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=plan.ranks,
        run_id=f"muster-{os.getpid()}.{attempt}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=RankLogs(run, attempt),
        signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGUSR1",
    )
    if hasattr(config, "shutdown_timeout"):  # from torch 2.12
        config.shutdown_timeout = SHUTDOWN_SECONDS
    try:
        elastic_launch(config, sys.executable)("-m", *module)
    except ChildFailedError as error:
        return dict(error.failures)
    except (SignalException, KeyboardInterrupt):
        return None
    finally:
        for number in STOP_SIGNALS:  # the ranks are gone: what is left is to say how
            signal.signal(number, signal.SIG_IGN)
    return {}


def _conclude(run: RunFolder, attempt: int, failures: dict[int, ProcessFailure] | None) -> int:
    """Write the verdict of an attempt and say it. Rank 0 has written it already if it finished or stopped by itself."""
    verdict = read_json(run.verdict) if run.verdict.exists() else {}
    spoken = verdict.get("verdict") if verdict.get("attempt") == attempt else None
    if spoken == "done" and not failures:
        return EXIT_DONE
    own = [words for words in _records(run, attempt) if not words["asked_to_stop"] and not words["because_of_a_peer"]]
    if spoken == "checkpointed" and not own and (failures is None or _all_stopped(failures)):
        _say(f"muster: {verdict['message']} Go on with: muster resume {run.path}")
        return EXIT_CHECKPOINTED
    if failures is None and not own:
        steps = run.checkpoint_steps()
        saved = f"the checkpoint of step {steps[-1]} is there" if steps else "no step had been saved"
        message = f"Stopped by a signal; {saved}."
        _say(f"muster: {message} Go on with: muster resume {run.path}")
        return write_verdict(run, "checkpointed", message, attempt=attempt, step=steps[-1] if steps else 0)
    cause = _root_cause(run, attempt, failures or {})
    _say(f"muster: {cause['message']}")
    if cause["traceback"]:
        _say(cause["traceback"])
    _say(f"muster: logs of all ranks: {run.attempt_logs(attempt)}")
    return write_verdict(
        run,
        verdict_of(cause["exit_code"]),
        cause["message"],
        attempt=attempt,
        rank=cause["rank"],
        traceback=cause["traceback"],
    )


def _all_stopped(failures: dict[int, ProcessFailure]) -> bool:
    # Once the first rank has left, the launcher signals the others, which only repeats the request to stop.
    return all(failure.exitcode in (EXIT_CHECKPOINTED, -signal.SIGTERM) for failure in failures.values())


def _root_cause(run: RunFolder, attempt: int, failures: dict[int, ProcessFailure]) -> dict[str, Any]:
    """Which rank failed first by itself, and its own words; ranks that only noticed a lost peer come last."""
    words = _records(run, attempt)
    spoken = {record["rank"] for record in words}
    candidates = [_own_words(record) for record in words]
    candidates += [_last_words(run, attempt, rank, failure) for rank, failure in failures.items() if rank not in spoken]
    if not candidates:
        return {"rank": None, "exit_code": 93, "message": "The ranks ended without a result.", "traceback": ""}
    return min(candidates, key=lambda candidate: (candidate["order"], candidate["time"]))


def _records(run: RunFolder, attempt: int) -> list[dict[str, Any]]:
    """What the ranks of an attempt left in writing."""
    return [read_json(path) for path in sorted(run.attempt_logs(attempt).glob("rank-*.failure.json"))]


def _own_words(words: dict[str, Any]) -> dict[str, Any]:
    expected = bool(words["expected"])
    return {
        "rank": words["rank"],
        "exit_code": words["exit_code"] if expected else (75 if words["because_of_a_peer"] else 93),
        "message": words["message"]
        if expected
        else f"Rank {words['rank']} failed: {words['kind']}: {words['message']}",
        "traceback": "" if expected else words["traceback"],
        "order": 3 if words["asked_to_stop"] else 2 if words["because_of_a_peer"] else 0,
        "time": words["time"],
    }


def _last_words(run: RunFolder, attempt: int, rank: int, failure: ProcessFailure) -> dict[str, Any]:
    """A rank that left no record: killed by a signal, or ended before it could speak."""
    log = run.rank_log(attempt, rank)
    tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        message = f"Rank {rank} (process {failure.pid}) was killed by {name}"
        message += "; the kernel does so when memory runs out (see dmesg)." if name == "SIGKILL" else "."
    else:
        message = f"Rank {rank} ended with exit code {failure.exitcode} before it could say why."
    return {
        "rank": rank,
        "exit_code": 75 if failure.exitcode < 0 else 93,
        "message": message,
        "traceback": "\n".join(["Last lines of its log:", *tail]) if tail else "",
        "order": 1,
        "time": float(failure.timestamp),
    }


if __name__ == "__main__":
    sys.exit(main())
