"""Limits of rates from static facts: one row a case, real cards and their published figures where there are some."""

import pytest

from cluster.topology import limits
from cluster.topology.cpu import Cpu
from cluster.topology.fact import Fact, unknown
from cluster.topology.gpu import Gpu, Gpus, NvLink
from cluster.topology.network import Network, Port, RdmaPort
from cluster.topology.node import Node

NONE = unknown("unsupported", "the driver does not tell")


@pytest.mark.parametrize(
    "generation, width, expected",
    [
        (1, 16, 4e9),
        (2, 8, 4e9),
        (3, 16, 15.754e9),
        (4, 16, 31.508e9),
        (5, 16, 63.015e9),
        (6, 16, 118e9),
        (3, 1, 0.98462e9),  # a card in the slot of a miner
        (5, 8, 31.508e9),
    ],
)
def test_pcie(generation, width, expected):
    limit = limits.pcie(Fact(generation), Fact(width))
    assert limit.value == pytest.approx(expected, rel=1e-4)
    assert limit.reason == f"PCIe {generation}.0 x{width}"


@pytest.mark.parametrize(
    "generation, width, words",
    [
        (NONE, Fact(16), "generation of its PCIe link is not known: the driver does not tell"),
        (Fact(4), NONE, "width of its PCIe link is not known"),
        (Fact(9), Fact(16), "generation 9 is not known"),
    ],
)
def test_what_is_not_known_gives_no_limit_but_a_reason(generation, width, words):
    limit = limits.pcie(generation, width)
    assert limit.value is None
    assert words in limit.reason


@pytest.mark.parametrize(
    "clock, bits, expected",
    [
        (2619, 5120, 3352e9),  # H100 SXM: 3.35 TB/s
        (1593, 5120, 2039e9),  # A100 80 GB SXM: 2,039 GB/s
        (877, 4096, 898e9),  # V100: 900 GB/s
        (9751, 384, 936e9),  # RTX 3090: 936 GB/s
        (5001, 256, 320e9),  # T4: 320 GB/s
    ],
)
def test_device_memory(clock, bits, expected):
    gpu = Gpu(index=0, memory_clock_max_mhz=Fact(clock), memory_bus_bits=Fact(bits))
    assert limits.device_memory(gpu).value == pytest.approx(expected, rel=2e-3)


def test_a_slice_of_a_gpu_has_no_limit():
    gpu = Gpu(index=0, mig=Fact(True), memory_clock_max_mhz=Fact(2619), memory_bus_bits=Fact(5120))
    assert limits.device_memory(gpu).value is None
    assert "MIG" in limits.gpu_product(gpu, "float32").reason


@pytest.mark.parametrize(
    "capability, multiprocessors, clock, kind, expected",
    [
        ("7.0", 80, 1530, "float16", 125e12),  # V100 SXM2: 125 Tflop/s
        ("7.0", 80, 1530, "float32", 15.7e12),
        ("8.0", 108, 1410, "bfloat16", 312e12),  # A100
        ("8.0", 108, 1410, "tf32", 156e12),
        ("8.0", 108, 1410, "float32", 19.5e12),
        ("9.0", 132, 1830, "bfloat16", 989e12),  # H100 SXM, at the clock of its data sheet
        ("9.0", 132, 1830, "tf32", 494.7e12),
        ("9.0", 132, 1980, "float32", 66.9e12),
        ("8.9", 128, 2520, "float32", 82.6e12),  # RTX 4090
    ],
)
def test_products_of_gpus(capability, multiprocessors, clock, kind, expected):
    gpu = Gpu(
        index=0,
        compute_capability=Fact(capability),
        multiprocessors=Fact(multiprocessors),
        clock_max_mhz=Fact(clock),
    )
    assert limits.gpu_product(gpu, kind).value == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    "capability, kind, words",
    [
        ("8.9", "bfloat16", "GeForce"),  # half of it on some cards: the architecture does not fix it
        ("7.0", "bfloat16", "has no bfloat16"),
        ("7.0", "tf32", "has no tf32"),
        ("13.0", "float32", "not known here"),
        ("13.0", "float16", "not known here"),
        (None, "float32", "compute capability is not known"),
    ],
)
def test_products_without_a_limit(capability, kind, words):
    gpu = Gpu(
        index=0,
        compute_capability=NONE if capability is None else Fact(capability),
        multiprocessors=Fact(100),
        clock_max_mhz=Fact(1000),
    )
    limit = limits.gpu_product(gpu, kind)
    assert limit.value is None
    assert words in limit.reason


