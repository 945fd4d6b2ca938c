"""What is asked of NVML, /sys and the kernel's log about one NVIDIA GPU, one question a fact."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.topology import bus, cpulist
from cluster.topology.fact import Fact, Unread, first_known, reading, value_of
from cluster.topology.gpu import Gpu, GpuProcess, MigDevice, RemappedRows, Xid
from cluster.topology.nvlink import read_fabric, read_links
from cluster.topology.source import Argument, Source

T = TypeVar("T")

# Numbers of pynvml 13.615: NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
SM, MEMORY, CORE_SENSOR, SLOWDOWN = 1, 2, 0, 1
CORRECTED, UNCORRECTED = 0, 1
"""nvmlMemoryErrorType_t."""
SINCE_LOADED, LIFETIME = 0, 1
"""nvmlEccCounterType_t."""
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}
THROTTLE = {
    0x1: "idle", 0x2: "application_clocks", 0x4: "power_cap", 0x8: "hw_slowdown", 0x10: "sync_boost",
    0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "power_brake", 0x100: "display", 0x200: "board_limit",
    0x400: "reliability",
}  # fmt: skip
"""nvmlClocksEventReason..., and two of the older nvmlClocksThrottleReason..."""
CORES_PER_MULTIPROCESSOR: dict[tuple[int, ...], int] = {
    (5, 0): 128, (5, 2): 128, (5, 3): 128, (6, 0): 64, (6, 1): 128, (6, 2): 128, (7, 0): 64, (7, 2): 64, (7, 5): 64,
    (8, 0): 64, (8, 6): 128, (8, 7): 128, (8, 9): 128, (9, 0): 128, (10, 0): 128, (10, 3): 128, (12, 0): 128,
    (12, 1): 128,
}  # fmt: skip
"""By compute capability (CUDA programming guide, "Compute capabilities"): NVML counts cores only."""


@dataclass(frozen=True)
class Asker:
    """Asks NVML about one GPU; where the GPU does not answer at all, every fact of NVML's has that reason."""

    source: Source
    index: int
    refusal: Fact[Any] | None

    def ask(self, name: str, *arguments: Argument) -> Any:
        if self.refusal is not None:
            raise Unread(self.refusal.status, self.refusal.why)
        return self.source.call(name, self.index, *arguments)

    def fact(
        self, name: str, *arguments: Argument, of: Callable[[Any], T] = lambda answer: answer, unit: str = ""
    ) -> Fact[T]:
        return reading(name, lambda: of(self.ask(name, *arguments)), unit)


def asker(source: Source, index: int) -> Asker:
    handle = reading("NVML", lambda: source.call("nvmlDeviceGetHandleByIndex", index))
    return Asker(source, index, None if handle.status == "ok" else handle)


def read_gpu(
    asker: Asker, place: Fact[str], gpus: Sequence[str], xids: Fact[tuple[Xid, ...]], affinity_words: int
) -> Gpu:
    capability = asker.fact("nvmlDeviceGetCudaComputeCapability", of=lambda answer: tuple(map(int, answer)))
    mig = asker.fact("nvmlDeviceGetMigMode", of=lambda answer: bool(answer[0]))
    return Gpu(
        index=asker.index,
        uuid=asker.fact("nvmlDeviceGetUUID", of=str),
        bus_id=place,
        name=asker.fact("nvmlDeviceGetName", of=str),
        serial=asker.fact("nvmlDeviceGetSerial", of=str),
        vbios=asker.fact("nvmlDeviceGetVbiosVersion", of=str),
        compute_capability=_turned(capability, lambda pair: ".".join(map(str, pair))),
        multiprocessors=asker.fact("nvmlDeviceGetNumGpuCores", of=lambda cores: _multiprocessors(cores, capability)),
        mig=mig,
        mig_devices=reading("nvmlDeviceGetMigDeviceHandleByIndex", lambda: slices(asker) if value_of(mig) else ()),
        persistence=asker.fact("nvmlDeviceGetPersistenceMode", of=bool),
        compute_mode=asker.fact("nvmlDeviceGetComputeMode", of=lambda mode: COMPUTE_MODES[mode]),
        numa_node=reading("numa_node in /sys", lambda: bus.numa_node(asker.source, value_of(place))),
        cpus=first_known(
            asker.fact("nvmlDeviceGetCpuAffinity", affinity_words, of=_cpus),
            lambda: reading("local_cpulist in /sys", lambda: _local_cpus(asker.source, value_of(place))),
        ),
        processes=asker.fact("nvmlDeviceGetComputeRunningProcesses", of=lambda found: _processes(asker.source, found)),
        nvlinks=reading(
            "NVLink state and peer", lambda: read_links(asker.ask, asker.source, capability.or_else(()), gpus)
        ),
        c2c=asker.fact("nvmlDeviceGetC2cModeInfoV", of=lambda answer: bool(answer["isC2cEnabled"])),
        fabric=reading("nvmlDeviceGetGpuFabricInfoV", lambda: read_fabric(asker.ask)),
        xids=reading(xids.source, lambda: _xids_at(value_of(place), value_of(xids))),
        **_memory(asker),
        **_clocks(asker),
        **_errors(asker),
        **_pcie(asker, place),
    )


