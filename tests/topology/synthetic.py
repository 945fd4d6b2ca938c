"""Plausible records of machines, written directly: a node with 8 H100 and 8 InfiniBand ports, a node without GPUs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from cluster.topology.cpu import Cache, Cpu, NumaNode
from cluster.topology.fact import Fact, unknown
from cluster.topology.gpu import Gpu, Gpus, NvLink, RemappedRows
from cluster.topology.host import Host, Software
from cluster.topology.memory import Memory
from cluster.topology.network import Network, Port, RdmaPort
from cluster.topology.node import Cluster, Node
from cluster.topology.rate import Curve, Pair, Rate, Size
from cluster.topology.storage import Storage

GIB = 1 << 30
GPUS = 8
LINKS = 18
BUSES = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
Fault = Callable[[Node], Node]


def ok(value: Any, unit: str = "", source: str = "composed") -> Fact[Any]:
    return Fact(value, unit, source)


def absent(why: str = "there is none here") -> Fact[Any]:
    return unknown("absent", why, "composed")


def denied(why: str = "Permission denied") -> Fact[Any]:
    return unknown("denied", why, "composed")


def unsupported(why: str = "Not Supported") -> Fact[Any]:
    return unknown("unsupported", why, "composed")


def bus_id(gpu: int) -> str:
    return f"0000:{BUSES[gpu]}:00.0"


def uuid(node: int, gpu: int) -> str:
    return f"GPU-{node:08x}-0000-4000-8000-{gpu:012x}"


def gpu(node: int, index: int) -> Gpu:
    links = tuple(NvLink(link, True, 6, "switch", f"0000:0{1 + link % 4}:00.0") for link in range(LINKS))
    return Gpu(
        index=index,
        uuid=ok(uuid(node, index)),
        bus_id=ok(bus_id(index)),
        cuda_index=ok(index),
        name=ok("NVIDIA H100 80GB HBM3"),
        serial=ok(f"165{node:06}{index:04}"),
        vbios=ok("96.00.74.00.01"),
        compute_capability=ok("9.0"),
        multiprocessors=ok(132),
        memory_bytes=ok(85520809984, "bytes"),
        memory_used_bytes=ok(0, "bytes"),
        memory_bus_bits=ok(5120),
        clock_mhz=ok(345, "MHz"),
        clock_max_mhz=ok(1980, "MHz"),
        clock_set_mhz=absent("no application clock is set"),
        memory_clock_mhz=ok(2619, "MHz"),
        memory_clock_max_mhz=ok(2619, "MHz"),
        power_watts=ok(72.5, "W"),
        power_limit_watts=ok(700.0, "W"),
        power_limit_default_watts=ok(700.0, "W"),
        temperature_celsius=ok(31, "°C"),
        slowdown_celsius=ok(87, "°C"),
        throttle=ok(("idle",)),
        utilisation_percent=ok(0),
        ecc=ok(True),
        ecc_pending=ok(True),
        ecc_corrected=ok(0),
        ecc_uncorrected=ok(0),
        ecc_uncorrected_lifetime=ok(0),
        remapped_rows=ok(RemappedRows(0, 0, False, False)),
        retired_pages_pending=unsupported(),
        mig=ok(False),
        mig_devices=ok(()),
        persistence=ok(True),
        compute_mode=ok("default"),
        pcie_generation=ok(1),
        pcie_generation_max=ok(5),
        pcie_generation_card=ok(5),
        pcie_generation_slot=ok(5),
        pcie_width=ok(16),
        pcie_width_max=ok(16),
        pcie_width_slot=ok(16),
        pcie_replays=ok(0),
        numa_node=ok(index // 4),
        cpus=ok("0-47,96-143" if index < 4 else "48-95,144-191"),
        processes=ok(()),
        nvlinks=ok(links),
        fabric=ok("completed 00000000-0000-0000-0000-000000000000 0"),
        xids=ok(()),
    )


def gpus(node: int) -> Gpus:
    names = tuple(f"mlx5_{index}" for index in range(GPUS))
    return Gpus(
        nvml=ok("12.570.86"),
        driver_cuda=ok("12.8"),
        on_bus=ok(tuple(map(bus_id, range(GPUS)))),
        devices=tuple(gpu(node, index) for index in range(GPUS)),
        visible=ok(tuple(uuid(node, index) for index in range(GPUS))),
        paths=ok(tuple(tuple("X" if a == b else "NV18" for b in range(GPUS)) for a in range(GPUS))),
        peers=ok(tuple(tuple("X" if a == b else "OK" for b in range(GPUS)) for a in range(GPUS))),
        port_paths=ok(tuple(tuple("PIX" if a == b else "SYS" for b in range(GPUS)) for a in range(GPUS))),
        port_names=names,
    )


def port(node: int, name: str = "ens1", **facts: Fact[Any]) -> Port:
    return dataclasses.replace(
        Port(
            name=name,
            kind=ok("physical"),
            addresses=ok((f"10.0.{node // 250}.{node % 250 + 1}/16",)),
            mac=ok(f"02:00:00:{node // 256:02x}:{node % 256:02x}:01"),
            driver=ok("mlx5_core"),
            speed_bits_per_second=ok(100_000_000_000),
            state=ok("up"),
            carrier=ok(True),
            mtu_bytes=ok(9000, "bytes"),
            numa_node=ok(0),
            bus_id=ok("0000:2a:00.0"),
            pcie_bits_per_second=ok(252_000_000_000),
            errors=ok(0),
        ),
        **facts,
    )


def rdma(node: int, index: int) -> RdmaPort:
    return RdmaPort(
        device=f"mlx5_{index}",
        port=1,
        link_layer=ok("InfiniBand"),
        state=ok("ACTIVE"),
        physical_state=ok("LinkUp"),
        rate_bits_per_second=ok(400_000_000_000),
        rate=ok("400 Gb/sec (4X NDR)"),
        interface=ok(f"ib{index}"),
        firmware=ok("28.39.1002"),
        guid=ok(f"a088:c203:{node:04x}:{index:04x}"),
        numa_node=ok(index // 4),
        bus_id=ok(f"0000:{BUSES[index]}:00.1"),
        link_downed=ok(0),
        symbol_errors=ok(0),
        receive_errors=ok(0),
    )


def software(**versions: Fact[Any]) -> Software:
    return dataclasses.replace(
        Software(
            operating_system=ok("Ubuntu 22.04"),
            kernel=ok("5.15.0-1070"),
            python=ok("3.11.9"),
            muster=ok("0.1.0"),
            torch=ok("2.13.0+cu130"),
            cuda=ok("13.0"),
            cudnn=ok("9.10.2"),
            nccl=ok("2.29.7"),
            gloo=ok("in torch"),
            numpy=ok("2.2.0"),
            spacy=ok("3.8.7"),
            scheduler=ok("slurm 24.05.4"),
            driver=ok("570.86.15"),
            gpudirect=ok("nvidia_peermem 570.86.15"),
            environment=ok({"SLURM_JOB_ID": "7", "NCCL_DEBUG": "WARN"}),
        ),
        **versions,
    )


def storage(role: str) -> Storage:
    return Storage(
        role=role,
        path=f"/scratch/{role}",
        file_system=ok("lustre"),
        device=ok("10.9.0.1@o2ib:/scratch"),
        mount=ok("/scratch"),
        over_network=ok(True),
        writable=ok(True),
        size_bytes=ok(900_000 * GIB, "bytes"),
        free_bytes=ok(400_000 * GIB, "bytes"),
        inodes=ok(4_000_000_000),
        inodes_free=ok(3_000_000_000),
        shared=ok(True),
    )


def memory() -> Memory:
    return Memory(
        total_bytes=ok(2015 * GIB, "bytes"),
        available_bytes=ok(1960 * GIB, "bytes"),
        swap_bytes=ok(0, "bytes"),
        group_limit_bytes=ok("unlimited"),
        group_used_bytes=ok(9 * GIB, "bytes"),
        huge_page_bytes=ok(2 << 20, "bytes"),
        huge_pages=ok(0),
        huge_pages_free=ok(0),
        transparent_huge_pages=ok("madvise"),
        shm_bytes=ok(1007 * GIB, "bytes"),
        shm_free_bytes=ok(1007 * GIB, "bytes"),
        locked_limit_bytes=ok("unlimited"),
        open_files_limit=ok(1_048_576),
        processes_limit=ok("unlimited"),
        numa_allowed=ok("0-1"),
    )


def cpu() -> Cpu:
    return Cpu(
        model=ok("Intel(R) Xeon(R) Platinum 8468"),
        architecture=ok("x86_64"),
        sockets=ok(2),
        cores=ok(96),
        threads=ok(192),
        online=ok("0-191"),
        siblings=ok(tuple(f"{core},{core + 96}" for core in range(96))),
        extensions=ok(("avx2", "avx512f", "avx512_bf16", "amx_bf16")),
        caches=ok((Cache(1, "Data", 48 << 10, 2, 96), Cache(3, "Unified", 105 << 20, 96, 2))),
        clock_mhz=ok(2100.0, "MHz"),
        clock_max_mhz=ok(3800.0, "MHz"),
        governor=ok("performance"),
        usable=ok("0-191"),
        usable_count=ok(192),
        quota=ok("unlimited"),
        cpuset=ok("0-191"),
        pressure_percent=ok(0.0),
        load=ok(1.5),
    )


def numa(number: int) -> NumaNode:
    return NumaNode(
        number=number,
        cpus=ok("0-47,96-143" if number == 0 else "48-95,144-191"),
        memory_bytes=ok(1007 * GIB, "bytes"),
        free_bytes=ok(950 * GIB, "bytes"),
        distances=ok((10, 21) if number == 0 else (21, 10)),
    )


def host(node: int, name: str) -> Host:
    return Host(
        name=ok(name),
        boot=ok(f"{node:08x}-0000-4000-8000-00000000b007"),
        network_namespace=ok(f"net:[{4026531840 + node}]"),
        product=ok("SYS-821GE-TNHR"),
        hypervisor=absent(),
        container=absent(),
        time_utc=ok("2026-08-01T12:00:00Z"),
        clock_skew_seconds=ok(0.001 * (node % 7), "s"),
        uptime_seconds=ok(864_000.0, "s"),
    )


def h100_node(number: int, name: str = "") -> Node:
    """All well, nothing measured."""
    name = name or f"n{number}"
    return Node(
        name=name,
        probe_seconds=0.4,
        host=host(number, name),
        software=software(),
        cpu=cpu(),
        numa=(numa(0), numa(1)),
        memory=memory(),
        gpus=gpus(number),
        network=Network(
            ports=(port(number),),
            rdma=tuple(rdma(number, index) for index in range(GPUS)),
            default_interface=ok("ens1"),
        ),
        storage=(storage("data"), storage("runs")),
    )


def cpu_node(number: int, name: str = "") -> Node:
    """No GPU and no RDMA."""
    node = h100_node(number, name)
    no_driver = absent("no NVIDIA driver: libnvidia-ml.so.1 is not installed")
    return dataclasses.replace(
        node,
        software=software(driver=no_driver, nccl=absent("this torch has none"), gpudirect=absent(), cuda=absent()),
        gpus=Gpus(nvml=no_driver, driver_cuda=no_driver, on_bus=ok(()), visible=ok(())),
        network=Network(ports=(port(number),), rdma=(), default_interface=ok("ens1")),
    )


def rate(what: str, where: str, how: str, value: float, limit: float | None = None, **more: Any) -> Rate:
    unit = {"matrix_product": "flop/s", "small_files": "files/s"}.get(what, "bytes/s")
    known = {"limit": limit, "low": 0.98 * value, "high": 1.01 * value, "limit_reason": "composed", "trials": 5, **more}
    return Rate(what=what, where=where, how=how, value=value, unit=unit, **known)


def wobble(*numbers: int) -> float:
    """Up to 2 % either way, the same each time."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 12_345) * 2_654_435_761 % (1 << 32)
    return 1 + 0.04 * (mixed / (1 << 32) - 0.5)


