import pytest

from cluster.topology.bus import bus_id
from cluster.topology.fact import Fact, reading, unknown
from cluster.topology.gpu import Gpu, NvLink
from cluster.topology.gpus import read_gpus
from cluster.topology.network import Network, Port, RdmaPort
from cluster.topology.paths import Places, joined, path_class
from tests.topology.machines import H100_ROOTS, machine

SWITCH = "/sys/devices/pci0000:15/0000:15:01.0/0000:16:00.0"
GPU = f"{SWITCH}/0000:17:01.0/0000:1b:00.0"
AZURE = "/sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00"


@pytest.mark.parametrize(
    "other, same_node, expected",
    [
        (f"{SWITCH}/0000:17:00.0/0000:18:00.0", True, "PIX"),  # another port of the same PCIe switch
        (f"{SWITCH}/0000:17:01.0/0000:1b:00.1", True, "PIX"),  # another function of the same card
        (f"{SWITCH}/0000:17:02.0/0000:1c:00.0/0000:1d:00.0/0000:1e:00.0", True, "PXB"),  # below a second switch
        ("/sys/devices/pci0000:15/0000:15:03.0/0000:20:00.0", True, "PHB"),
        ("/sys/devices/pci0000:15/0000:15:05.0", True, "PHB"),
        ("/sys/devices/pci0000:3d/0000:3d:01.0/0000:3e:00.0", True, "NODE"),
        ("/sys/devices/pci0000:97/0000:97:01.0/0000:98:00.0", False, "SYS"),
        ("/sys/devices/pci0000:97/0000:97:01.0/0000:98:00.0", None, "?"),  # firmware that tells no NUMA node
        ("/sys/devices/virtual/net/lo", None, "?"),
        ("", True, "?"),
    ],
)
def test_paths_by_common_bridges(other, same_node, expected):
    assert path_class(GPU, other, same_node) == path_class(other, GPU, same_node) == expected


def test_buses_that_a_hypervisor_makes_one_for_each_device():
    a, b = (f"{AZURE}/{name}/pci{domain}:00/{domain}:00:00.0" for name, domain in (("aaaa", "0001"), ("bbbb", "0002")))
    assert path_class(a, b, True) == "NODE" and path_class(a, b, False) == "SYS"


@pytest.mark.parametrize(
    "words, expected",
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("00010000:01:00.0", "10000:01:00.0"),  # as /sys writes domains above ffff
        ("0009:01:00.0", "0009:01:00.0"),
    ],
)
def test_bus_ids(words, expected):
    assert bus_id(words) == expected


@pytest.mark.parametrize("words", ["FFFFFFFF:FFFF:FF", "", "3b:00.0"])
def test_what_is_no_bus_id(words):
    assert reading("", lambda: bus_id(words)).status == "error"


def gpu(index, *links):
    found = tuple(NvLink(number, active, 6, peer, place) for number, (active, peer, place) in enumerate(links))
    return Gpu(index=index, bus_id=Fact(f"0000:0{index}:00.0"), nvlinks=Fact(found))


def to(index, count, active=True):
    return [(active, "gpu", f"0000:0{index}:00.0")] * count


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ([*to(1, 4), *to(2, 8)], to(0, 4), 4),  # only those that lead there
        ([*to(1, 3), *to(1, 1, active=False)], to(0, 4), 3),
        ([(True, "switch", "0000:05:00.0")] * 18, [(True, "switch", "0000:06:00.0")] * 17, 17),  # the fewer of both
        ([(True, "unknown", "")] * 18, [(True, "unknown", "")] * 18, 18),  # virtual machines hide the switches
        ([(True, "switch", "")] * 18, [], 0),
        ([(True, "cpu", "0000:00:00.0")] * 6, [(True, "cpu", "0000:00:00.0")] * 6, 0),
    ],
)
def test_links_that_join_two_gpus(a, b, expected):
    assert joined(gpu(0, *a), gpu(1, *b)) == expected


def test_links_that_could_not_be_read_join_nothing():
    silent = Gpu(index=0, bus_id=Fact("0000:00:00.0"), nvlinks=unknown("error", "lost"))
    assert joined(silent, gpu(1, *to(0, 4))) == 0


