"""GPUs of composed machines: every fact has a value or a reason."""

import dataclasses

import pytest

from cluster.topology.fact import Fact, Unread
from cluster.topology.gpu import Gpu, GpuProcess, RemappedRows
from cluster.topology.gpus import read_gpus
from cluster.topology.network import Network
from cluster.topology.node import node_from_json, to_json
from cluster.topology.nvml import ERRORS, refused
from cluster.topology.probe import probe
from cluster.topology.source import Replay, read_recording, write_recording
from tests.topology.composed import CODES
from tests.topology.faults import FAULTS
from tests.topology.machines import FOLDERS, KINDS, machine, recorded

FACTS = [field.name for field in dataclasses.fields(Gpu) if field.name != "index"]
FROM_BUS = {"bus_id", "numa_node", "cpus", "pcie_generation_slot", "pcie_width_slot", "xids"}
"""What /sys and the kernel's log tell of a GPU that no longer answers."""


def read(kind="h100x8", *faults, number=0):
    return read_gpus(machine(kind, faults, number), Network())


def reasons(gpu, *but):
    return {name: getattr(gpu, name).status for name in FACTS if getattr(gpu, name).status != "ok" and name not in but}


def test_an_h100():
    gpu = read().devices[5]
    told = {name: getattr(gpu, name).value for name in FACTS if name != "nvlinks"}
    assert told == {
        "uuid": "GPU-00000000-0000-4000-8000-000000000005",
        "bus_id": "0000:c3:00.0",
        "cuda_index": 5,
        "name": "NVIDIA H100 80GB HBM3",
        "serial": "1650000000005",
        "vbios": "96.00.74.00.01",
        "compute_capability": "9.0",
        "multiprocessors": 132,
        "memory_bytes": 85_520_809_984,
        "memory_used_bytes": 500 << 20,
        "memory_bus_bits": 5120,
        "clock_mhz": 345,
        "clock_max_mhz": 1980,
        "clock_set_mhz": None,
        "memory_clock_mhz": 2619,
        "memory_clock_max_mhz": 2619,
        "power_watts": 72.51,
        "power_limit_watts": 700.0,
        "power_limit_default_watts": 700.0,
        "temperature_celsius": 31,
        "slowdown_celsius": 89,
        "throttle": ("idle",),
        "utilisation_percent": 0,
        "ecc": True,
        "ecc_pending": True,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "ecc_uncorrected_lifetime": 0,
        "remapped_rows": RemappedRows(0, 0, False, False),
        "retired_pages_pending": None,
        "mig": False,
        "mig_devices": (),
        "persistence": True,
        "compute_mode": "default",
        "pcie_generation": 5,
        "pcie_generation_max": 5,
        "pcie_generation_card": 5,
        "pcie_generation_slot": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "pcie_width_slot": 16,
        "pcie_replays": 0,
        "numa_node": 1,
        "cpus": "48-95,144-191",
        "processes": (),
        "c2c": None,
        "fabric": "completed, cluster 00000000-0000-0000-0000-000000000000, clique 0",
        "xids": (),
    }
    links = gpu.nvlinks.value
    assert len(links) == 18 and {(link.active, link.peer) for link in links} == {(True, "switch")}
    assert len({link.peer_bus_id for link in links}) == 4
    assert gpu.clock_set_mhz.status == "absent" and "the default is 1980 MHz" in gpu.clock_set_mhz.why


@pytest.mark.parametrize("kind", KINDS)
def test_every_fact_has_a_value_or_a_reason(kind):
    """Of every kind of machine; and a recording of it, written and read, gives the same."""
    made = machine(kind)
    told = read_gpus(made, Network())
    for gpu in told.devices:
        for name in FACTS:
            fact = getattr(gpu, name)
            assert fact.source, name
            assert (fact.status == "ok") == (fact.value is not None) == (not fact.why), name
            assert fact.why != "not asked" and "was not composed" not in fact.why, name
    assert told.on_bus.known
    assert "composed" in made.about


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_tells_the_same(kind, tmp_path):
    made = machine(kind)
    write_recording(tmp_path / "machine.json", made.about, recorded(made))
    again = read_recording(tmp_path / "machine.json")
    assert read_gpus(again, Network()) == read_gpus(made, Network())
    node = probe(FOLDERS, again)
    assert node_from_json(to_json(node), "here") == node


def test_a_machine_without_a_driver():
    told = read("no-gpu")
    assert told.nvml.status == "absent" and "no NVIDIA driver" in told.nvml.why
    assert told.devices == () and told.on_bus.value == ()
    for name in ("driver_cuda", "visible", "paths", "peers", "port_paths"):
        assert getattr(told, name).status == "absent"