def linked(index, links, **facts):
    return Gpu(
        index=index,
        bus_id=Fact(f"0000:0{index}:00.0"),
        pcie_generation_max=Fact(4),
        pcie_width_max=Fact(16),
        nvlinks=Fact(tuple(NvLink(number, *link) for number, link in enumerate(links))),
        **facts,
    )


TO_SWITCH = (True, 6, "switch", "0000:aa:00.0")
DOWN = (False, 6, "switch", "0000:aa:00.0")


@pytest.mark.parametrize(
    "links_a, links_b, expected, words",
    [
        ([TO_SWITCH] * 18, [TO_SWITCH] * 18, 450e9, "18 NVLinks x 25 GB/s"),  # H100 SXM
        ([TO_SWITCH] * 18, [TO_SWITCH] * 17 + [DOWN], 425e9, "17 NVLinks"),  # one is down
        ([(True, 7, "switch", "")] * 18, [(True, 7, "switch", "")] * 18, 900e9, "x 50 GB/s"),  # B200
        ([(True, 6, "unknown", "")] * 18, [(True, 6, "unknown", "")] * 18, 450e9, "18"),  # as a virtual machine sees it
        ([(True, 2, "gpu", "0000:01:00.0")] * 2, [(True, 2, "gpu", "0000:00:00.0")] * 2, 50e9, "2 NVLinks"),  # V100
        ([(True, 2, "gpu", "0000:07:00.0")] * 2, [(True, 2, "gpu", "0000:08:00.0")] * 2, 31.5e9, "PCIe"),  # elsewhere
        ([], [], 31.5e9, "PCIe 4.0 x16"),
        ([DOWN] * 18, [TO_SWITCH] * 18, 31.5e9, "PCIe"),
        ([(True, 99, "switch", "")], [(True, 99, "switch", "")], None, "NVLink version 99"),
        ([(True, 0, "switch", "")], [(True, 0, "switch", "")], None, "is not told"),
    ],
)
def test_between_gpus(links_a, links_b, expected, words):
    a, b = linked(0, links_a), linked(1, links_b)
    limit = limits.between_gpus(Gpus(devices=(a, b)), a, b)
    assert limit.value == (expected and pytest.approx(expected, rel=1e-3))
    assert words in limit.reason


def test_the_way_to_main_memory_is_nvlink_where_the_links_end_at_the_cpu():
    assert limits.host_link(linked(0, [(True, 2, "cpu", "")] * 3)).value == 75e9
    assert limits.host_link(linked(0, [TO_SWITCH] * 18)).reason == "PCIe 4.0 x16"


@pytest.mark.parametrize(
    "extensions, kind, threads, expected, words",
    [
        (("avx2", "fma"), "float32", 4, 4 * 32 * 3e9, "avx2"),
        (("avx2", "fma", "avx512f"), "float32", 4, 4 * 64 * 3e9, "avx512f"),
        (("avx512f", "avx512_bf16"), "bfloat16", 4, 4 * 128 * 3e9, "avx512_bf16"),
        (("avx512f", "avx512_bf16", "amx_bf16"), "bfloat16", 2, 2 * 1024 * 3e9, "amx_bf16"),
        (("avx2", "fma"), "bfloat16", 4, 4 * 32 * 3e9, "avx2"),  # no such instructions: computed in float32
        (("avx2", "fma"), "float32", 8, 4 * 32 * 3e9, "4 cores"),  # two threads of a core share its units
        (("sse2",), "float32", 4, None, "no multiply-add"),
    ],
)
def test_products_of_cpus(extensions, kind, threads, expected, words):
    cpu = Cpu(
        architecture=Fact("x86_64"),
        extensions=Fact(extensions),
        clock_max_mhz=Fact(3000.0),
        siblings=Fact(("0,4", "1,5", "2,6", "3,7")),
        usable=Fact("0-7"),
    )
    limit = limits.cpu_product(cpu, kind, threads)
    assert limit.value == expected
    assert words in limit.reason


@pytest.mark.parametrize(
    "cpu, words",
    [
        (Cpu(architecture=Fact("aarch64")), "aarch64"),
        (Cpu(architecture=Fact("x86_64"), extensions=Fact(("avx2", "fma")), clock_max_mhz=NONE), "highest clock"),
        (Cpu(architecture=Fact("x86_64"), extensions=NONE), "instruction sets"),
    ],
)
def test_cpus_whose_products_have_no_limit(cpu, words):
    limit = limits.cpu_product(cpu, "float32", 1)
    assert limit.value is None
    assert words in limit.reason


