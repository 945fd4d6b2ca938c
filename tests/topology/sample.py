"""Records for what people look at: measured machines with and without GPUs, few and many. They do not exist."""

import dataclasses
import itertools
import math

from cluster.topology.cpu import Cpu, NumaNode
from cluster.topology.fact import unknown
from cluster.topology.gpu import Gpus, NvLink
from cluster.topology.health.finding import Finding
from cluster.topology.health.judge import Health
from cluster.topology.host import Host, Software
from cluster.topology.memory import Memory
from cluster.topology.network import Network, Port
from cluster.topology.node import Cluster, Missing, Node
from cluster.topology.rate import Curve, Size
from cluster.topology.storage import Storage
from tests.topology import synthetic
from tests.topology.synthetic import GIB, ok, rate


def eight_gpus(number=0, slow=None):
    """Eight GPUs behind NVSwitch, measured; `slow`: the GPU whose PCIe link does a quarter."""
    node = synthetic.measured(synthetic.h100_node(number), number)
    docker = Port(name="docker0", kind=ok("bridge"), state=ok("down"))
    node = dataclasses.replace(node, network=dataclasses.replace(node.network, ports=(*node.network.ports, docker)))
    uuids = [gpu.uuid.value for gpu in node.gpus.devices]
    ways = [
        rate("device_to_device", f"{a} -> {b}", "", 391e9 * synthetic.wobble(i, j), 450e9)
        for i, a in enumerate(uuids)
        for j, b in enumerate(uuids)
        if a != b
    ]
    node = dataclasses.replace(node, rates=(*node.rates, *ways))
    if slow is None:
        return node
    node = synthetic.with_gpu(slow, pcie_width=ok(4))(node)
    for what in ("host_to_device", "device_to_host"):
        node = synthetic.with_rate(what, 0.25, where=uuids[slow])(node)
    return node


def mesh(name="mesh"):
    """Four GPUs with NVLinks between each pair, on four NUMA nodes; one pair is slow."""
    devices = []
    for index in range(4):
        others = [other for other in range(4) if other != index]
        links = [NvLink(4 * n + k, True, 5, "gpu", synthetic.bus_id(o)) for n, o in enumerate(others) for k in range(4)]
        devices.append(
            dataclasses.replace(
                synthetic.gpu(900, index), name=ok("NVIDIA A100-SXM4-40GB"), nvlinks=ok(tuple(links)),
                numa_node=ok(index), pcie_generation_max=ok(4), memory_bytes=ok(40 * GIB),
            )
        )  # fmt: skip
    ways = [
        rate("device_to_device", f"{a.uuid.value} -> {b.uuid.value}", "", 30e9 if index == 4 else 92e9, 100e9)
        for index, (a, b) in enumerate(itertools.combinations(devices, 2))  # the fourth: GPU 1 to GPU 3
    ]
    return Node(
        name=name,
        cpu=processors("AMD EPYC 7763", 64),
        numa=tuple(numa(number, 16, 64, 128 * GIB, 4) for number in range(4)),
        memory=Memory(total_bytes=ok(512 * GIB)),
        gpus=Gpus(devices=tuple(devices)),
        rates=tuple(ways),
        network=Network(ports=(synthetic.port(900, "eth0", numa_node=ok(3)),)),
    )


def numa(number, cores, all_cores, memory_bytes, count):
    """Two threads a core, numbered as Linux does."""
    first = number * cores
    return NumaNode(
        number=number,
        cpus=ok(f"{first}-{first + cores - 1},{all_cores + first}-{all_cores + first + cores - 1}"),
        memory_bytes=ok(memory_bytes),
        free_bytes=ok(int(0.81 * memory_bytes)),
        distances=ok(tuple(10 if other == number else 12 for other in range(count))),
    )


def processors(model, cores, usable="", quota="unlimited"):
    return Cpu(
        model=ok(model),
        sockets=ok(1),
        cores=ok(cores),
        threads=ok(2 * cores),
        online=ok(f"0-{2 * cores - 1}"),
        siblings=ok(tuple(f"{core},{core + cores}" for core in range(cores))),
        usable=ok(usable or f"0-{2 * cores - 1}"),
        usable_count=ok(2 * cores),
        quota=ok(quota),
    )