LOAD: dict[str, str | int | float] = {
    "pcie_generation": 5,
    "pcie_width": 16,
    "clock_mhz": 1755,
    "memory_clock_mhz": 2619,
    "power_watts": 640.0,
    "temperature_celsius": 61,
    "throttle": "power_cap",
}


def measured(node: Node, number: int) -> Node:
    """The same node with rates as they are on such a machine."""
    rates = [
        rate("memory_copy", "numa 0", "48 threads", 200e9 * wobble(number, 1)),
        rate("memory_copy", "numa 0", "1 thread", 12e9 * wobble(number, 2)),
        rate("matrix_product", "cpu", "float32", 5e12 * wobble(number, 3), 11e12),
        rate("disk_write", "/scratch/runs", "sequential, fsync", 2e9 * wobble(number, 4)),
        rate("small_files", "/scratch/runs", "4 KiB", 900 * wobble(number, 5)),
    ]
    for device in node.gpus.devices:
        where = device.uuid.or_else("?")
        for place, (what, how, value, limit) in enumerate(
            (
                ("matrix_product", "bfloat16", 680e12, 1070e12),
                ("device_memory", "copy, 2 arrays counted", 2.9e12, 3.35e12),
                ("host_to_device", "pinned", 53e9, 63e9),
                ("device_to_host", "pinned", 52e9, 63e9),
            )
        ):
            value *= wobble(number, device.index, 10 + place)
            rates.append(rate(what, where, how, value, limit, under_load=dict(LOAD)))
    return dataclasses.replace(node, rates=tuple(rates))


