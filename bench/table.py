"""What benchmarks of several trainers share: each has a process of its own; a table marks the best figures."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Columns = Mapping[str, tuple[str, str]]
"""Figure: its heading, and how it is shown."""
NONE: Columns = {}


def measured(module: str, who: str, arguments: Sequence[str], threads: int) -> dict[str, Any]:
    """The figures that `python -m MODULE WHO ...` prints as JSON on its last line; ends the comparison if it failed."""
    command = [sys.executable, "-m", module, who, *arguments, str(threads)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"), str(threads))
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | limits, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command[1:])} failed with code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    figures: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    print(f"{who}: {figures}", file=sys.stderr, flush=True)
    return {"trainer": who} | figures


def table(rows: Sequence[dict[str, Any]], columns: Columns, sizes: Columns = NONE) -> list[str]:
    """A line of headings and one for each trainer; the largest figure of a column is marked with *, but for `sizes`."""
    lines = [f"{'':10}" + "".join(f"{heading:>20}" for heading, _ in {**columns, **sizes}.values())]
    for row in rows:
        cells = ""
        for name, (_, form) in columns.items():
            best = max(other[name] for other in rows)
            cells += f"{form.format(row[name]) + ('*' if row[name] == best else ' '):>20}"
        cells += "".join(f"{form.format(row[name]) + ' ':>20}" for name, (_, form) in sizes.items())
        lines.append(f"{row['trainer']:10}{cells}")
    return lines
