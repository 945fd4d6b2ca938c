"""NVML through pynvml's own code; only the driver's library beneath it is made up."""

import ctypes
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from cluster.topology import gpus, nvidia, nvlink, nvml, paths
from cluster.topology.fact import Unread
from tests.topology import machines

UUIDS = [b"GPU-0000", b"GPU-1111"]


def write(target, value):
    """Into what was given by reference."""
    target._obj.value = value
    return 0


def handle(index, device):
    if index.value >= len(UUIDS):
        return pynvml.NVML_ERROR_INVALID_ARGUMENT
    ctypes.cast(device, ctypes.POINTER(ctypes.c_void_p))[0] = 0x1000 + index.value
    return 0


def number(device):
    return ctypes.cast(device, ctypes.c_void_p).value - 0x1000


def uuid(device, buffer, size):
    buffer.value = UUIDS[number(device)] if number(device) < 0x100 else b"MIG-0"
    return 0


def piece(device, index, found):
    if index.value > 0:
        return pynvml.NVML_ERROR_NOT_FOUND
    ctypes.cast(found, ctypes.POINTER(ctypes.c_void_p))[0] = 0x1100
    return 0


def pci_info(device, info):
    info._obj.busId, info._obj.bus = "00000000:3B:00.0", 0x3B
    return 0


def processes(device, count, found):
    if found is None:
        count._obj.value = 1
        return pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    count._obj.value = 1
    found[0].pid, found[0].usedGpuMemory = 77, pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
    return 0


def fields(device, count, values):
    value = values._obj[0]
    if value.fieldId != nvlink.LINK_STATE:
        value.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
    else:
        value.valueType, value.value.uiVal = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, 100 + value.scopeId
    return 0


def fabric(device, info):
    assert info._obj.version == pynvml.nvmlGpuFabricInfo_v2
    info._obj.state, info._obj.clusterUuid[15], info._obj.cliqueId = 3, 9, 4
    return 0


def affinity(device, size, masks):
    masks._obj[0], masks._obj[size - 1] = 0xF, 0xF0
    return 0


LIBRARY = {
    "nvmlInitWithFlags": lambda flags: 0,
    "nvmlShutdown": lambda: 0,
    "nvmlDeviceGetCount_v2": lambda count: write(count, 2),
    "nvmlDeviceGetHandleByIndex_v2": handle,
    "nvmlDeviceGetMigDeviceHandleByIndex": piece,
    "nvmlDeviceGetUUID": uuid,
    "nvmlDeviceGetPciInfo_v3": pci_info,
    "nvmlDeviceGetComputeRunningProcesses_v3": processes,
    "nvmlDeviceGetFieldValues": fields,
    "nvmlDeviceGetGpuFabricInfoV": fabric,
    "nvmlDeviceGetCpuAffinity": affinity,
    "nvmlDeviceGetClockInfo": lambda device, kind, clock: write(clock, 1000 + kind.value),
    "nvmlDeviceGetP2PStatus": lambda a, b, kind, status: write(status, 10 * number(a) + number(b)),
    "nvmlDeviceGetEccMode": lambda device, now, pending: write(now, 1) or write(pending, 0),
    "nvmlDeviceGetPowerUsage": lambda device, power: pynvml.NVML_ERROR_NOT_SUPPORTED,
    "nvmlDeviceGetName": lambda device, name, size: 4711,
}


class Library:
    def __init__(self, functions):
        self.functions = functions

    def __getattr__(self, name):
        try:
            return self.functions[name]
        except KeyError:
            raise AttributeError(name) from None  # as ctypes does for a symbol that is not there


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlLib", Library(LIBRARY))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(nvml.atexit, "register", lambda stop: stop)
    nvml._start.cache_clear()
    yield
    nvml._start.cache_clear()


