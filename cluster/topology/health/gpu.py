"""Rules over the GPUs of one node, from facts alone."""

from collections.abc import Iterable, Iterator

from cluster.topology.cpulist import written
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu, Gpus, Xid
from cluster.topology.health.finding import Level, Missed, Peers, Said, Wrong, unread
from cluster.topology.node import Node
from cluster.topology.words import duration

# What AzureHPC's health checks take a node out of service for (Azure/azurehpc-health-checks, customTests).
FATAL_XIDS = {48, 56, 57, 58, 62, 63, 64, 65, 68, 69, 73, 74, 79, 80, 81, 92, 119, 120}
# Faults of the program that ran, not of the GPU: an exception in its kernel, an access out of bounds, a channel that
# was stopped or cleaned up (docs.nvidia.com/deploy/xid-errors).
PROGRAM_XIDS = {13, 31, 43, 45}
NEAR_SLOWDOWN_CELSIUS = 5
CLOSED_MODES: dict[str, Level] = {"prohibited": "fail", "exclusive_process": "warning", "exclusive_thread": "warning"}


def named(gpu: Gpu) -> str:
    """GPU 3 (GPU-1234..., 0000:3b:00.0)."""
    known = [str(fact.value) for fact in (gpu.uuid, gpu.bus_id) if fact.known]
    return f"GPU {gpu.index}" + (f" ({', '.join(known)})" if known else "")


def place(gpu: Gpu, *names: str) -> tuple[str, ...]:
    return tuple(f"gpus.devices[{gpu.index}].{name}" for name in names)


def nvml(node: Node, peers: Peers) -> Iterator[Said]:
    gpus = node.gpus
    on_bus = gpus.on_bus.or_else(())
    if gpus.nvml.known:
        yield from unread(gpus.on_bus, "NVIDIA GPUs on the PCI bus")
        foreign = [gpu.index for gpu in gpus.devices if not _granted(gpu)]
        if foreign:
            yield Missed(what=f"GPU {written(foreign)}: not granted to this process")
    elif on_bus or (gpus.nvml.status != "absent" and not gpus.on_bus.known):
        there = f"{len(on_bus)} on the PCI bus" if on_bus else "the PCI bus could not be read either"
        yield Missed(
            what=f"no GPU could be asked ({there}): NVML: {gpus.nvml.status}: {gpus.nvml.why}",
            essential=True,
            remedy="See that `nvidia-smi` works on this node; after a new driver was installed, reboot it. In a "
            "container, start it with access to the GPUs (`--gpus all`, or the site's option for it).",
        )


def lost(node: Node, peers: Peers) -> Iterator[Said]:
    if not node.gpus.nvml.known:
        return
    listed = {gpu.bus_id.value for gpu in node.gpus.devices if gpu.bus_id.known}
    for bus_id in node.gpus.on_bus.or_else(()):
        if bus_id not in listed:
            what = f"the GPU at {bus_id} is on the PCI bus, but NVML lists only {_counted(node.gpus)}"
            yield Wrong(level="fail", what=what, facts=("gpus.on_bus", "gpus.devices"))
    for gpu in node.gpus.devices:
        silent = _says_lost(gpu)
        if silent is not None:
            what = f"{named(gpu)} does not answer: {silent.why}"
            yield Wrong(level="fail", what=what, facts=(f"gpus.devices[{gpu.index}]",))


def _counted(gpus: Gpus) -> str:
    return "none" if not gpus.devices else f"{len(gpus.devices)} of {len(gpus.on_bus.or_else(()))}"


def _says_lost(gpu: Gpu) -> Fact[str] | Fact[int] | None:
    """A fact that every GPU tells, and that NVML refuses because this one is gone or waits for a reset."""
    for fact in (gpu.uuid, gpu.name, gpu.memory_bytes, gpu.temperature_celsius):
        words = fact.why.lower()
        if not fact.known and ("lost" in words or "reset" in words or "fallen off" in words):
            return fact
    return None


def _granted(gpu: Gpu) -> bool:
    """A scheduler may give a job some GPUs of a node: the others are listed and tell nothing."""
    return gpu.uuid.status != "denied"


