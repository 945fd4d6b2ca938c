"""The facts of a real NVIDIA GPU, against what torch says of it. Skipped, counted, where torch sees none."""

import os

import pytest
import torch

from cluster.topology.calls import call
from cluster.topology.gpus import read_gpus
from cluster.topology.network import read_network
from cluster.topology.source import Live, Recorder, read_recording, write_recording

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine"),
]


@pytest.fixture(scope="module")
def probed():
    recorder = Recorder(Live(call))
    return read_gpus(recorder, read_network(recorder)), recorder.answers


def test_torch_says_the_same(probed):
    told, _ = probed
    assert told.nvml.known and told.visible.known, (told.nvml.why, told.visible.why)
    by_number = {gpu.cuda_index.value: gpu for gpu in told.devices if gpu.cuda_index.known}
    assert sorted(by_number) == list(range(torch.cuda.device_count()))
    for number, gpu in by_number.items():
        properties = torch.cuda.get_device_properties(number)
        if not gpu.mig.or_else(False):
            assert gpu.uuid.value == f"GPU-{properties.uuid}"
            assert gpu.multiprocessors.or_else(properties.multi_processor_count) == properties.multi_processor_count
            # the driver keeps some of it for itself
            assert gpu.memory_bytes.value == pytest.approx(properties.total_memory, rel=0.05)
        assert gpu.name.value == properties.name.partition(" MIG ")[0]
        assert gpu.compute_capability.value == f"{properties.major}.{properties.minor}"
        assert int(gpu.bus_id.value.split(":")[1], 16) == properties.pci_bus_id


def test_every_fact_has_a_value_or_a_reason(probed):
    told, _ = probed
    for gpu in told.devices:
        for name in type(gpu).__dataclass_fields__:
            fact = getattr(gpu, name)
            assert name == "index" or fact.known or fact.why, name
            assert name == "index" or "not understood" not in fact.why, (name, fact.why)
        if gpu.uuid.known:
            assert gpu.bus_id.value in told.on_bus.value
            assert gpu.power_watts.or_else(1.0) < 5000 and gpu.temperature_celsius.or_else(20) < 130


def test_its_recording_tells_the_same(probed, tmp_path):
    told, answers = probed
    write_recording(tmp_path / "machine.json", "recorded on a real machine by the tests", answers)
    again = read_recording(tmp_path / "machine.json")
    assert read_gpus(again, read_network(again)) == told


def test_this_process_shows_as_ours():
    """It holds a context from here on."""
    held = torch.zeros(1, device="cuda")
    source = Live(call)
    told = read_gpus(source, read_network(source))
    gpu = next(gpu for gpu in told.devices if gpu.cuda_index.value == held.device.index)
    mine = [process for process in gpu.processes.or_else(()) if process.pid == os.getpid()]
    if not mine:
        pytest.skip(f"the driver does not name this process by its number here: {gpu.processes.why or 'a container'}")
    assert mine[0].ours