@pytest.mark.parametrize(
    "question, answer",
    [
        (("nvmlInit",), None),
        (("nvmlDeviceGetCount",), 2),
        (("nvmlDeviceGetHandleByIndex", 1), None),
        (("nvmlDeviceGetUUID", 1), "GPU-1111"),
        (("nvmlDeviceGetUUID", "1"), "GPU-1111"),
        (("nvmlDeviceGetUUID", "1.mig0"), "MIG-0"),
        (("nvmlDeviceGetClockInfo", 0, 2), 1002),
        (("nvmlDeviceGetP2PStatus", 1, 0, 0), 10),
        (("nvmlDeviceGetEccMode", 0), [1, 0]),
        (("nvmlDeviceGetCpuAffinity", 0, 3), [0xF, 0, 0xF0]),
        (("nvmlDeviceGetFieldValues", 0, nvlink.LINK_STATE, 7), 107),
    ],
)
def test_answers_are_json(library, question, answer):
    assert nvml.ask(*question) == answer


def test_structures_are_objects(library):
    assert nvml.ask("nvmlDeviceGetPciInfo", 0)["busId"] == "00000000:3B:00.0"
    told = nvml.ask("nvmlDeviceGetGpuFabricInfoV", 0)
    assert (told["state"], told["cliqueId"], told["clusterUuid"]) == (3, 4, [0] * 15 + [9])
    (process,) = nvml.ask("nvmlDeviceGetComputeRunningProcesses", 0)
    assert process["pid"] == 77 and process["usedGpuMemory"] is None
    json.dumps([told, process])


@pytest.mark.parametrize(
    "question, status, words",
    [
        (("nvmlDeviceGetPowerUsage", 0), "unsupported", "does not tell (NVML: NotSupported)"),
        (("nvmlDeviceGetFieldValues", 0, nvlink.LINK_COUNT, 0), "unsupported", "NotSupported"),  # the field's own error
        (("nvmlDeviceGetUUID", 5), "unsupported", "InvalidArgument"),
        (("nvmlDeviceGetUUID", "0.mig1"), "absent", "NotFound"),
        (("nvmlDeviceGetSerial", 0), "unsupported", "this driver has no such function"),
        (("nvmlDeviceGetTomorrow", 0), "unsupported", "this version of nvidia-ml-py has no nvmlDeviceGetTomorrow"),
        (("nvmlDeviceGetName", 0), "error", "an error that this version of muster does not know (NVML: 4711)"),
    ],
)
def test_errors_are_reasons(library, question, status, words):
    with pytest.raises(Unread) as caught:
        nvml.ask(*question)
    assert caught.value.status == status and words in caught.value.why


def test_every_error_of_nvml_has_its_reason():
    codes = {getattr(pynvml, name) for name in dir(pynvml) if name.startswith("NVML_ERROR_")}
    for code in codes:
        assert pynvml.nvmlExceptionClass(code).__name__ == f"NVMLError_{nvml.ERRORS[code][0]}"
    assert codes <= set(nvml.ERRORS)


def test_a_start_that_failed_is_tried_again(library, monkeypatch):
    answers = [pynvml.NVML_ERROR_DRIVER_NOT_LOADED, 0]
    monkeypatch.setattr(pynvml, "nvmlLib", Library(LIBRARY | {"nvmlInitWithFlags": lambda flags: answers.pop(0)}))
    with pytest.raises(Unread, match="DriverNotLoaded") as caught:
        nvml.ask("nvmlDeviceGetCount")
    assert caught.value.status == "absent"
    assert nvml.ask("nvmlDeviceGetCount") == nvml.ask("nvmlDeviceGetCount") == 2
    assert answers == []  # started once


def test_a_process_that_asked_ends_in_peace():
    """Whatever NVML is like here."""
    code = "from cluster.topology.gpus import *; from cluster.topology.calls import call\n"
    code += "from cluster.topology.source import Live; print(read_gpus(Live(call), Network()).nvml.status)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.strip() in ("ok", "absent", "error", "denied") and not done.stderr