def test_gpus_without_a_driver():
    told = read("no-driver")
    assert told.nvml.status == "absent" and told.devices == ()
    assert told.on_bus.value == ("0000:1b:00.0", "0000:1c:00.0", "0000:81:00.0", "0000:82:00.0")
    assert "4 NVIDIA GPUs are on the PCI bus all the same" in told.nvml.why


@pytest.mark.parametrize("error", CODES)
def test_every_error_at_the_start(error):
    told = read("a100x4", f"init:{error}")
    expected = refused(CODES[error])
    assert (told.nvml.status, told.nvml.value, told.devices) == (expected.status, None, ())
    assert told.nvml.why == f"{expected.why}; 4 NVIDIA GPUs are on the PCI bus all the same"
    assert told.visible.status == told.paths.status == expected.status


@pytest.mark.parametrize("error", CODES)
def test_every_error_at_one_gpu(error):
    """It appears still, with its place; the others are told as ever."""
    told = read("a100x4", f"handle:2:{error}")
    assert [gpu.index for gpu in told.devices] == [0, 1, 2, 3]
    silent, status = told.devices[2], ERRORS[CODES[error]][1]
    assert silent.bus_id.value == "0000:81:00.0" and "leave" in silent.bus_id.source
    asked = {name for name in FACTS if name not in FROM_BUS | {"cuda_index"}}
    assert reasons(silent, "cuda_index") == dict.fromkeys(asked, status)
    assert all(error in getattr(silent, name).why for name in asked)
    assert silent.numa_node.value == 1 and silent.cpus.value == "32-63,96-127"
    assert reasons(told.devices[1], "cuda_index") == reasons(read("a100x4").devices[1], "cuda_index")


@pytest.mark.parametrize("error", CODES)
@pytest.mark.parametrize("name, fact", [("Temperature", "temperature_celsius"), ("Name", "name"), ("EccMode", "ecc")])
def test_every_error_at_one_question(error, name, fact):
    told = read("a100x4", f"query:1:nvmlDevice{'Get' + name}:{error}").devices[1]
    expected = refused(CODES[error])
    assert getattr(told, fact) == Fact(
        None, getattr(told, fact).unit, f"nvmlDeviceGet{name}", expected.status, expected.why
    )
    assert told.uuid.known and told.memory_bytes.known


def test_a_gpu_that_fell_off_the_bus():
    told = read("h100x8", "lost:3")
    lost = told.devices[3]
    assert len(told.devices) == 8 and lost.uuid.status == "error" and "fallen off the bus" in lost.uuid.why
    assert lost.bus_id.value == "0000:61:00.0"
    (xid,) = lost.xids.value
    assert (xid.code, xid.bus_id) == (79, "0000:61:00.0") and "fallen off the bus" in xid.words
    assert told.devices[2].xids.value == () == told.other_xids.value
    assert told.visible.status == "error"  # whether CUDA counts it cannot be told


def test_a_gpu_lost_between_two_questions():
    """The driver still hands it out, and then nothing is answered."""
    made = machine("a100x4", ["handle:2:GpuIsLost"])
    made.answer(None, "nvmlDeviceGetHandleByIndex", 2)
    silent = read_gpus(made, Network()).devices[2]
    assert silent.bus_id.value == "0000:81:00.0" and silent.nvlinks.status == silent.name.status == "error"


def test_a_gpu_that_nvml_does_not_list():
    told = read("h100x8", "unlisted:3", "log_denied")
    assert len(told.devices) == 7 and len(told.on_bus.value) == 8
    assert set(told.on_bus.value) - {gpu.bus_id.value for gpu in told.devices} == {"0000:61:00.0"}
    assert told.other_xids.status == "denied"


def test_two_silent_gpus_of_which_one_left_the_bus():
    """Then there is no telling which place is whose."""
    made = machine("a100x4", ["handle:1:GpuIsLost", "handle:2:GpuIsLost"])
    made.remove("/sys/devices/pci0000:80/0000:80:01.0/0000:81:00.0")
    silent = read_gpus(made, Network()).devices[1]
    assert reasons(silent).keys() == set(FACTS)
    assert silent.xids.status == silent.numa_node.status == "error"  # not: none


