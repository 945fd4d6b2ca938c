"""What a run says while it runs: `metrics.jsonl`, and the same in plain words. Rank 0 alone."""

import json
import os
from pathlib import Path
from typing import Any


class Monitor:
    """Appends to `metrics.jsonl`; on a resume the lines after the checkpoint's step are cut off first."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        self.path = path
        if path.exists():
            _cut_back(path, resumed_step)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed with the run

    def write(self, kind: str, **fields: Any) -> None:
        self._file.write(json.dumps({"kind": kind, **fields}) + "\n")
        self._file.flush()
        if kind == "checkpoint":
            os.fsync(self._file.fileno())  # the record must not lag behind what a resume goes on from
        print(_words(kind, fields), flush=True)

    def close(self) -> None:
        self._file.close()


class Silent:
    """The monitor of every other rank."""

    def write(self, kind: str, **fields: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _cut_back(path: Path, step: int) -> None:
    """Keep the whole lines up to a step: what came after was lost with the attempt that wrote it, and will come
    again."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break  # torn by the end of the attempt
        if record.get("step", 0) <= step:
            kept.append(line + "\n")
    beside = path.with_suffix(".partial")
    beside.write_text("".join(kept), encoding="utf-8")
    os.replace(beside, path)


def _words(kind: str, fields: dict[str, Any]) -> str:
    def show(value: Any) -> str:
        if isinstance(value, dict):
            return ",".join(f"{name}:{show(part)}" for name, part in value.items())
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return f"{kind}: " + " ".join(f"{name}={show(value)}" for name, value in fields.items())
