"""What can be wrong with a composed machine: `name:arguments`, applied in the order in which they are given."""

import errno
from collections.abc import Callable

from tests.topology.composed import Composed
from tests.topology.made_gpus import LINK_STATE, MIB, SPEEDS, uuid

DEVICE = "nvmlDevice"


def init(made: Composed, error: str) -> None:
    """NVML does not start: init:DriverNotLoaded."""
    made.refuse_all(error, "nvml")


def handle(made: Composed, index: str, error: str) -> None:
    """Nothing of one GPU can be asked: handle:3:Unknown."""
    for question in made.calls:
        kind, name, *arguments = question.split()
        if (
            kind == "call"
            and name.startswith(DEVICE)
            and index in (argument.split(".")[0] for argument in _devices(name, arguments))
        ):
            made.refuse(error, name, *arguments)


def query(made: Composed, index: str, name: str, error: str) -> None:
    """One question to one GPU fails: query:3:nvmlDeviceGetPowerUsage:NoPermission."""
    made.refuse_all(error, f"{name} {index}")


def lost(made: Composed, index: str) -> None:
    """Fallen off the bus while the driver ran: NVML counts it still, and the kernel has noted it."""
    bus_id = _bus_id(made, index)
    handle(made, index, "GpuIsLost")
    _note(made, bus_id, 79, "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.")


def ecc(made: Composed, index: str, uncorrected: str, lifetime: str = "") -> None:
    made.answer(int(uncorrected), f"{DEVICE}GetTotalEccErrors", index, 1, 0)
    made.answer(int(lifetime or uncorrected), f"{DEVICE}GetTotalEccErrors", index, 1, 1)


def ecc_corrected(made: Composed, index: str, corrected: str) -> None:
    made.answer(int(corrected), f"{DEVICE}GetTotalEccErrors", index, 0, 0)


def ecc_off(made: Composed, index: str) -> None:
    made.answer([0, 0], f"{DEVICE}GetEccMode", index)
    made.refuse_all("NotSupported", f"{DEVICE}GetTotalEccErrors {index}")


def pending_rows(made: Composed, index: str) -> None:
    """A row of memory is replaced at the next reset."""
    made.answer([0, 1, 1, 0], f"{DEVICE}GetRemappedRows", index)


def failed_rows(made: Composed, index: str) -> None:
    """A row should have been replaced, and no spare is left."""
    made.answer([0, 8, 0, 1], f"{DEVICE}GetRemappedRows", index)


def hot(made: Composed, index: str) -> None:
    """Software and hardware slow it down for its temperature."""
    made.answer(0x20 | 0x40 | 0x8, f"{DEVICE}GetCurrentClocksEventReasons", index)
    made.answer(92, f"{DEVICE}GetTemperature", index, 0)
    made.answer(800, f"{DEVICE}GetClockInfo", index, 1)
    made.answer({"gpu": 100, "memory": 60}, f"{DEVICE}GetUtilizationRates", index)


def throttle(made: Composed, index: str, mask: str) -> None:
    """throttle:0:0x80."""
    made.answer(int(mask, 16), f"{DEVICE}GetCurrentClocksEventReasons", index)


def narrow(made: Composed, index: str, width: str = "8") -> None:
    """Its PCIe link came up with fewer lanes than card and slot have."""
    made.answer(int(width), f"{DEVICE}GetCurrPcieLinkWidth", index)
    made.file(f"/sys/bus/pci/devices/{_bus_id(made, index)}/current_link_width", width)


def old_slot(made: Composed, index: str, generation: str) -> None:
    """The slot is of an older PCIe generation than the card."""
    for which in ("Curr", "Max"):
        made.answer(int(generation), f"{DEVICE}Get{which}PcieLinkGeneration", index)
    above = made.real(f"/sys/bus/pci/devices/{_bus_id(made, index)}").rsplit("/", 1)[0]
    made.file(f"{above}/max_link_speed", SPEEDS[int(generation)])


def replays(made: Composed, index: str, count: str) -> None:
    made.answer(int(count), f"{DEVICE}GetPcieReplayCounter", index)


def nvlink_down(made: Composed, index: str, link: str) -> None:
    if made.call(f"{DEVICE}GetCudaComputeCapability", index)[0] >= 9:
        made.answer(0, f"{DEVICE}GetFieldValues", index, LINK_STATE, link)
    made.answer(0, f"{DEVICE}GetNvLinkState", index, link)
    made.refuse("NotSupported", f"{DEVICE}GetNvLinkRemotePciInfo", index, link)
    made.refuse("NotSupported", f"{DEVICE}GetNvLinkRemoteDeviceType", index, link)


def fabric_stuck(made: Composed, index: str) -> None:
    """Its registration with the NVSwitch fabric is not done."""
    answer = made.call(f"{DEVICE}GetGpuFabricInfoV", index)
    made.answer(answer | {"state": 2}, f"{DEVICE}GetGpuFabricInfoV", index)


def clock_set(made: Composed, index: str, mhz: str) -> None:
    made.answer(int(mhz), f"{DEVICE}GetApplicationsClock", index, 1)


