"""One process of the shared pool of ranks: runs functions of test files, one at a time, each in a group of its own.

Reads one JSON object a line from standard input: {"file", "function", "arguments", "environment"}; answers with one on
a descriptor of its own: {"result"} or {"error"}.
"""

import importlib.util
import json
import os
import sys
import traceback

import torch

MODULES = {}
KEPT = []
BEGAN_WITH = dict(os.environ)
CPUS = os.sched_getaffinity(0)


def load(path):
    if path not in MODULES:
        specification = importlib.util.spec_from_file_location(f"pooled_{len(MODULES)}", path)
        MODULES[path] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(MODULES[path])
    return MODULES[path]


def begin_anew(environment):
    """What the last call has set for its own process (a training: its interface, its cores) is not the next one's."""
    os.environ.clear()
    os.environ.update(BEGAN_WITH | environment)
    os.sched_setaffinity(0, CPUS)


def main():
    answers = os.fdopen(int(sys.argv[1]), "w")
    for line in sys.stdin:
        call = json.loads(line)
        begin_anew(call["environment"])
        torch.use_deterministic_algorithms(False)
        try:
            answer = {"result": getattr(load(call["file"]), call["function"])(**call["arguments"])}
        except BaseException:
            answer = {"error": traceback.format_exc()}
            KEPT.append(torch.distributed.group.WORLD)
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # as ranks end: see `leave` in cluster/training/parallel.py


if __name__ == "__main__":
    main()