def ethernet(name="eth0", gigabits=100.0, pcie=None, kind="physical"):
    return Port(
        name=name,
        kind=Fact(kind),
        speed_bits_per_second=NONE if gigabits is None else Fact(int(gigabits * 1e9)),
        bus_id=Fact("0000:3b:00.0"),
        pcie_bits_per_second=NONE if pcie is None else Fact(int(pcie * 1e9)),
    )


def infiniband(gigabits, words, state="ACTIVE", device="mlx5_0"):
    return RdmaPort(
        device=device,
        port=1,
        state=Fact(state),
        rate_bits_per_second=Fact(int(gigabits * 1e9)),
        rate=Fact(words),
        bus_id=Fact("0000:3b:00.0"),
    )


@pytest.mark.parametrize(
    "port, expected, words",
    [
        (ethernet(gigabits=100), 12.5e9, "eth0: 100 Gb/s"),
        (ethernet(gigabits=100, pcie=126), 12.5e9, "eth0: 100"),
        (ethernet(gigabits=100, pcie=63), 7.875e9, "PCIe link of eth0: 63 Gb/s"),  # in a slot of half the width
        (ethernet(gigabits=None), None, "speed of eth0 is not known"),
        (ethernet(kind="loopback"), None, "loopback"),
    ],
)
def test_interfaces(port, expected, words):
    limit = limits.interface(Network(ports=(port,)), "eth0")
    assert limit.value == expected
    assert words in limit.reason


@pytest.mark.parametrize(
    "rdma, ports, expected, words",
    [
        ([infiniband(400, "400 Gb/sec (4X NDR)")], [], 50e9, "mlx5_0: 400 Gb/s"),
        ([infiniband(40, "40 Gb/sec (4X QDR)")], [], 4e9, "8 in 10 bits"),
        ([infiniband(100, "100 Gb/sec (4X EDR)")], [ethernet("ib0", None, pcie=63)], 7.875e9, "PCIe link of mlx5_0"),
        ([infiniband(400, "400 Gb/sec (4X NDR)", device=f"mlx5_{n}") for n in range(8)], [], 400e9, "8 RDMA ports"),
        ([infiniband(400, "400 Gb/sec (4X NDR)", state="DOWN")], [], None, "no RDMA port is active"),
    ],
)
def test_rdma(rdma, ports, expected, words):
    limit = limits.rdma(Network(ports=tuple(ports), rdma=tuple(rdma)))
    assert limit.value == expected
    assert words in limit.reason


def node(name, *ports, rdma=(), gpus=()):
    return Node(name=name, network=Network(ports=ports, rdma=rdma), gpus=Gpus(devices=gpus))


def test_a_reduction_is_as_fast_as_its_slowest_way():
    nodes = [node("a", ethernet(gigabits=100)), node("b", ethernet(gigabits=25)), node("c", ethernet(gigabits=100))]
    limit = limits.reduction(nodes, "gloo", 3, dict.fromkeys("abc", "eth0"))
    assert (limit.value, limit.reason) == (3.125e9, "b: eth0: 25 Gb/s")
    nodes[0] = node("a", ethernet(gigabits=None))
    limit = limits.reduction(nodes, "gloo", 3, dict.fromkeys("abc", "eth0"))
    assert limit.value is None  # it may be the slowest of all
    assert limit.reason.startswith("a: the speed of eth0 is not known")


def test_a_reduction_between_gpus():
    hopper = {"compute_capability": Fact("9.0")}
    eight = tuple(linked(index, [TO_SWITCH] * 18, **hopper) for index in range(8))
    port = infiniband(400, "400 Gb/sec (4X NDR)")
    alone = limits.reduction([node("a", gpus=eight)], "nccl", 8, {})
    assert alone.value == pytest.approx(700e9)  # 450 x 14/9: the switch adds up; 480 are reached
    assert "switch" in alone.reason
    older = tuple(linked(index, [(True, 5, "switch", "")] * 12, compute_capability=Fact("8.0")) for index in range(8))
    assert limits.reduction([node("a", gpus=older)], "nccl", 8, {}).value == 300e9
    several = [node(name, rdma=(port,), gpus=eight) for name in "ab"]
    assert limits.reduction(several, "nccl", 16, {}).reason == "a: mlx5_0: 400 Gb/s"
    assert limits.reduction([node("a")], "gloo", 4, {}).value is None


def test_a_pair_is_as_fast_as_its_slower_end():
    a, b = node("a", ethernet(gigabits=10)), node("b", ethernet(gigabits=1))
    ways = {"a": "eth0", "b": "eth0"}
    assert limits.pair(a, b, "gloo", ways).value == 0.125e9
    assert limits.pair(a, node("c"), "gloo", ways | {"c": "eth1"}).value is None
