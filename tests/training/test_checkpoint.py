import json
import math

import pytest
import torch
from torch import nn

from cluster.config.schema import Optim
from cluster.data.order import Position
from cluster.errors import InfrastructureError, NonFiniteError, RunError
from cluster.runs import RunFolder
from cluster.training.checkpoint import Checkpoints, TrainState, optimizer_tensors
from cluster.training.optim import build_optimizer

ORDER = "order-1"


@pytest.fixture
def trained():
    """A small model and its optimizer after three steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    optimizer = build_optimizer(model, Optim(), torch.device("cpu"))
    for _ in range(3):
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def fresh():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    return model, build_optimizer(model, Optim(), torch.device("cpu"))


def test_what_is_loaded_is_what_was_saved(tmp_path, trained):
    model, optimizer = trained
    checkpoints = Checkpoints(RunFolder(tmp_path), keep=2, order=ORDER)
    checkpoints.commit_best(2, model)
    state = TrainState(step=3, position=Position(3, 1, 0, 2), best_step=2, best_value=0.75, evaluations_since_best=1)
    checkpoints.commit(state, model, optimizer)
    other, its_optimizer = fresh()
    assert checkpoints.newest() == 3
    assert checkpoints.load(3, other, its_optimizer) == state
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    before, after = optimizer_tensors(model, optimizer), optimizer_tensors(other, its_optimizer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_only_the_newest_are_kept_and_the_best_that_they_point_to(tmp_path, trained):
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=2, order=ORDER)
    for step, best in [(10, 10), (20, 10), (30, 30), (40, 30)]:
        if step == best:
            checkpoints.commit_best(step, trained[0])
        checkpoints.commit(TrainState(step=step, best_step=best, best_value=0.5), *trained)
    assert run.checkpoint_steps() == [30, 40]
    assert [folder.name for folder in run.best.iterdir()] == ["000030"]


DAMAGE = {
    "a flipped bit": lambda file: file.write_bytes(
        file.read_bytes()[:-3] + bytes([file.read_bytes()[-3] ^ 4]) + file.read_bytes()[-2:]
    ),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path, trained, file, damage):
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=2, order=ORDER)
    for step in (10, 20):
        checkpoints.commit(TrainState(step=step), *trained)
    DAMAGE[damage](run.checkpoint(20) / file)
    said = []
    assert checkpoints.newest(said.append) == 10
    assert "000020" in said[0]
    assert run.checkpoint_steps() == [10]
    assert (run.checkpoints / "000020.bad").is_dir()


def test_damaged_best_weights_do_not_cost_the_checkpoint(tmp_path, trained):
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=2, order=ORDER)
    checkpoints.commit_best(10, trained[0])
    checkpoints.commit(TrainState(step=10, best_step=10, best_value=0.5), *trained)
    DAMAGE["a flipped bit"](run.best_at(10) / "model.safetensors")
    said = []
    assert checkpoints.newest(said.append) == 10
    assert "best/000010" in said[0]
    assert checkpoints.load(10, *fresh()).best_step == -1


def test_moments_that_are_no_numbers_are_not_saved_either(tmp_path, trained):
    model, optimizer = trained
    checkpoints = Checkpoints(RunFolder(tmp_path), keep=1, order=ORDER)
    next(iter(optimizer.state.values()))["exp_avg_sq"].fill_(math.inf)
    with pytest.raises(NonFiniteError, match="exp_avg_sq"):
        checkpoints.commit(TrainState(step=10), model, optimizer)


def test_a_half_written_checkpoint_is_never_seen(tmp_path, trained):
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=2, order=ORDER)
    checkpoints.commit(TrainState(step=10), *trained)
    half = run.checkpoints / "000020.partial"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoints.newest() == 10
    checkpoints.sweep()
    assert not half.exists()


def test_nothing_that_is_not_a_number_is_saved(tmp_path, trained):
    model, optimizer = trained
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=1, order=ORDER)
    checkpoints.commit(TrainState(step=10), model, optimizer)
    with torch.no_grad():
        model[0].bias[1] = math.nan
    with pytest.raises(NonFiniteError, match="0.bias"):
        checkpoints.commit(TrainState(step=20), model, optimizer)
    assert run.checkpoint_steps() == [10]


def test_a_checkpoint_of_another_order_is_refused(tmp_path, trained):
    checkpoints = Checkpoints(RunFolder(tmp_path), keep=2, order=ORDER)
    checkpoints.commit(TrainState(step=10), *trained)
    with pytest.raises(RunError, match="another order"):
        Checkpoints(RunFolder(tmp_path), keep=2, order="order-2").load(10, *fresh())


def test_names_in_a_manifest_stay_in_the_folder(tmp_path, trained):
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=2, order=ORDER)
    checkpoints.commit(TrainState(step=10), *trained)
    manifest = run.checkpoint(10) / "manifest.json"
    manifest.write_text(json.dumps({"files": {"../../outside": {"bytes": 0, "sha256": ""}}}))
    said = []
    with pytest.raises(RunError, match="None of the checkpoints"):
        checkpoints.newest(said.append)
    assert "plain file name" in said[0]


def test_a_full_disk_leaves_the_last_checkpoint_and_no_half(tmp_path, trained, monkeypatch):
    """The rename is refused as a full disk would: a stand-in, since a test may not fill a disk."""
    run = RunFolder(tmp_path)
    checkpoints = Checkpoints(run, keep=1, order=ORDER)
    checkpoints.commit(TrainState(step=10), *trained)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.training.checkpoint.rename_folder", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        checkpoints.commit(TrainState(step=20), *trained)
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["000010"]
