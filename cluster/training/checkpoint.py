"""Checkpoints: a new folder each, written beside, fsynced, renamed; verified before a byte of it is used.

    000050/  model.safetensors  optimizer.safetensors  state.json  topology.json
             manifest.json (size and SHA-256 of each)

Rank 0 writes; every rank reads. No generator states: all chance is drawn from (seed, step, micro-batch).
"""

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cluster.data.durable import fsync_file, fsync_folder, rename_folder, write_atomically
from cluster.data.order import Position
from cluster.errors import InfrastructureError, NonFiniteError, RunError
from cluster.runs import RunFolder

PARTIAL = ".partial"
BAD = ".bad"


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """All of a run that is not a tensor, after `step` optimizer steps."""

    step: int = 0
    position: Position = Position()
    """Where the order goes on."""
    best_step: int = -1
    """Step of the best evaluation so far, -1 before the first."""
    best_value: float = float("nan")
    evaluations_since_best: int = 0
    ended: bool = False
    """Stopped early: no step is left to take."""

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self) | {"position": self.position.to_json()}
        return fields | {"best_value": self.best_value if self.best_step >= 0 else None}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "TrainState":
        value = fields["best_value"]
        position = Position.from_json(fields["position"])
        return cls(**(fields | {"position": position, "best_value": float("nan") if value is None else value}))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `<parameter>/<moment>`, on the CPU."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{moment}": value.detach().cpu().contiguous()
        for parameter, state in optimizer.state.items()
        for moment, value in state.items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took; each moment goes where torch keeps it (steps stay where the kernel
    wants them)."""
    indices = {name: index for index, (name, _) in enumerate(model.named_parameters())}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, moment = key.rsplit("/", 1)
        state.setdefault(indices[name], {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def refuse_non_finite(tensors: dict[str, Tensor], step: int) -> None:
    """Nothing that is not a number is ever saved. Raises NonFiniteError."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteError(
                f"After step {step} {name} (weights or optimizer) holds NaN or infinity; nothing was saved. The last "
                "checkpoint is whole: "
                "start a new run with a smaller optim.learning_rate, or with optim.clip_norm=1.0."
            )


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def write_tensors(folder: Path, files: dict[str, dict[str, Tensor]], texts: dict[str, str]) -> int:
    """Write a folder of safetensors and JSON files with a manifest, whole or not at all. Returns its bytes.

    Raises InfrastructureError if the disk refuses (full, no rights); nothing is then left under the folder's name.
    """
    try:
        return _write_tensors(folder, files, texts)
    except (OSError, SafetensorError) as error:
        raise InfrastructureError(
            f"{folder} could not be written ({error}). What was saved before is whole. Make room or give "
            "rights, then go on "
            "with `muster resume`."
        ) from error