def _unread(node: Node, name: str, what: str) -> Iterator[Missed]:
    """A fact that some GPUs do not tell: once for each reason. Lost ones and others' are told of elsewhere."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for gpu in node.gpus.devices:
        fact = getattr(gpu, name)
        if any(unread(fact, what)) and _says_lost(gpu) is None and _granted(gpu):
            reasons.setdefault((fact.status, fact.why), []).append(gpu.index)
    for (status, why), indices in reasons.items():
        yield Missed(what=f"{what} of GPU {written(indices)}: {status}: {why}")


def ecc_errors(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        count = gpu.ecc_uncorrected
        if count.value:
            what = f"{named(gpu)}: {count.value} uncorrectable memory errors since the driver was loaded"
            yield Wrong(level="fail", what=what, facts=place(gpu, "ecc_uncorrected"))
    yield from _unread(node, "ecc_uncorrected", "uncorrectable memory errors")


def memory_rows(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        rows, pages = gpu.remapped_rows, gpu.retired_pages_pending
        if rows.value is not None and rows.value.failed:
            yield Wrong(
                level="fail",
                what=f"{named(gpu)}: replacing a faulty row of memory failed, no spare is left "
                f"({rows.value.correctable + rows.value.uncorrectable} rows were replaced)",
                facts=place(gpu, "remapped_rows"),
                remedy="Take the node out of service and have this GPU replaced.",
            )
        elif rows.value is not None and rows.value.pending:
            what = f"{named(gpu)}: faulty rows of memory wait to be replaced"
            yield Wrong(level="fail", what=what, facts=place(gpu, "remapped_rows"))
        if pages.value:
            what = f"{named(gpu)}: faulty pages of memory wait to be retired"
            yield Wrong(level="fail", what=what, facts=place(gpu, "retired_pages_pending"))
    if not any(gpu.retired_pages_pending.known for gpu in node.gpus.devices):  # a GPU has the one or the other
        yield from _unread(node, "remapped_rows", "replaced rows of memory")


def ecc_setting(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        usual = peers.ecc.get(gpu.name.or_else(""))
        if gpu.ecc.value is not None and usual is not None and gpu.ecc.value != usual:
            what = f"{named(gpu)}: error correction is {_on(gpu.ecc.value)}, on most others {_on(usual)}"
            yield Wrong(level="warning", what=what, facts=place(gpu, "ecc"))
        elif gpu.ecc.known and gpu.ecc_pending.known and gpu.ecc.value != gpu.ecc_pending.value:
            now, then = _on(bool(gpu.ecc.value)), _on(bool(gpu.ecc_pending.value))
            what = f"{named(gpu)}: error correction is {now} and will be {then} after a reboot"
            yield Wrong(level="warning", what=what, facts=place(gpu, "ecc", "ecc_pending"))


def _on(setting: bool) -> str:
    return "on" if setting else "off"


def xids(node: Node, peers: Peers) -> Iterator[Said]:
    gpus = node.gpus
    for gpu in gpus.devices:
        yield from _of_log(node, named(gpu), gpu.xids.or_else(()), place(gpu, "xids"))
    others: dict[str, list[Xid]] = {}
    for xid in gpus.other_xids.or_else(()):
        others.setdefault(xid.bus_id, []).append(xid)
    for bus_id, found in others.items():
        yield from _of_log(node, f"the GPU at {bus_id}", found, ("gpus.other_xids",))
    if gpus.devices or gpus.on_bus.value:
        logs = [gpu.xids for gpu in gpus.devices] or [gpus.other_xids]
        for fact in {fact.why: fact for fact in logs if not fact.known}.values():
            # Even where there is no such log: what nobody could read is not "none".
            why = f"errors (Xid) in the kernel's log: {fact.status}: {fact.why}"
            yield Missed(what=why, remedy="Ask as root, or set kernel.dmesg_restrict=0 on the node.")


def _of_log(node: Node, who: str, xids: Iterable[Xid], facts: tuple[str, ...]) -> Iterator[Wrong]:
    found: dict[int, list[Xid]] = {}
    for xid in xids:
        found.setdefault(xid.code, []).append(xid)
    for code in sorted(found.keys() - PROGRAM_XIDS):
        last = max(found[code], key=lambda xid: xid.seconds_since_boot)
        times = f"{len(found[code])} times, the last " if len(found[code]) > 1 else ""
        what = f"{who}: Xid {code} ({times}{_ago(node, last)}): {last.words}"
        yield Wrong(level="fail" if code in FATAL_XIDS else "warning", what=what, facts=facts)


def _ago(node: Node, xid: Xid) -> str:
    uptime = node.host.uptime_seconds.value
    if uptime is None or uptime < xid.seconds_since_boot:
        return f"{duration(xid.seconds_since_boot)} after boot"
    return f"{duration(uptime - xid.seconds_since_boot)} ago"


def heat(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        now, slowdown = gpu.temperature_celsius, gpu.slowdown_celsius
        if now.value is None or slowdown.value is None:
            continue
        if now.value >= slowdown.value - NEAR_SLOWDOWN_CELSIUS:
            what = f"{named(gpu)} has {now.value} °C and slows down at {slowdown.value} °C"
            yield Wrong(level="warning", what=what, facts=place(gpu, "temperature_celsius", "slowdown_celsius"))
    yield from _unread(node, "temperature_celsius", "temperature")


def poor_slot(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        card, slot = gpu.pcie_generation_card.value, gpu.pcie_generation_slot.value
        if card is not None and slot is not None and card > slot:
            what = f"{named(gpu)} can do PCIe {card}, its slot only PCIe {slot}"
            yield Wrong(level="warning", what=what, facts=place(gpu, "pcie_generation_card", "pcie_generation_slot"))
        width, slot_width = gpu.pcie_width_max.value, gpu.pcie_width_slot.value
        if width is not None and slot_width is not None and width > slot_width:
            what = f"{named(gpu)} can use {width} lanes, its slot has {slot_width}"
            yield Wrong(level="warning", what=what, facts=place(gpu, "pcie_width_max", "pcie_width_slot"))


def links(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        if gpu.nvlinks.value is None:
            continue
        active = sum(link.active for link in gpu.nvlinks.value)
        down = [str(link.link) for link in gpu.nvlinks.value if not link.active]
        usual = peers.links.get(gpu.name.or_else(""), 0)
        if active < usual:
            which = f" ({', '.join(down)} down)" if down else ""
            what = f"{named(gpu)} has {active} active NVLinks{which}, most others have {usual}"
            yield Wrong(level="fail", what=what, facts=place(gpu, "nvlinks"))
        elif active and down and not usual:
            what = f"{named(gpu)}: NVLinks {', '.join(down)} of {len(gpu.nvlinks.value)} are down"
            yield Wrong(level="warning", what=what, facts=place(gpu, "nvlinks"))
    if any(gpu.nvlinks.status != "unsupported" for gpu in node.gpus.devices):  # most models have none
        yield from _unread(node, "nvlinks", "NVLinks")


def fabric(node: Node, peers: Peers) -> Iterator[Said]:
    """Where there is an NVSwitch fabric that GPUs register with."""
    for gpu in node.gpus.devices:
        words = gpu.fabric.or_else("")
        ready = words.startswith("completed") and "error" not in words
        if words and not (ready and "degraded" not in words):
            what = f"{named(gpu)}: its registration with the NVSwitch fabric: {words}"
            yield Wrong(level="warning" if ready else "fail", what=what, facts=place(gpu, "fabric"))


def held_back(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        limit, usual = gpu.power_limit_watts.value, gpu.power_limit_default_watts.value
        if limit is not None and usual is not None and limit < usual:
            yield Wrong(
                level="warning",
                what=f"{named(gpu)} may draw {limit:.0f} W, its default is {usual:.0f} W",
                facts=place(gpu, "power_limit_watts", "power_limit_default_watts"),
                remedy=f"As root: `nvidia-smi -i {gpu.index} -pl {usual:.0f}`, unless it was meant so.",
            )
        clock, top = gpu.clock_set_mhz.value, gpu.clock_max_mhz.value
        if clock is not None and top is not None and clock < top:
            yield Wrong(
                level="warning",
                what=f"{named(gpu)} is set to {clock} MHz, it can do {top} MHz",
                facts=place(gpu, "clock_set_mhz", "clock_max_mhz"),
                remedy=f"As root: `nvidia-smi -i {gpu.index} -rac` (and `-rgc`), unless it was meant so.",
            )


def persistence(node: Node, peers: Peers) -> Iterable[Said]:
    off = [gpu for gpu in node.gpus.devices if gpu.persistence.value is False]
    if off:
        what = f"persistence is off for GPU {', '.join(str(gpu.index) for gpu in off)}"
        yield Wrong(level="warning", what=what, facts=tuple(name for gpu in off for name in place(gpu, "persistence")))


def compute_mode(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        mode = gpu.compute_mode.or_else("")
        level = CLOSED_MODES.get(mode)
        if level:
            what = f"{named(gpu)} has the compute mode {mode}"
            yield Wrong(level=level, what=what, facts=place(gpu, "compute_mode"))
    yield from _unread(node, "compute_mode", "compute mode")


def other_processes(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu in node.gpus.devices:
        strange = [process for process in gpu.processes.or_else(()) if not process.ours]
        if strange:
            who = ", ".join(f"{process.pid} {process.name}".strip() for process in strange[:4])
            used = sum(process.memory_bytes or 0 for process in strange)
            more = f", {used / (1 << 30):.1f} GiB" if used else ""
            what = f"{named(gpu)} is used by {len(strange)} other processes ({who}{more})"
            yield Wrong(level="warning", what=what, facts=place(gpu, "processes"))
    yield from _unread(node, "processes", "processes")
