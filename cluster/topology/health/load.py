"""Rules over what was measured on one node: what GPUs said under load, and what share of its limit a rate has."""

from collections.abc import Iterator

from cluster.topology.gpu import Gpu
from cluster.topology.health.finding import Level, Missed, Peers, Said, Wrong
from cluster.topology.health.gpu import NEAR_SLOWDOWN_CELSIUS, named
from cluster.topology.node import Node
from cluster.topology.rate import Rate
from cluster.topology.words import KNOWN_RATES, pcie, percent, rate

# idle and power_cap are how every GPU works (NVIDIA's NVML reference, clocks event reasons; AzureHPC ignores both too).
THROTTLE: dict[str, tuple[Level, str]] = {
    "hw_slowdown": ("fail", "the hardware halves its clocks or worse: too hot, or its power is not right"),
    "hw_thermal": ("fail", "the hardware slows it down because it is too hot"),
    "power_brake": ("fail", "the power supply tells it to slow down"),
    "sw_thermal": ("warning", "the driver slows it down because it is too hot"),
}
LEAST_SHARES = {
    ("host_to_device", "pinned"): 0.65,
    ("device_to_host", "pinned"): 0.65,
    # PCIe and NVLink carry 80 to 88 % of their specification one way (stas00/ml-engineering, network); a pass mark for
    # H100 is 52 GB/s of 63 (AzureHPC, nd96isr_h100_v5.conf). Below 65 % it is not the protocol.
    ("device_to_device", "peer"): 0.60,
    # NCCL reckons 20 to 20.6 of 25 GB/s for a link (src/graph/topo.h).
    ("device_memory", ""): 0.70,
    # A copy reaches nine tenths of what bus and clock allow; error correction in the memory itself takes some.
}
"""Share of its limit below which a rate is too low, by what and how; what is not here has no known share."""


def _under_load(node: Node) -> Iterator[tuple[Gpu, list[Rate]]]:
    for gpu in node.gpus.devices:
        rates = [one for one in node.rates if one.under_load and gpu.uuid.known and one.where == gpu.uuid.value]
        if rates:
            yield gpu, rates


def _words(gpu: Gpu, rates: list[Rate]) -> tuple[str, tuple[str, ...]]:
    during = ", ".join(dict.fromkeys(KNOWN_RATES.get(one.what, one.what) for one in rates))
    return f"{named(gpu)} during {during}", tuple(f"rates[{one.what}, {one.where}].under_load" for one in rates)


def _said(one: Rate, name: str) -> float | None:
    value = (one.under_load or {}).get(name)
    return value if isinstance(value, int | float) else None


def throttled(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu, rates in _under_load(node):
        for reason, (level, means) in THROTTLE.items():
            with_it = [one for one in rates if reason in str((one.under_load or {}).get("throttle", "")).split(", ")]
            if with_it:
                who, facts = _words(gpu, with_it)
                yield Wrong(level=level, what=f"{who}: {reason}: {means}", facts=facts)
    if node.gpus.devices and node.rates and not any(_under_load(node)):
        yield Missed(what="what the GPUs do under load: they did not tell anything meanwhile")


def hot(node: Node, peers: Peers) -> Iterator[Said]:
    for gpu, rates in _under_load(node):
        slowdown = gpu.slowdown_celsius.value
        if slowdown is None:
            continue
        near = [one for one in rates if (_said(one, "temperature_celsius") or 0) >= slowdown - NEAR_SLOWDOWN_CELSIUS]
        if near:
            who, facts = _words(gpu, near)
            hottest = max(_said(one, "temperature_celsius") or 0 for one in near)
            what = f"{who}: {hottest:.0f} °C, it slows down at {slowdown} °C"
            yield Wrong(level="warning", what=what, facts=facts)


def narrow(node: Node, peers: Peers) -> Iterator[Said]:
    """Only under load: idle links go down to save power."""
    for gpu, rates in _under_load(node):
        best = {name: max((_said(one, name) or 0 for one in rates), default=0) for name in WIDEST}
        short = [name for name, top in WIDEST.items() if 0 < best[name] < (getattr(gpu, top).value or 0)]
        if short:
            who, facts = _words(gpu, [one for one in rates if _said(one, short[0])])
            now = pcie(int(best["pcie_generation"]), int(best["pcie_width"]))
            most = pcie(gpu.pcie_generation_max.value, gpu.pcie_width_max.value)
            yield Wrong(level="fail", what=f"{who}: its link runs as {now}, card and slot can do {most}", facts=facts)


WIDEST = {"pcie_generation": "pcie_generation_max", "pcie_width": "pcie_width_max"}


def below_limit(node: Node, peers: Peers) -> Iterator[Said]:
    for one in node.rates:
        least = LEAST_SHARES.get((one.what, one.how), LEAST_SHARES.get((one.what, "")))
        if least is None or one.share is None or one.share >= least:
            continue
        yield Wrong(
            level="fail" if one.share < least / 2 else "warning",
            what=f"{KNOWN_RATES.get(one.what, one.what)} ({one.how}) of {where(node, one.where)}: "
            f"{rate(one.value, one.unit)}, {percent(one.share)} of {rate(one.limit or 0, one.unit)} "
            f"({one.limit_reason}); {percent(least)} at least are to be expected",
            facts=(f"rates[{one.what}, {one.where}, {one.how}]",),
        )


def where(node: Node, words: str) -> str:
    """Where a rate was measured: GPUs by their number too."""
    names = {gpu.uuid.value: named(gpu) for gpu in node.gpus.devices if gpu.uuid.known}
    return " -> ".join(names.get(part, part) for part in words.split(" -> "))
