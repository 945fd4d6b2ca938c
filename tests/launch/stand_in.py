"""Looks after a run as far as its files show: signs of life, metrics, logs, attempts, a stop request that is obeyed.

python stand_in.py RUN STEPS [deaf | fails]
"""

import json
import os
import sys
import time
from pathlib import Path

from cluster.runs import RunFolder

run, steps, how = RunFolder(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3:]
TICK_SECONDS = 0.1


def write(path, contents):
    beside = path.with_suffix(".beside")
    beside.write_text(json.dumps(contents))
    os.replace(beside, path)


def add(path, contents):
    with open(path, "a") as file:
        file.write(json.dumps(contents) + "\n")


def sign(beat, attempt, step, state="training", words=""):
    ranks = [
        {"rank": rank, "node": f"h{rank + 1}", "pid": os.getpid(), "step": step, "phase": "step", "phase_seconds": 0.1,
         "silent_seconds": 0.1}
        for rank in range(2)
    ]  # fmt: skip
    about = {"host": "elsewhere", "pid": os.getpid(), "job": "", "attempt": attempt, "state": state}
    found = {"nodes": ["h1", "h2"], "restarts": attempt, "words": words, "ranks": ranks}
    write(run.alive, {"time": time.time(), "beat": beat, **about, **found})


def end(attempt, step, verdict, code, message, then=""):
    add(run.history, {"attempt": attempt, "verdict": verdict, "step": step, "cause": message, "next": then})
    contents = {"verdict": verdict, "exit_code": code, "attempt": attempt, "step": step, "message": message}
    write(run.verdict, {**contents, "rank": None, "traceback": "", "next": then, "nodes": ["h1", "h2"], "job": ""})


def leave():
    run.alive.unlink()
    sys.exit(0)


def see_through():
    attempt = run.attempts()
    run.attempt_logs(attempt).mkdir(parents=True)
    for step in range(1, steps + 1):
        sign(step, attempt, step)
        times = {"data": 0.01, "compute": 0.08, "communication": 0.01}
        add(run.metrics, {"kind": "step", "step": step, "epoch": 0, "loss": 1 / step, "tokens_per_second": 5e4,
                          "seconds": times})  # fmt: skip
        for rank in range(2):
            with open(run.rank_log(attempt, rank), "a") as log:
                log.write(f"attempt {attempt} step {step}\n")
        time.sleep(TICK_SECONDS)
        if "fails" in how and step == steps // 2 and attempt == 0:
            end(attempt, step, "infrastructure", 75, "h2 fell silent", "restarted")
            attempt += 1
            run.attempt_logs(attempt).mkdir()
        if run.stop_request.exists() and "deaf" not in how:
            words = run.stop_request.read_text()
            sign(step + 1, attempt, step, "stopping")
            run.stop_request.unlink()
            end(attempt, step, "checkpointed", 85, f"Stopped after step {step} ({words}).")
            leave()
    run.model.mkdir(exist_ok=True)
    run.weights.touch()
    end(attempt, steps, "done", 0, f"Finished after {steps} steps.")
    leave()


see_through()