def _xids_at(place: str, xids: tuple[Xid, ...]) -> tuple[Xid, ...]:
    return tuple(xid for xid in xids if xid.bus_id == place)


def _memory(asker: Asker) -> dict[str, Fact[Any]]:
    memory = "nvmlDeviceGetMemoryInfo"
    return {
        "memory_bytes": asker.fact(memory, of=lambda answer: int(answer["total"]), unit="bytes"),
        "memory_used_bytes": asker.fact(memory, of=lambda answer: int(answer["used"]), unit="bytes"),
        "memory_bus_bits": asker.fact("nvmlDeviceGetMemoryBusWidth", unit="bit"),
    }


def _clocks(asker: Asker) -> dict[str, Fact[Any]]:
    """Clocks, power, heat and what comes of them."""

    def watts(name: str) -> Fact[float]:
        return asker.fact(name, of=lambda milliwatts: milliwatts / 1000, unit="W")

    return {
        "clock_mhz": asker.fact("nvmlDeviceGetClockInfo", SM, unit="MHz"),
        "clock_max_mhz": asker.fact("nvmlDeviceGetMaxClockInfo", SM, unit="MHz"),
        "clock_set_mhz": reading("nvmlDeviceGetApplicationsClock", lambda: _clock_set(asker), "MHz"),
        "memory_clock_mhz": asker.fact("nvmlDeviceGetClockInfo", MEMORY, unit="MHz"),
        "memory_clock_max_mhz": asker.fact("nvmlDeviceGetMaxClockInfo", MEMORY, unit="MHz"),
        "power_watts": watts("nvmlDeviceGetPowerUsage"),
        "power_limit_watts": watts("nvmlDeviceGetEnforcedPowerLimit"),
        "power_limit_default_watts": watts("nvmlDeviceGetPowerManagementDefaultLimit"),
        "temperature_celsius": first_known(
            asker.fact("nvmlDeviceGetTemperature", CORE_SENSOR, unit="°C"),
            lambda: asker.fact("nvmlDeviceGetTemperatureV", CORE_SENSOR, unit="°C"),  # from CUDA 14 on the only one
        ),
        "slowdown_celsius": asker.fact("nvmlDeviceGetTemperatureThreshold", SLOWDOWN, unit="°C"),
        "throttle": first_known(
            asker.fact("nvmlDeviceGetCurrentClocksEventReasons", of=_throttle),
            lambda: asker.fact("nvmlDeviceGetCurrentClocksThrottleReasons", of=_throttle),  # before driver 535
        ),
        "utilisation_percent": asker.fact("nvmlDeviceGetUtilizationRates", of=lambda answer: answer["gpu"], unit="%"),
    }


def _errors(asker: Asker) -> dict[str, Fact[Any]]:
    """ECC and what it has found."""
    mode, count = "nvmlDeviceGetEccMode", "nvmlDeviceGetTotalEccErrors"
    return {
        "ecc": asker.fact(mode, of=lambda answer: bool(answer[0])),
        "ecc_pending": asker.fact(mode, of=lambda answer: bool(answer[1])),
        "ecc_corrected": asker.fact(count, CORRECTED, SINCE_LOADED, unit="errors"),
        "ecc_uncorrected": asker.fact(count, UNCORRECTED, SINCE_LOADED, unit="errors"),
        "ecc_uncorrected_lifetime": asker.fact(count, UNCORRECTED, LIFETIME, unit="errors"),
        "remapped_rows": asker.fact("nvmlDeviceGetRemappedRows", of=_rows),
        "retired_pages_pending": asker.fact("nvmlDeviceGetRetiredPagesPendingStatus", of=bool),
    }


