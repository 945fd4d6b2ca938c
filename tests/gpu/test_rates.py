"""Measured rates of real GPUs. Skipped, counted, where torch sees none; `docs/gpu.md` says how to run it."""

import pytest
import torch

from cluster.rates import gpu
from cluster.rates.measure import measure_node
from cluster.topology.probe import probe
from tests.rates.jobs import job, record

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine"),
]


@pytest.fixture(scope="module")
def measured():
    """The node with its facts and rates, and the rates by what they are."""
    node = measure_node(probe({}), 20.0 * torch.cuda.device_count(), {}, print)
    found = {}
    for rate in node.rates:
        found.setdefault(rate.what, []).append(rate)
    return node, found


def test_every_gpu_has_every_rate(measured):
    node, found = measured
    assert node.problems == ()
    uuids = {one.gpu.uuid.value for one in gpu.seen(node)}
    assert len(uuids) == torch.cuda.device_count()
    for what in ("device_memory", "host_to_device", "device_to_host"):
        assert {rate.where for rate in found[what]} == uuids
    products = {(rate.where, rate.how) for rate in found["matrix_product"] if rate.where != "cpu"}
    kinds = {"float32", "bfloat16", "float16"} | ({"tf32"} if torch.cuda.get_device_capability() >= (8, 0) else set())
    assert products == {(uuid, kind) for uuid in uuids for kind in kinds}
    count = len(uuids)
    assert len(found.get("device_to_device", [])) == count * (count - 1)


def test_no_rate_is_above_its_limit_nor_far_below(measured):
    node, found = measured
    for what in ("device_memory", "host_to_device", "device_to_host", "matrix_product", "device_to_device"):
        for rate in found.get(what, []):
            if rate.share is not None and rate.where != "cpu" and rate.how != "pageable":
                assert 0.2 < rate.share < 1.02, rate


def test_what_the_gpu_said_meanwhile_is_kept(measured):
    _, found = measured
    for rate in found["device_memory"] + found["host_to_device"]:
        assert rate.under_load and rate.under_load["clock_mhz"] > 0
        assert "idle" not in str(rate.under_load.get("throttle", ""))


def test_tensor_cores_are_faster_than_float32(measured):
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no bfloat16 on its tensor cores")
    by_kind = {rate.how: rate.value for rate in measured[1]["matrix_product"] if rate.where != "cpu"}
    assert by_kind["bfloat16"] > 2 * by_kind["float32"]


def test_two_ranks_on_one_gpu_measure_by_nccl(monkeypatch):
    """Correctness only: each rank takes itself for a node of its own, as in `test_gpu.py`."""
    for name, value in {
        "NCCL_MULTI_RANK_GPU_ENABLE": "1",
        "NCCL_MAX_CTAS": "1",
        "NCCL_SOCKET_IFNAME": "lo",
        "NCCL_NVLS_ENABLE": "0",
        "NCCL_IB_DISABLE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    before = [("env", f"NCCL_HOSTID=rank-{rank}") for rank in range(2)]
    with job(["a", "b"], 6.0, before=before) as processes:
        told = [record(process) for process in processes]
    assert told[0] == told[1]
    assert told[0]["problems"] == []
    assert told[0]["curves"][0]["backend"] == "nccl"
    assert told[0]["pairs"][0]["bytes_per_second"] > 0