def _write_tensors(folder: Path, files: dict[str, dict[str, Tensor]], texts: dict[str, str]) -> int:
    beside = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        for name, tensors in files.items():
            save_file(tensors, beside / name)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8")
        entries: dict[str, dict[str, int | str]] = {}
        total = 0
        for name in (*files, *texts):
            fsync_file(beside / name)
            size = (beside / name).stat().st_size
            total += size
            entries[name] = {"bytes": size, "sha256": _sha256(beside / name)}
        write_atomically(beside / "manifest.json", json.dumps({"files": entries}, indent=2).encode())
        rename_folder(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return total


def verify_folder(folder: Path) -> None:
    """Compare every file with the manifest. Raises RunError naming the first that differs."""
    try:
        entries = json.loads((folder / "manifest.json").read_bytes())["files"]
        for name, entry in entries.items():
            if Path(name).name != name:
                raise RunError(f"{folder}/manifest.json names {name!r}, which is not a plain file name.")
            size = (folder / name).stat().st_size
            if size != entry["bytes"]:
                raise RunError(f"{folder / name} has {size} bytes, its manifest says {entry['bytes']}.")
            if _sha256(folder / name) != entry["sha256"]:
                raise RunError(f"{folder / name} does not have the SHA-256 that its manifest says: it was damaged.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder} is not a whole checkpoint ({error}).") from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Checkpoints:
    """The checkpoints of one run: commit, find the newest that verifies, forget the oldest."""

    def __init__(self, run: RunFolder, keep: int, order: str) -> None:
        self.run = run
        self.keep = keep
        self.order = order
        """Fingerprint of the data and of who reads what when: a position means nothing in another order."""

    def sweep(self) -> None:
        """Remove what an earlier attempt left half-written."""
        for parent in (self.run.checkpoints, self.run.best):
            if parent.is_dir():
                for leftover in parent.glob(f"*{PARTIAL}"):
                    shutil.rmtree(leftover)

    def commit(self, state: TrainState, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Save everything a resume needs, then let go of older checkpoints. Returns the bytes written."""
        weights, moments = weights_of(model), optimizer_tensors(model, optimizer)
        refuse_non_finite(weights, state.step)
        refuse_non_finite(moments, state.step)
        folder = self.run.checkpoint(state.step)
        if folder.exists():  # a later attempt came back to a step that a damaged newer checkpoint had hidden
            shutil.rmtree(folder)
        written = write_tensors(
            folder,
            {"model.safetensors": weights, "optimizer.safetensors": moments},
            {"state.json": json.dumps(state.to_json() | {"order": self.order}, indent=2)} | self._machines(),
        )
        self._prune(state)
        return written

    def _machines(self) -> dict[str, str]:
        """What it was made on, if that is known, so that a run that moved can be told apart."""
        record = self.run.topology
        return {record.name: record.read_text(encoding="utf-8")} if record.exists() else {}

    def commit_best(self, step: int, model: nn.Module) -> None:
        """Save the weights of the best evaluation so far."""
        weights = weights_of(model)
        refuse_non_finite(weights, step)
        folder = self.run.best_at(step)
        if folder.exists():
            shutil.rmtree(folder)
        write_tensors(folder, {"model.safetensors": weights}, {})

    def _prune(self, state: TrainState) -> None:
        """Keep the newest checkpoints and the best weights that any of them points to."""
        steps = self.run.checkpoint_steps()
        for step in steps[: -self.keep]:
            shutil.rmtree(self.run.checkpoint(step))
        pointed = {state.best_step}
        for step in steps[-self.keep :]:
            try:
                pointed.add(json.loads((self.run.checkpoint(step) / "state.json").read_bytes())["best_step"])
            except (OSError, ValueError, KeyError, TypeError):
                return  # a damaged checkpoint cannot say which it needs: keep all
        if self.run.best.is_dir():
            for folder in self.run.best.iterdir():
                if folder.name.isdigit() and int(folder.name) not in pointed:
                    shutil.rmtree(folder)

    def newest(self, say: Any = print) -> int | None:
        """Step of the newest checkpoint that verifies; damaged ones are set aside as `.bad`. None if none was ever
        saved.

        Rank 0 asks, and tells the others. Raises RunError if there were some and none verifies: beginning again is for
        a person to decide.
        """
        steps = self.run.checkpoint_steps()
        for step in reversed(steps):
            folder = self.run.checkpoint(step)
            try:
                verify_folder(folder)
            except RunError as error:
                say(f"checkpoint {folder.name} is set aside: {error}")
                _set_aside(folder)
                continue
            self._look_at_best(folder, say)
            return step
        if steps:
            raise RunError(
                f"None of the checkpoints in {self.run.checkpoints} is whole; they were set aside as {BAD}. "
                f"`muster resume {self.run.path}` would now begin at step 0; or begin a new run."
            )
        return None

    def _look_at_best(self, checkpoint: Path, say: Any) -> None:
        """Damaged best weights are no reason to lose a checkpoint: set them aside, the next evaluation is the best
        then."""
        best = int(json.loads((checkpoint / "state.json").read_bytes())["best_step"])
        folder = self.run.best_at(best)
        if best < 0 or not folder.exists():
            return
        try:
            verify_folder(folder)
        except RunError as error:
            say(f"the best weights so far are lost, best/{folder.name} is set aside: {error}")
            _set_aside(folder)

    def load(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
        """Restore model and optimizer in place. Raises RunError if the order of the data is another one."""
        folder = self.run.checkpoint(step)
        fields = json.loads((folder / "state.json").read_bytes())
        if fields.pop("order") != self.order:
            raise RunError(
                f"{folder} was written with another order of the data (settings of data, text or train "
                "changed, or the data "
                "itself): its position means nothing here. Start a new run."
            )
        model.load_state_dict(load_file(folder / "model.safetensors"))
        restore_optimizer(model, optimizer, load_file(folder / "optimizer.safetensors"))
        state = TrainState.from_json(fields)
        if state.best_step >= 0 and not self.run.best_at(state.best_step).is_dir():
            return dataclasses.replace(state, best_step=-1, best_value=float("nan"))
        return state


def _set_aside(folder: Path) -> None:
    target = folder.with_name(folder.name + BAD)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(folder, target)
    fsync_folder(folder.parent)