def synthetic_cluster(
    count: int,
    faults: Mapping[str, Fault] | None = None,
    *,
    node: Callable[[int], Node] = h100_node,
    rates: bool = False,
    pairs: bool = False,
) -> Cluster:
    """n0, n1, ...; `faults`: what is wrong, by name of the node."""
    nodes = [node(number) for number in range(count)]
    if rates:
        nodes = [measured(each, number) for number, each in enumerate(nodes)]
    nodes = [(faults or {}).get(each.name, lambda same: same)(each) for each in nodes]
    return Cluster(
        muster="0.1.0",
        probed="2026-08-01T12:00:00Z",
        nodes=tuple(nodes),
        pairs=all_pairs(count) if pairs else (),
    )


def all_pairs(
    count: int, slow_nodes: Mapping[int, float] | None = None, slow_links: Mapping[tuple[int, int], float] | None = None
) -> tuple[Pair, ...]:
    """Every two nodes at 45 GB/s, or a share of it."""
    slow_nodes, slow_links = slow_nodes or {}, slow_links or {}
    return tuple(
        Pair(
            a=f"n{a}",
            b=f"n{b}",
            bytes_per_second=45e9
            * wobble(a, b)
            * min(slow_nodes.get(a, 1.0), slow_nodes.get(b, 1.0), slow_links.get((a, b), 1.0)),
            latency_seconds=5e-6 * wobble(b, a),
            limit=50e9,
            limit_reason="ib0: 400 Gb/s",
        )
        for a in range(count)
        for b in range(a + 1, count)
    )