def _pcie(asker: Asker, place: Fact[str]) -> dict[str, Fact[Any]]:
    source = asker.source
    return {
        "pcie_generation": asker.fact("nvmlDeviceGetCurrPcieLinkGeneration"),
        "pcie_generation_max": asker.fact("nvmlDeviceGetMaxPcieLinkGeneration"),
        "pcie_generation_card": asker.fact("nvmlDeviceGetGpuMaxPcieLinkGeneration"),
        "pcie_generation_slot": reading("max_link_speed", lambda: bus.slot_generation(source, value_of(place))),
        "pcie_width": asker.fact("nvmlDeviceGetCurrPcieLinkWidth", unit="lanes"),
        "pcie_width_max": asker.fact("nvmlDeviceGetMaxPcieLinkWidth", unit="lanes"),
        "pcie_width_slot": reading("max_link_width", lambda: bus.slot_width(source, value_of(place)), "lanes"),
        "pcie_replays": asker.fact("nvmlDeviceGetPcieReplayCounter"),
    }


def _turned(fact: Fact[Any], turn: Callable[[Any], T]) -> Fact[T]:
    return dataclasses.replace(fact, value=turn(fact.value)) if fact.known else fact


def _multiprocessors(cores: int, capability: Fact[tuple[int, ...]]) -> int:
    each = CORES_PER_MULTIPROCESSOR.get(value_of(capability))
    if each is None or cores % each:
        raise Unread("unsupported", f"{cores} cores, and how many a multiprocessor of this GPU has is not known here")
    return cores // each


def _clock_set(asker: Asker) -> int:
    clock = int(asker.ask("nvmlDeviceGetApplicationsClock", SM))
    if clock == asker.ask("nvmlDeviceGetDefaultApplicationsClock", SM):
        raise Unread("absent", f"no application clock is set (the default is {clock} MHz)")
    return clock


def _throttle(mask: int) -> tuple[str, ...]:
    known = [name for bit, name in THROTTLE.items() if mask & bit]
    strange = mask & ~sum(THROTTLE)
    return (*known, f"{strange:#x}") if strange else tuple(known)


def _rows(answer: Sequence[int]) -> RemappedRows:
    correctable, uncorrectable, pending, failed = answer
    return RemappedRows(correctable, uncorrectable, bool(pending), bool(failed))


def slices(asker: Asker) -> tuple[MigDevice, ...]:
    """Those that a GPU in MIG mode is cut into. Raises Unread."""
    try:
        most = asker.ask("nvmlDeviceGetMaxMigDeviceCount")
    except Unread as unread:
        if unread.status != "unsupported":
            raise
        return ()
    found = []
    for number in range(most):
        device = f"{asker.index}.mig{number}"
        try:
            uuid = str(asker.source.call("nvmlDeviceGetUUID", device))
        except Unread as unread:
            if unread.status != "absent":
                raise
            continue  # so many there could be; this one is not
        name = str(asker.source.call("nvmlDeviceGetName", device))
        found.append(MigDevice(uuid, name, int(asker.source.call("nvmlDeviceGetMemoryInfo", device)["total"])))
    return tuple(found)


def _cpus(masks: Sequence[int]) -> str:
    cpus = [64 * word + bit for word, mask in enumerate(masks) for bit in range(64) if mask >> bit & 1]
    if not cpus:
        raise Unread("unsupported", "the driver names no CPU near it")
    return cpulist.written(cpus)


def _local_cpus(source: Source, place: str) -> str:
    return cpulist.written(cpulist.parsed(source.text(f"{bus.DEVICES}/{place}/local_cpulist")))


def _process(source: Source, told: Mapping[str, Any], own: int) -> GpuProcess:
    pid = int(told["pid"])
    name = reading("", lambda: os.path.basename(source.call("nvmlSystemGetProcessName", pid)))
    parents = reading("", lambda: list(source.call("parents", pid)))
    return GpuProcess(pid, name.or_else(""), told["usedGpuMemory"], pid == own or own in parents.or_else([]))


def _processes(source: Source, told: Sequence[Mapping[str, Any]]) -> tuple[GpuProcess, ...]:
    own = int(source.call("process"))
    return tuple(_process(source, one, own) for one in told)