def power_limit(made: Composed, index: str, watts: str) -> None:
    made.answer(int(watts) * 1000, f"{DEVICE}GetEnforcedPowerLimit", index)


def persistence_off(made: Composed, index: str) -> None:
    made.answer(0, f"{DEVICE}GetPersistenceMode", index)


def process(made: Composed, index: str, pid: str, name: str = "/usr/bin/python3") -> None:
    """A process of somebody else's."""
    running = list(made.call(f"{DEVICE}GetComputeRunningProcesses", index))
    running.append(
        {"pid": int(pid), "usedGpuMemory": 1000 * MIB, "gpuInstanceId": 0xFFFFFFFF, "computeInstanceId": 0xFFFFFFFF}
    )
    made.answer(running, f"{DEVICE}GetComputeRunningProcesses", index)
    made.answer(name, "nvmlSystemGetProcessName", pid)
    made.answer([1], "parents", pid)


def xid(made: Composed, index: str, code: str) -> None:
    _note(made, _bus_id(made, index), int(code), "pid=4711, name=python, Ch 00000008")


def log_denied(made: Composed) -> None:
    """kernel.dmesg_restrict."""
    made.answer(PermissionError(errno.EPERM, "Operation not permitted", "/dev/kmsg"), "kernel_log", "NVRM: Xid")


def environment(made: Composed, *settings: str) -> None:
    """environment:CUDA_VISIBLE_DEVICES=1,0."""
    named = dict(setting.split("=", 1) for setting in settings)
    made.answer(made.call("environment") | named, "environment")


def swapped(made: Composed, index: str) -> None:
    """Another card in the place of this one."""
    made.answer(uuid(999_999, int(index)), f"{DEVICE}GetUUID", index)
    made.answer("1659999999999", f"{DEVICE}GetSerial", index)


def port_down(made: Composed, name: str) -> None:
    """port_down:ib3."""
    folder = made.real(f"/sys/class/net/{name}")
    made.file(f"{folder}/operstate", "down")
    made.file(f"{folder}/carrier", 0)
    _rdma_port(made, folder, state="1: DOWN", phys_state="3: Disabled")


def port_slow(made: Composed, name: str, rate: str = "200 Gb/sec (4X HDR)") -> None:
    folder = made.real(f"/sys/class/net/{name}")
    made.file(f"{folder}/speed", int(rate.split()[0]) * 1000)
    _rdma_port(made, folder, rate=rate)


def full(made: Composed, folder: str) -> None:
    """full:/dev/shm."""
    made.answer(made.call("room", folder) | {"free_bytes": 0}, "room", folder)


def memlock(made: Composed, limit: str) -> None:
    made.answer(int(limit), "limit", "memlock")


def driver(made: Composed, version: str) -> None:
    """Another driver than its neighbours have."""
    before = made.files["/proc/driver/nvidia/version"]
    made.file("/proc/driver/nvidia/version", before.replace("570.86.15", version))
    made.answer(f"12.{version}", "nvmlSystemGetNVMLVersion")


def unlisted(made: Composed, path: str) -> None:
    """On the PCI bus, and NVML does not count it."""


def unplugged(made: Composed, path: str) -> None:
    """Neither NVML nor the PCI bus knows it."""
    made.remove(path)


BEFORE: dict[str, Callable[..., None]] = {"unlisted": unlisted, "unplugged": unplugged}
"""Those that decide which GPUs NVML counts: unlisted:3."""
FAULTS: dict[str, Callable[..., None]] = {
    fault.__name__: fault
    for fault in (
        init, handle, query, lost, ecc, ecc_corrected, ecc_off, pending_rows, failed_rows, hot, throttle, narrow,
        old_slot, replays, nvlink_down, fabric_stuck, clock_set, power_limit, persistence_off, process, xid, log_denied,
        environment, swapped, port_down, port_slow, full, memlock, driver,
    )
}  # fmt: skip


def _devices(name: str, arguments: list[str]) -> list[str]:
    if name == f"{DEVICE}GetCount":
        return []
    return arguments[: 2 if name in (f"{DEVICE}GetTopologyCommonAncestor", f"{DEVICE}GetP2PStatus") else 1]


def _bus_id(made: Composed, index: str) -> str:
    return str(made.call(f"{DEVICE}GetPciInfo", index)["busId"])[4:].lower()


def _note(made: Composed, bus_id: str, code: int, words: str) -> None:
    log = made.call("kernel_log", "NVRM: Xid")
    line = f"NVRM: Xid (PCI:{bus_id.rpartition('.')[0]}): {code}, {words}"
    made.answer(log | {"lines": [*log["lines"], [86_400.25, line]]}, "kernel_log", "NVRM: Xid")


def _rdma_port(made: Composed, interface: str, **files: str) -> None:
    """Files of the InfiniBand port of the same card."""
    devices = interface.split("/net/")[0] + "/infiniband"
    for path in list(made.files):
        name = path.rsplit("/", 1)[1]
        if path.startswith(devices) and "/ports/" in path and name in files:
            made.file(path, files[name])