def network(made, *ports):
    """Only what the ways need."""
    devices = "/sys/class/infiniband"
    places = {name: made.real(f"{devices}/{name}/device").rsplit("/", 1)[1] for name in made.names(devices)}
    rdma = [RdmaPort(device=name, port=port, bus_id=Fact(place)) for name, place in places.items() for port in (1, 2)]
    return Network(ports=(Port(name="lo"), *ports), rdma=tuple(rdma))


def test_ports_of_eight_h100():
    """As `nvidia-smi topo -m` shows such machines: each GPU has its own port, four more are on its socket."""
    made = machine("h100x8")
    told = read_gpus(made, network(made, Port(name="eth0", bus_id=Fact("0000:02:00.0"))))
    assert told.port_names == ("eth0", *(f"mlx5_{index}" for index in range(len(H100_ROOTS))))
    assert told.port_paths.value[0] == ("NODE", "PIX", *["NODE"] * 3, *["SYS"] * 4)
    assert told.port_paths.value[6] == ("SYS", *["SYS"] * 4, "NODE", "NODE", "PIX", "NODE")


def test_ports_of_a_flat_virtual_machine():
    """All behind one host bridge, and no NUMA node told."""
    made = machine("h100x8-vm")
    assert {cell for row in read_gpus(made, network(made)).port_paths.value for cell in row} == {"PHB"}


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("h100x8", [" ".join("X" if a == b else "NV18" for b in range(8)) for a in range(8)]),
        ("h100x8-vm", [" ".join("X" if a == b else "NV18" for b in range(8)) for a in range(8)]),
        ("a100x2-bridge", ["X NV12", "NV12 X"]),
        ("a100x4", ["X PIX SYS SYS", "PIX X SYS SYS", "SYS SYS X PHB", "SYS SYS PHB X"]),
        ("geforce", ["X"]),
    ],
)
def test_gpu_by_gpu(kind, expected):
    assert [" ".join(row) for row in read_gpus(machine(kind), Network()).paths.value] == expected


def test_without_nvml_s_word_the_buses_tell():
    faults = [f"query:{index}:nvmlDeviceGetTopologyCommonAncestor:NotSupported" for index in range(4)]
    assert (
        read_gpus(machine("a100x4", faults), Network()).paths.value
        == read_gpus(machine("a100x4"), Network()).paths.value
    )


def test_peers_are_named_as_nvidia_smi_does():
    assert read_gpus(machine("a100x4"), Network()).peers.value[0] == ("X", "CNS", "CNS", "CNS")
    assert read_gpus(machine("a100x2-bridge"), Network()).peers.value == (("X", "OK"), ("OK", "X"))


def test_one_link_down_shows_in_its_rows():
    paths = read_gpus(machine("h100x8", ["nvlink_down:3:7"]), Network()).paths.value
    assert paths[3] == (*["NV17"] * 3, "X", *["NV17"] * 4)
    assert paths[0][1] == "NV18" and paths[0][3] == "NV17"


def test_a_lost_gpu_leaves_the_ways_of_the_others():
    told = read_gpus(machine("h100x8", ["lost:3"]), Network())
    assert told.paths.value[0] == ("X", "NV18", "NV18", "NODE", *["NV18"] * 4)  # its place on the bus is still known
    assert told.peers.value[0] == ("X", "OK", "OK", "?", *["OK"] * 4)
    assert set(told.peers.value[3]) == {"X", "?"}


def test_where_no_pair_is_told_there_is_a_reason():
    faults = [f"query:{index}:nvmlDeviceGetP2PStatus:NoPermission" for index in range(4)]
    peers = read_gpus(machine("a100x4", faults), Network()).peers
    assert peers.status == "denied" and peers.value is None


def test_each_place_is_looked_up_once():
    made = machine("a100x4")
    asked = []
    real = made.real
    made.real = lambda path: asked.append(path) or real(path)
    places = Places(made)
    for _ in range(3):
        assert places.path("0000:1b:00.0", "0000:1c:00.0") == "PIX"
    assert len(asked) == 2