def plain(name="vm"):
    """A virtual machine: two cores, no GPU, a port that tells no NUMA node, a full disk."""
    no_driver = unknown("absent", "no NVIDIA driver: libnvidia-ml.so.1 is not installed")
    return Node(
        name=name,
        host=Host(hypervisor=ok("KVM")),
        software=Software(kernel=ok("6.1.0"), torch=ok("2.13.0+cpu"), driver=no_driver),
        cpu=processors("Intel Xeon Processor @ 2.60GHz", 2, quota=1.5),
        numa=(numa(0, 2, 2, 13 * GIB, 1),),
        memory=Memory(total_bytes=ok(24 * GIB), available_bytes=ok(20 * GIB), shm_bytes=ok(64 << 20)),
        gpus=Gpus(nvml=no_driver),
        network=Network(
            ports=(
                Port(
                    name="eth0", kind=ok("virtual"), state=ok("up"),
                    speed_bits_per_second=unknown("unsupported", "virtio tells no speed"),
                ),
                Port(name="lo", kind=ok("loopback")),
            ),
            default_interface=ok("eth0"),
        ),
        storage=(
            Storage(
                role="runs", path="/data/runs", file_system=ok("ext4"), size_bytes=ok(100 * GIB), free_bytes=ok(4 * GIB)
            ),
        ),
        rates=(
            rate("memory_copy", "numa 0", "1 thread", 9.1e9),
            rate("memory_copy", "numa 0", "2 threads", 14.2e9),
            rate("matrix_product", "cpu", "float32", 141e9, 332e9),
            rate("matrix_product", "cpu", "bfloat16", 31e9),
            rate("disk_write", "/data/runs", "sequential, fsync", 212e6),
            rate("small_files", "/data/runs", "4 KiB", 5120.0),
        ),
    )  # fmt: skip


def curve(nodes, ranks_per_node=8, limit=50e9):
    """Late ranks, more so for small messages."""
    ranks = len(nodes) * ranks_per_node
    sizes = []
    for power in range(10, 31, 2):
        volume = 2**power
        seconds = 28e-6 + volume / (0.86 * limit) * 2
        late = [seconds * (1 + 70 * abs(math.sin(rank)) / power**2) for rank in range(ranks)]
        factor = 2 * (ranks - 1) / ranks
        sizes.append(
            Size(
                message_bytes=volume, trials=20, min_seconds=seconds * 0.9, median_seconds=max(late),
                rank_seconds=tuple(late), bus_bytes_per_second=volume / max(late) * factor,
                best_bus_bytes_per_second=volume / (seconds * 0.9) * factor,
            )
        )  # fmt: skip
    return Curve(
        collective="all_reduce", backend="nccl", ranks=ranks, nodes=len(nodes), interface="mlx5_0",
        rank_nodes=tuple(node.name for node in nodes for _ in range(ranks_per_node)), latency_seconds=28e-6,
        sizes=tuple(sizes), limit=limit, limit_reason="slowest port: mlx5_0, 400 Gb/s",
    )  # fmt: skip


def cluster(*nodes, **more):
    return Cluster(muster="0.1.0", probed="2026-11-25T12:00:00Z", nodes=nodes, **more)


def two():
    """The second has a slow PCIe link and an NVLink down."""
    first, second = eight_gpus(0), eight_gpus(1, slow=3)
    links = second.gpus.devices[5].nvlinks.value
    down = (*links[:17], dataclasses.replace(links[17], active=False))
    second = synthetic.with_gpu(5, nvlinks=ok(down))(second)
    return cluster(first, second, pairs=synthetic.all_pairs(2), curves=(curve((first, second)),))


def many(count, measured=64):
    """All alike but n17 and n40; one more does not answer."""
    nodes = [eight_gpus(number, slow=3 if number == 17 else None) for number in range(min(count, measured))]
    like = nodes[0]
    nodes += [dataclasses.replace(like, name=f"n{number}", rates=()) for number in range(measured, count)]
    nodes[17] = synthetic.with_gpu(3, pcie_width_max=ok(4))(nodes[17])
    nodes[40] = synthetic.with_part("memory", total_bytes=ok(1007 * GIB))(nodes[40])
    return cluster(
        *nodes,
        pairs=synthetic.all_pairs(min(count, measured), {17: 0.13}),
        curves=(curve(nodes[:measured]),),
        missing=(Missing(name=f"n{count}", why="no answer within 20 s"),),
    )


def finding(node, level, what, why="It matters.", remedy="Do something.", rule="a-rule"):
    return Finding(node=node, level=level, rule=rule, what=what, why=why, remedy=remedy)


def health(*findings, nodes=1000):
    """Verdicts of n0, n1, ...: as bad as what was found, else pass."""
    verdicts = {f"n{number}": "pass" for number in range(nodes)}
    verdicts |= {one.node: one.level for one in findings}
    return Health(verdict="fail" if findings else "pass", verdicts=verdicts, findings=findings)