def test_all_that_is_asked_is_in_pynvml():
    """The names, and as many arguments as the functions take."""
    asked = set()
    for module in (gpus, nvidia, nvlink, paths):
        asked |= set(re.findall(r'"(nvml[A-Z]\w+)"', Path(module.__file__).read_text()))
    assert len(asked) > 40
    for name in asked:
        assert callable(getattr(pynvml, name)), name
    for kind in machines.KINDS:
        for question in machines.machine(kind).calls:
            _, name, *arguments = question.split()
            if name.startswith("nvml") and name not in ("nvmlDeviceGetFieldValues", *nvml.FILLED):
                inspect.signature(getattr(pynvml, name)).bind(*arguments)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (nvidia.SM, pynvml.NVML_CLOCK_SM),
        (nvidia.MEMORY, pynvml.NVML_CLOCK_MEM),
        (nvidia.CORE_SENSOR, pynvml.NVML_TEMPERATURE_GPU),
        (nvidia.SLOWDOWN, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
        (nvidia.CORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        (nvidia.UNCORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
        (nvidia.SINCE_LOADED, pynvml.NVML_VOLATILE_ECC),
        (nvidia.LIFETIME, pynvml.NVML_AGGREGATE_ECC),
        (nvlink.LINK_COUNT, pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT),
        (nvlink.LINK_STATE, pynvml.NVML_FI_DEV_NVLINK_GET_STATE),
        (nvlink.MOST_LINKS, pynvml.NVML_NVLINK_MAX_LINKS),
        (nvlink.ACTIVE, {pynvml.NVML_NVLINK_STATE_ACTIVE, pynvml.NVML_NVLINK_STATE_SLEEP}),
        (
            nvlink.PEERS,
            {
                pynvml.NVML_NVLINK_DEVICE_TYPE_GPU: "gpu",
                pynvml.NVML_NVLINK_DEVICE_TYPE_IBMNPU: "cpu",
                pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH: "switch",
            },
        ),
        (nvlink.DEGRADED, pynvml.NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_TRUE),
        (nvlink.DEGRADED_BITS, pynvml.NVML_GPU_FABRIC_HEALTH_MASK_WIDTH_DEGRADED_BW),
        (
            nvlink.FABRIC_STATES,
            {
                pynvml.NVML_GPU_FABRIC_STATE_NOT_STARTED: "not started",
                pynvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS: "in progress",
                pynvml.NVML_GPU_FABRIC_STATE_COMPLETED: "completed",
            },
        ),
        (
            nvidia.COMPUTE_MODES,
            {
                getattr(pynvml, f"NVML_COMPUTEMODE_{name}"): name.lower()
                for name in ("DEFAULT", "EXCLUSIVE_THREAD", "PROHIBITED", "EXCLUSIVE_PROCESS")
            },
        ),
        (
            paths.LEVELS,
            {
                pynvml.NVML_TOPOLOGY_INTERNAL: "PIX",
                pynvml.NVML_TOPOLOGY_SINGLE: "PIX",
                pynvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
                pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
                pynvml.NVML_TOPOLOGY_NODE: "NODE",
                pynvml.NVML_TOPOLOGY_SYSTEM: "SYS",
            },
        ),
        (
            paths.P2P,
            {
                pynvml.NVML_P2P_STATUS_OK: "OK",
                pynvml.NVML_P2P_STATUS_CHIPSET_NOT_SUPPORTED: "CNS",
                pynvml.NVML_P2P_STATUS_GPU_NOT_SUPPORTED: "GNS",
                pynvml.NVML_P2P_STATUS_IOH_TOPOLOGY_NOT_SUPPORTED: "TNS",
                pynvml.NVML_P2P_STATUS_DISABLED_BY_REGKEY: "DR",
                pynvml.NVML_P2P_STATUS_NOT_SUPPORTED: "NS",
                pynvml.NVML_P2P_STATUS_UNKNOWN: "U",
            },
        ),
        (sum(nvidia.THROTTLE), pynvml.nvmlClocksEventReasonAll | pynvml.nvmlClocksThrottleReasonAll),
    ],
)
def test_numbers_are_those_of_pynvml(ours, theirs):
    assert ours == theirs