def test_sound_and_switches_are_no_gpus():
    made = machine("h100x8")
    made.file("/sys/devices/pci0000:15/0000:15:01.0/0000:1b:00.1/vendor", "0x10de")
    made.file("/sys/devices/pci0000:15/0000:15:01.0/0000:1b:00.1/class", "0x040300")
    made.link("/sys/bus/pci/devices/0000:1b:00.1", "/sys/devices/pci0000:15/0000:15:01.0/0000:1b:00.1")
    assert len(read_gpus(made, Network()).on_bus.value) == 8


@pytest.mark.parametrize(
    "fault, fact, expected",
    [
        ("pending_rows:1", "remapped_rows", RemappedRows(0, 1, True, False)),
        ("failed_rows:1", "remapped_rows", RemappedRows(0, 8, False, True)),
        ("ecc:1:3:9", "ecc_uncorrected", 3),
        ("ecc:1:3:9", "ecc_uncorrected_lifetime", 9),
        ("ecc_corrected:1:12", "ecc_corrected", 12),
        ("ecc_off:1", "ecc", False),
        ("hot:1", "throttle", ("hw_slowdown", "sw_thermal", "hw_thermal")),
        ("hot:1", "temperature_celsius", 92),
        ("throttle:1:0x0", "throttle", ()),
        ("throttle:1:0x84", "throttle", ("power_cap", "power_brake")),
        ("throttle:1:0x80001", "throttle", ("idle", "0x80000")),  # a bit of tomorrow's drivers
        ("narrow:1", "pcie_width", 8),
        ("narrow:1", "pcie_width_max", 16),
        ("old_slot:1:4", "pcie_generation_max", 4),
        ("old_slot:1:4", "pcie_generation_slot", 4),
        ("old_slot:1:4", "pcie_generation_card", 5),
        ("replays:1:500", "pcie_replays", 500),
        ("clock_set:1:1200", "clock_set_mhz", 1200),
        ("power_limit:1:500", "power_limit_watts", 500.0),
        ("persistence_off:1", "persistence", False),
        ("fabric_stuck:1", "fabric", "in progress, cluster 00000000-0000-0000-0000-000000000000, clique 0"),
        ("process:1:99", "processes", (GpuProcess(99, "python3", 1000 << 20, False),)),
        ("swapped:1", "serial", "1659999999999"),
    ],
)
def test_faults_show(fault, fact, expected):
    told = read("h100x8", fault)
    assert getattr(told.devices[1], fact).value == expected
    assert getattr(told.devices[0], fact) == getattr(read().devices[0], fact)


def test_one_nvlink_down():
    links = read("h100x8", "nvlink_down:3:7").devices[3].nvlinks.value
    assert [link.link for link in links if not link.active] == [7]
    assert len(links) == 18 and links[7].peer == "unknown" and links[7].peer_bus_id == ""


def test_links_of_older_cards_are_asked_the_older_way():
    links = read("a100x2-bridge").devices[0].nvlinks.value
    assert len(links) == 12
    assert {(link.active, link.peer, link.peer_bus_id) for link in links} == {(True, "gpu", "0000:41:00.0")}


def test_peers_that_a_virtual_machine_hides():
    links = read("h100x8-vm").devices[0].nvlinks.value
    assert {(link.active, link.peer, link.peer_bus_id) for link in links} == {(True, "unknown", "")}


def test_a_link_without_word_of_its_count():
    """Links are then asked one by one, up to the first that is not there."""
    made = machine("a100x2-bridge", ["query:0:nvmlDeviceGetFieldValues:NotSupported"])
    made.refuse("InvalidArgument", "nvmlDeviceGetNvLinkState", 0, 12)
    assert len(read_gpus(made, Network()).devices[0].nvlinks.value) == 12


def test_links_of_a_gpu_that_fails_are_not_none():
    told = read("h100x8", "query:0:nvmlDeviceGetFieldValues:Timeout", "query:0:nvmlDeviceGetNvLinkState:Timeout")
    assert told.devices[0].nvlinks.status == "error" and "Timeout" in told.devices[0].nvlinks.why


def test_a_gpu_cut_into_slices():
    gpu = read("a100-mig").devices[0]
    assert gpu.mig.value is True and len(gpu.mig_devices.value) == 7
    assert gpu.mig_devices.value[6].name == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert len({piece.uuid for piece in gpu.mig_devices.value}) == 7
    assert gpu.utilisation_percent.status == "unsupported" and gpu.cuda_index.status == "unsupported"


def test_a_slice_that_is_named():
    slice_uuid = "MIG-00000000-0000-4000-8000-000000000004"
    told = read("a100-mig", f"environment:CUDA_VISIBLE_DEVICES={slice_uuid}")
    assert told.visible.value == (slice_uuid,) and told.devices[0].cuda_index.value == 0


