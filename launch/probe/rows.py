"""The facts of a node as rows of words, for the terminal and for the page alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.topology import words
from cluster.topology.cpulist import written
from cluster.topology.draw.card import listed
from cluster.topology.draw.figures import Figure, figures_of, is_low, span
from cluster.topology.fact import UNREAD, Fact
from cluster.topology.gpu import Gpu
from cluster.topology.node import Cluster, Node
from cluster.topology.parts import NAMES, parts
from cluster.topology.rate import Curve

UNTOLD = "?"
NONE = "–"


@dataclass(frozen=True)
class Rows:
    """A table: its title, what stands above its columns, its lines."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    """Columns of figures."""


def facts(node: Node) -> list[tuple[str, str]]:
    """What a node is, a line for each subject."""
    cpu, memory, host = node.cpu, node.memory, node.host
    group = words.told("group_limit_bytes", memory.group_limit_bytes, UNTOLD)
    found = [
        ("CPU", f"{_of('model', cpu.model)}, {_count(cpu.sockets, 'socket')}, {_count(cpu.cores, 'core')}, "
                f"{_count(cpu.threads, 'CPU')}"),
        ("usable", f"CPUs {_of('usable', cpu.usable)} ({_of('usable_count', cpu.usable_count)} of "
                   f"{_of('threads', cpu.threads)}), quota {_of('quota', cpu.quota)}, load {_of('load', cpu.load)}"),
        ("extensions", _of("extensions", cpu.extensions)),
        ("memory", f"{_of('total_bytes', memory.total_bytes)}, "
                   f"{_of('available_bytes', memory.available_bytes)} available, limit {group}"),
        ("limits", f"/dev/shm {_of('shm_bytes', memory.shm_bytes)}, locked memory "
                   f"{_of('locked_limit_bytes', memory.locked_limit_bytes)}, open files "
                   f"{_of('open_files_limit', memory.open_files_limit)}"),
        ("machine", _together(*((name, getattr(host, name)) for name in ("product", "hypervisor", "container")))),
        ("software", _together(*((name, getattr(node.software, name)) for name in VERSIONS))),
        ("GPUs", f"driver {_of('driver', node.software.driver)}, CUDA {_of('cuda', node.gpus.driver_cuda)}"
                 if node.gpus.devices else f"none that answers: {node.gpus.nvml.why or 'there is none'}"),
    ]  # fmt: skip
    return [(name, said) for name, said in found if said and said != UNTOLD]


VERSIONS = ("operating_system", "kernel", "python", "torch", "cuda", "cudnn", "nccl", "scheduler", "gpudirect")


def _of(name: str, fact: Fact[Any]) -> str:
    return words.told(name, fact, UNTOLD)


def _count(fact: Fact[int], what: str) -> str:
    return f"{_of('', fact)} {what}" + ("" if fact.value == 1 else "s")


def _together(*named: tuple[str, Fact[Any]]) -> str:
    titles = {"operating_system": "", "nccl": "NCCL", "cuda": "CUDA", "cudnn": "cuDNN", "scheduler": "", "product": ""}
    said = [f"{titles.get(name, name)} {words.amount(name, fact.value)}".strip() for name, fact in named if fact.known]
    return ", ".join(said)


def numa(node: Node) -> Rows:
    lines = tuple(
        (
            str(one.number), _of("cpus", one.cpus), _of("memory_bytes", one.memory_bytes),
            _of("free_bytes", one.free_bytes), " ".join(map(str, one.distances.or_else(()))) or UNTOLD,
        )
        for one in node.numa
    )  # fmt: skip
    return Rows("NUMA nodes", ("NUMA", "CPUs", "memory", "free", "distances"), lines, frozenset({2, 3}))


def gpus(node: Node) -> Rows:
    heads = (
        "GPU", "model", "bus id", "NUMA", "memory", "used", "PCIe now", "at most", "NVLinks", "temperature", "power",
        "ECC", "processes",
    )  # fmt: skip
    lines = tuple(_gpu(gpu) for gpu in node.gpus.devices)
    known = {gpu.bus_id.or_else("") for gpu in node.gpus.devices}
    silent = [bus_id for bus_id in node.gpus.on_bus.or_else(()) if bus_id not in known]
    lines += tuple((UNTOLD, "on the bus, no answer", bus_id, *[NONE] * (len(heads) - 3)) for bus_id in silent)
    return Rows("GPUs", heads, lines, frozenset({4, 5, 9, 10}))


def _gpu(gpu: Gpu) -> tuple[str, ...]:
    links = gpu.nvlinks.value
    linked = UNTOLD if links is None else f"{sum(link.active for link in links)} of {len(links)}" if links else "none"
    errors = gpu.ecc_uncorrected.value
    ecc = _of("ecc", gpu.ecc).replace("yes", "on").replace("no", "off") + (f", {errors} errors" if errors else "")
    running = gpu.processes.value
    others = UNTOLD if running is None else ", ".join(f"{p.pid} {p.name}".strip() for p in running) or "none"
    slices = gpu.mig_devices.or_else(())
    model = _of("name", gpu.name) + (f", {len(slices)} MIG slices" if slices else "")
    limit = _of("power_limit_watts", gpu.power_limit_watts)
    power = f"{_of('power_watts', gpu.power_watts).removesuffix(' W')} of {limit}"
    return (
        str(gpu.index), model, _of("bus_id", gpu.bus_id), _of("numa_node", gpu.numa_node),
        _of("memory_bytes", gpu.memory_bytes), _of("memory_used_bytes", gpu.memory_used_bytes),
        words.pcie(gpu.pcie_generation.value, gpu.pcie_width.value),
        words.pcie(gpu.pcie_generation_max.value, gpu.pcie_width_max.value), linked,
        _of("temperature_celsius", gpu.temperature_celsius), power, ecc, others,
    )  # fmt: skip


def ports(node: Node) -> Rows:
    lines = [
        (
            f"{port.device}/{port.port}", _of("link_layer", port.link_layer), _of("state", port.state),
            _of("rate_bits_per_second", port.rate_bits_per_second), NONE, _of("numa_node", port.numa_node),
            _of("firmware", port.firmware), _of("interface", port.interface),
        )
        for port in node.network.rdma
    ]  # fmt: skip
    lines += [
        (
            port.name, _of("kind", port.kind), _of("state", port.state),
            _of("speed_bits_per_second", port.speed_bits_per_second), _of("mtu", port.mtu_bytes),
            _of("numa_node", port.numa_node), _of("driver", port.driver), _of("addresses", port.addresses),
        )
        for port in node.network.ports
    ]  # fmt: skip
    heads = ("port", "kind", "state", "speed", "MTU", "NUMA", "driver", "address or interface")
    return Rows("Network", heads, tuple(lines), frozenset({3, 4}))


def folders(node: Node) -> Rows:
    lines = tuple(
        (
            one.role, one.path, _of("file_system", one.file_system), _of("free_bytes", one.free_bytes),
            _of("size_bytes", one.size_bytes), _of("inodes_free", one.inodes_free), _of("shared", one.shared),
        )
        for one in node.storage
    )  # fmt: skip
    heads = ("folder", "path", "file system", "free", "of", "free inodes", "all nodes see it")
    return Rows("Folders", heads, lines, frozenset({3, 4, 5}))


def measured(nodes: Sequence[Node]) -> Rows:
    """Of one node, or of several that are alike: what is of one kind together, its lowest named."""
    titles = {
        gpu.uuid.or_else(""): f"GPU {gpu.index}" + (f" of {node.name}" if len(nodes) > 1 else "")
        for node in nodes
        for gpu in node.gpus.devices
    }
    lines = tuple(_figure(figure, titles) for figure in figures_of(nodes))
    heads = ("measured", "rate", "limit", "share", "where the lowest was")
    return Rows("Rates", heads, lines, frozenset({1, 2, 3}))


def _figure(figure: Figure, titles: Mapping[str, str]) -> tuple[str, ...]:
    lowest = min(figure.rates, key=lambda rate: rate.value)
    shares = sorted(rate.share for rate in figure.rates if rate.share is not None)
    share = NONE
    if shares:
        share = words.percent(shares[0])
        share = (
            share if share == words.percent(shares[-1]) else f"{shares[0]:.0%}"[:-1] + f"–{words.percent(shares[-1])}"
        )
    limit = words.rate(lowest.limit, lowest.unit) if lowest.limit else NONE
    where = " to ".join(titles.get(end, end) for end in lowest.where.split(" -> "))
    where += " (low)" if any(map(is_low, figure.rates)) else ""
    return figure.name, span([rate.value for rate in figure.rates], lowest.unit), limit, share, where


def sizes(curve: Curve) -> Rows:
    lines = []
    for size in curve.sizes:
        late = max(range(len(size.rank_seconds)), key=lambda rank: size.rank_seconds[rank], default=None)
        slowest = NONE if late is None else f"rank {late}"
        if late is not None and late < len(curve.rank_nodes):
            slowest += f" on {curve.rank_nodes[late]}"
        lines.append(
            (
                words.size(size.message_bytes), words.duration(size.median_seconds), words.duration(size.min_seconds),
                words.rate(size.bus_bytes_per_second, "bytes/s"),
                words.rate(size.best_bus_bytes_per_second, "bytes/s"), slowest,
            )
        )  # fmt: skip
    limit = f", limit {words.rate(curve.limit, 'bytes/s')} ({curve.limit_reason})" if curve.limit else ""
    collective = curve.collective.replace("_", "-").capitalize()
    title = f"{collective} over {curve.ranks} ranks on {curve.nodes} nodes, {curve.backend}{limit}"
    heads = ("message", "median", "best", "bus bandwidth", "at best", "slowest")
    return Rows(title, heads, tuple(lines), frozenset({0, 1, 2, 3, 4}))


def slowest_pairs(cluster: Cluster, most: int) -> Rows:
    ordered = sorted(cluster.pairs, key=lambda pair: pair.bytes_per_second)[:most]
    lines = tuple(
        (
            pair.a, pair.b, words.rate(pair.bytes_per_second, "bytes/s"), words.duration(pair.latency_seconds),
            words.percent(pair.bytes_per_second / pair.limit) if pair.limit else NONE,
        )
        for pair in ordered
    )  # fmt: skip
    title = (
        "Pairs of nodes" if len(ordered) == len(cluster.pairs) else f"Slowest of {len(cluster.pairs):,} pairs of nodes"
    )
    return Rows(title, ("node", "node", "one way", "latency", "of its limit"), lines, frozenset({2, 3, 4}))


def unknowns(node: Node) -> Iterator[tuple[bool, str, str]]:
    """For each reason why facts are not known: whether there is no such thing here, the reason, the facts."""
    found: dict[tuple[bool, str], dict[tuple[str, str], list[str]]] = {}
    for part in parts(node):
        for name, fact in words.facts_of(part.record):
            if fact.status == "ok":
                continue
            none_here = fact.status == "absent" and fact.why != UNREAD.why
            why = fact.why if fact.status == "absent" else f"{fact.status}: {fact.why}"
            title = " ".join(NAMES.get(word, word) for word in words.label(name).split())
            kind = "" if part.kind in ("host", "software", "network", "GPUs") else part.kind
            reasons = found.setdefault((none_here, why.removesuffix(": ")), {})
            reasons.setdefault((kind, title), []).append(part.number)
    for (none_here, why), names in sorted(found.items()):
        yield none_here, why, _facts_of_parts(names)


def _facts_of_parts(names: Mapping[tuple[str, str], list[str]]) -> str:
    """GPUs 0-7: serial, VBIOS; facts of the same parts together."""
    together: dict[str, list[str]] = {}
    for (kind, title), numbers in names.items():
        together.setdefault(_parts(kind, [number for number in numbers if number]), []).append(title)
    return "; ".join(f"{of}: {', '.join(titles)}" if of else ", ".join(titles) for of, titles in together.items())


def _parts(kind: str, numbers: Sequence[str]) -> str:
    if not numbers:
        return kind
    told = written(map(int, numbers)) if all(number.isdigit() for number in numbers) else listed(numbers, 9)
    return f"{kind}s {told}" if len(numbers) > 1 else f"{kind} {told}"