def curve(bus_bytes_per_second: float, limit: float | None = 50e9, backend: str = "nccl", ranks: int = 16) -> Curve:
    return Curve(
        collective="all_reduce",
        backend=backend,
        ranks=ranks,
        nodes=2,
        rank_nodes=tuple(f"n{rank // 8}" for rank in range(ranks)),
        interface="ib0",
        latency_seconds=2e-5,
        sizes=tuple(
            Size(
                message_bytes=size,
                trials=5,
                min_seconds=size / bus_bytes_per_second,
                median_seconds=size / bus_bytes_per_second,
                rank_seconds=(size / bus_bytes_per_second,) * ranks,
                bus_bytes_per_second=bus_bytes_per_second * size / (size + (1 << 20)),
                best_bus_bytes_per_second=bus_bytes_per_second * size / (size + (1 << 20)),
            )
            for size in (1 << power for power in range(16, 31, 2))
        ),
        limit=limit,
        limit_reason="ib0: 400 Gb/s",
    )


def with_gpu(index: int, **facts: Fact[Any]) -> Fault:
    """A fault: other facts of one GPU."""

    def fault(node: Node) -> Node:
        devices = list(node.gpus.devices)
        devices[index] = dataclasses.replace(devices[index], **facts)
        return dataclasses.replace(node, gpus=dataclasses.replace(node.gpus, devices=tuple(devices)))

    return fault


def with_rdma(index: int, **facts: Fact[Any]) -> Fault:
    def fault(node: Node) -> Node:
        ports = list(node.network.rdma)
        ports[index] = dataclasses.replace(ports[index], **facts)
        return dataclasses.replace(node, network=dataclasses.replace(node.network, rdma=tuple(ports)))

    return fault


def with_port(**facts: Fact[Any]) -> Fault:
    def fault(node: Node) -> Node:
        first, *others = node.network.ports
        ports = (dataclasses.replace(first, **facts), *others)
        return dataclasses.replace(node, network=dataclasses.replace(node.network, ports=ports))

    return fault


def with_storage(role: str, **facts: Fact[Any]) -> Fault:
    def fault(node: Node) -> Node:
        folders = tuple(dataclasses.replace(each, **facts) if each.role == role else each for each in node.storage)
        return dataclasses.replace(node, storage=folders)

    return fault


def with_part(part: str, **facts: Fact[Any]) -> Fault:
    """`part`: host, software, cpu, memory, gpus."""
    return lambda node: dataclasses.replace(node, **{part: dataclasses.replace(getattr(node, part), **facts)})


def with_load(index: int, **load: str | int | float) -> Fault:
    """A fault that one GPU tells under load."""

    def fault(node: Node) -> Node:
        where = node.gpus.devices[index].uuid.value
        rates = tuple(
            dataclasses.replace(each, under_load={**(each.under_load or {}), **load}) if each.where == where else each
            for each in node.rates
        )
        return dataclasses.replace(node, rates=rates)

    return fault


def with_rate(what: str, factor: float, how: str = "", where: str = "") -> Fault:
    """A fault: some measured figures are `factor` of what they were."""

    def fault(node: Node) -> Node:
        def slowed(each: Rate) -> Rate:
            if each.what != what or (how and each.how != how) or (where and each.where != where):
                return each
            return dataclasses.replace(each, value=factor * each.value, low=factor * each.low, high=factor * each.high)

        return dataclasses.replace(node, rates=tuple(map(slowed, node.rates)))

    return fault