def test_grace_hopper_is_joined_to_its_cpu():
    gpu = read("grace-hopper").devices[0]
    assert gpu.c2c.value is True and gpu.bus_id.value == "0009:01:00.0" and gpu.nvlinks.value == ()


def test_a_consumer_card_says_what_it_does_not_tell():
    gpu = read("geforce").devices[0]
    assert gpu.multiprocessors.value == 46
    untold = {"serial", "ecc", "ecc_uncorrected", "remapped_rows", "mig", "mig_devices", "nvlinks", "fabric"}
    assert untold <= reasons(gpu).keys() and set(reasons(gpu).values()) == {"unsupported"}


def test_numa_of_a_virtual_machine_is_not_node_minus_one():
    gpu = read("h100x8-vm").devices[0]
    assert gpu.numa_node.value is None and gpu.numa_node.status == "unsupported" and "(-1)" in gpu.numa_node.why
    assert gpu.pcie_generation_slot.status == "unsupported"


def test_what_cuda_shows():
    told = read("h100x8", "environment:CUDA_VISIBLE_DEVICES=6,2:CUDA_DEVICE_ORDER=PCI_BUS_ID")
    assert told.visible.value == (told.devices[6].uuid.value, told.devices[2].uuid.value)
    assert [gpu.cuda_index.value for gpu in told.devices] == [None, None, 1, None, None, None, 0, None]
    assert (
        told.devices[0].cuda_index.status == "absent" and "CUDA_VISIBLE_DEVICES=6,2" in told.devices[0].cuda_index.why
    )


def test_gpus_of_other_jobs_are_not_counted_by_cuda():
    """Slurm's device groups: NVML counts all, and lets only its own be asked."""
    told = read("h100x8", *(f"handle:{index}:NoPermission" for index in (0, 1, 2, 3, 6, 7)))
    assert told.visible.value == (told.devices[4].uuid.value, told.devices[5].uuid.value)
    assert told.devices[4].cuda_index.value == 0 and told.devices[0].cuda_index.status == "denied"


def test_unlike_gpus_have_no_certain_number():
    made = machine("a100x4")
    made.answer("NVIDIA T4", "nvmlDeviceGetName", 1)
    told = read_gpus(made, Network())
    assert told.visible.status == "unsupported" and "CUDA_DEVICE_ORDER=PCI_BUS_ID" in told.devices[0].cuda_index.why


@pytest.mark.parametrize("parents, ours", [([4242, 1], True), ([1], False), (Unread("absent", "of the host"), False)])
def test_whose_process_it_is(parents, ours):
    made = machine("h100x8", ["process:0:99"])
    made.answer(parents, "parents", 99)
    assert read_gpus(made, Network()).devices[0].processes.value[0].ours is ours


def test_a_process_that_shows_no_name_nor_memory():
    made = machine("h100x8", ["process:0:99"])
    made.refuse("NotFound", "nvmlSystemGetProcessName", 99)
    made.answer([{"pid": 99, "usedGpuMemory": None}], "nvmlDeviceGetComputeRunningProcesses", 0)
    assert read_gpus(made, Network()).devices[0].processes.value == (GpuProcess(99, "", None, False),)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_ends_a_probe(fault):
    """Every fault of the builder, on a whole node, with a recording of it."""
    arguments = {
        "init": "Unknown", "handle": "0:Unknown", "query": "0:nvmlDeviceGetName:Unknown", "ecc": "0:1",
        "ecc_corrected": "0:1", "throttle": "0:0x4", "old_slot": "0:3", "replays": "0:1", "nvlink_down": "0:1",
        "clock_set": "0:900", "power_limit": "0:300", "process": "0:7", "xid": "0:48", "log_denied": "",
        "environment": "CUDA_VISIBLE_DEVICES=0", "port_down": "ib0", "port_slow": "ib0", "full": "/dev/shm",
        "memlock": "65536", "driver": "550.54.15",
    }.get(fault, "0")  # fmt: skip
    made = machine("h100x8", [f"{fault}:{arguments}".rstrip(":")])
    node = probe(FOLDERS, made)
    again = probe(FOLDERS, Replay(recorded(made)))
    assert again.gpus == node.gpus


def test_machines_have_numbers_of_their_own():
    one, other = (read(number=number).devices[0] for number in (1, 2))
    assert one.uuid.value != other.uuid.value and one.serial.value != other.serial.value
    assert one.bus_id.value == other.bus_id.value
