"""What needs an NVIDIA GPU. Skipped, counted, where torch sees none; `docs/gpu.md` says how to run it."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine"),
]


def losses(metrics_of, run):
    return [line["loss"] for line in metrics_of(run, "step")]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_one_gpu_learns_in_bfloat16(muster, recipe_of, metrics_of, tmp_path, model, compiled):
    run = tmp_path / "run"
    recipe = recipe_of(model, train={"steps": 40, "compile": compiled}, launch={"device": "cuda", "ranks": 1})
    ended = muster("train", recipe, "--run", run, timeout=280)
    assert ended.code == 0, ended.err
    plan = json.loads((run / "plan.json").read_text())
    assert plan["device"] == "cuda"
    if torch.cuda.get_device_capability() >= (8, 0):
        assert plan["precision"] == "bfloat16"
    seen = losses(metrics_of, run)
    assert sum(seen[-5:]) < sum(seen[:5])


@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_strict_runs_repeat_to_the_bit(muster, recipe_of, tmp_path, model):
    weights = []
    for name in ("first", "second"):
        recipe = recipe_of(model, train={"steps": 20, "strict": True}, launch={"device": "cuda", "ranks": 1})
        ended = muster("train", recipe, "--run", tmp_path / name)
        assert ended.code == 0, ended.err
        weights.append((tmp_path / name / "model" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_two_ranks_on_one_gpu_are_the_run_of_one(muster, recipe_of, metrics_of, tmp_path, model):
    """Correctness only. Each rank takes itself for a node of its own (NCCL_HOSTID), since NCCL before 2.30 refuses two
    ranks on one GPU of one host; from 2.30 on it has a switch for it."""
    settings = {"steps": 20, "strict": True, "log_steps": 1}
    alone, together = tmp_path / "alone", tmp_path / "together"
    ended = muster("train", recipe_of(model, train=settings, launch={"device": "cuda", "ranks": 1}), "--run", alone)
    assert ended.code == 0, ended.err
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    recipe = recipe_of(model, train=settings, launch={"device": "cuda"})
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "cluster.train", str(recipe), "--run", str(together)],
            env=os.environ
            | {
                "RANK": str(rank),
                "LOCAL_RANK": "0",
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "NCCL_HOSTID": f"rank-{rank}",
                "NCCL_MULTI_RANK_GPU_ENABLE": "1",
                "NCCL_MAX_CTAS": "1",
                "NCCL_SOCKET_IFNAME": "lo",
                "NCCL_NVLS_ENABLE": "0",
                "NCCL_IB_DISABLE": "1",
            },
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    assert losses(metrics_of, together) == pytest.approx(losses(metrics_of, alone), abs=1e-5)
