"""Network interfaces and RDMA ports: this machine's against `ip`, others' from composed recordings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.topology import interfaces, pci
from cluster.topology.calls import call
from cluster.topology.fact import Unread
from cluster.topology.network import read_network
from cluster.topology.source import Live, Recorder, Replay
from tests.topology.asked import ROOT
from tests.topology.composed_ports import Machine

NDR = "400 Gb/sec (4X NDR)"


def port_of(machine, name):
    return next(port for port in read_network(machine.replay()).ports if port.name == name)


@pytest.fixture(scope="module")
def ip():
    if shutil.which("ip") is None:
        pytest.skip("there is no program ip here (Debian: iproute2)")
    return lambda *words: json.loads(subprocess.check_output(["ip", "-j", *words], text=True) or "[]")


def test_this_machine_agrees_with_ip(ip):
    network = read_network(Live(call))
    told = {link["ifname"].partition("@")[0]: link for link in ip("-d", "addr")}
    assert {port.name for port in network.ports} == set(told)
    for port in network.ports:
        link = told[port.name]
        assert port.mtu_bytes.value == link["mtu"]
        assert port.state.value == link["operstate"].lower()
        assert port.mac.or_else("") == link.get("address", "")
        assert sorted(port.addresses.value) == sorted(f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"])
        assert (port.kind.value == "loopback") == (link["link_type"] == "loopback")
        kind = link.get("linkinfo", {}).get("info_kind")
        if port.kind.known and kind:
            assert port.kind.value == kind
        if "UP" in link["flags"]:
            assert port.carrier.value is ("LOWER_UP" in link["flags"])
    defaults = ip("route", "show", "default") or ip("-6", "route", "show", "default")
    if defaults:
        assert network.default_interface.value == min(defaults, key=lambda route: route.get("metric", 0))["dev"]
    else:
        assert network.default_interface.status == "absent"


def test_every_fact_of_this_machine_has_a_value_or_a_reason():
    network = read_network(Live(call))
    for entry in (*network.ports, *network.rdma):
        for name in entry.__slots__:
            fact = getattr(entry, name)
            if name not in ("name", "device", "port"):
                assert fact.source, name
                assert fact.known or fact.why not in ("", "not asked"), name


def test_a_recording_of_this_machine_tells_the_same():
    recorder = Recorder(Live(call))
    live = read_network(recorder)
    assert read_network(Replay(recorder.answers)) == live


def test_speed_of_this_machine_is_what_the_kernel_says():
    for port in read_network(Live(call)).ports:
        try:
            words = Path(f"/sys/class/net/{port.name}/speed").read_text().strip()
        except OSError:
            assert port.speed_bits_per_second.status == "unsupported"
        else:
            assert port.speed_bits_per_second.or_else(-1_000_000) == int(words) * 1_000_000


def test_a_card_with_an_infiniband_port():
    machine = Machine()
    machine.interface("ib0", type="32", speed="400000", mtu="4092", addresses=[["10.1.0.5", "255.255.0.0"]])
    machine.on_bus("ib0", "0000:1b:00.0", "mlx5_core", numa="1", speed="32.0 GT/s PCIe")
    machine.rdma("mlx5_0", "0000:1b:00.0", NDR, link_downed="2", symbol_error="7", port_rcv_errors="1")
    machine.names("/sys/class/infiniband/mlx5_0/device/net", "ib0.8001", "ib0")
    network = read_network(machine.replay())
    (port,), (rdma,) = network.ports, network.rdma
    assert (port.kind.value, port.driver.value, port.numa_node.value) == ("physical", "mlx5_core", 1)
    assert (port.bus_id.value, port.addresses.value) == ("0000:1b:00.0", ("10.1.0.5/16",))
    assert port.speed_bits_per_second.value == 400_000_000_000
    assert port.pcie_bits_per_second.value == round(32e9 * 128 / 130 * 16)
    assert port.errors.value == 7
    assert (rdma.device, rdma.port, rdma.link_layer.value) == ("mlx5_0", 1, "InfiniBand")
    assert (rdma.state.value, rdma.physical_state.value) == ("ACTIVE", "LinkUp")
    assert (rdma.rate_bits_per_second.value, rdma.rate.value) == (400_000_000_000, NDR)
    assert (rdma.interface.value, rdma.bus_id.value, rdma.numa_node.value) == ("ib0", "0000:1b:00.0", 1)
    assert (rdma.link_downed.value, rdma.symbol_errors.value, rdma.receive_errors.value) == (2, 7, 1)
    assert (rdma.firmware.value, rdma.guid.value) == ("28.39.1002", "a088:c203:0012:3456")


def test_a_degraded_cable_and_a_port_that_is_down_show():
    machine = Machine()
    machine.rdma("mlx5_0", "0000:1b:00.0", "100 Gb/sec (1X NDR)")
    machine.rdma("mlx5_1", "0000:1c:00.0", "2.5 Gb/sec (1X SDR)", state="1: DOWN", physical="3: Disabled")
    one, other = read_network(machine.replay()).rdma
    assert one.rate_bits_per_second.value == 100_000_000_000
    assert (other.state.value, other.physical_state.value) == ("DOWN", "Disabled")
    assert other.rate_bits_per_second.value == 2_500_000_000
    assert other.symbol_errors.status == "absent"  # not zero


def test_counters_that_a_driver_keeps_among_its_own():
    machine = Machine().rdma("rocep1", "0000:1b:00.0", "100 Gb/sec (4X EDR)", layer="Ethernet")
    machine.text("/sys/class/infiniband/rocep1/ports/1/hw_counters/link_downed", "5")
    (port,) = read_network(machine.replay()).rdma
    assert port.link_downed.value == 5
    assert port.receive_errors.status == "absent"


def test_a_roce_port_in_a_bond_is_reached_by_the_bond():
    machine = Machine()
    machine.rdma("mlx5_bond_0", "0000:1b:00.0", "200 Gb/sec (4X HDR)", layer="Ethernet")
    machine.names("/sys/class/infiniband/mlx5_bond_0/device/net", "ens1f0np0")
    machine.text("/sys/class/infiniband/mlx5_bond_0/ports/1/gid_attrs/ndevs/0", "bond0")
    (port,) = read_network(machine.replay()).rdma
    assert (port.link_layer.value, port.interface.value) == ("Ethernet", "bond0")


def test_two_ports_on_one_device():
    machine = Machine().rdma("mlx4_0", "0000:04:00.0", "40 Gb/sec (4X QDR)")
    whole = "/sys/class/infiniband/mlx4_0"
    machine.names(f"{whole}/ports", "1", "2").names(f"{whole}/device/net", "ens4", "ens4d1")
    for number, name in enumerate(("ens4", "ens4d1")):
        machine.interface(name, dev_port=str(number)).on_bus(name, "0000:04:00.0", "mlx4_en")
    ports = read_network(machine.replay()).rdma
    assert [(port.port, port.interface.value) for port in ports] == [(1, "ens4"), (2, "ens4d1")]


def test_a_card_of_a_virtual_machine():
    machine = Machine().interface("eth0", speed="-1")
    machine.on_bus("eth0", "0000:00:03.0", "virtio_net", numa="-1", speed="", below="/virtio2", bus="virtio")
    port = port_of(machine, "eth0")
    assert (port.kind.value, port.driver.value, port.bus_id.value) == ("virtual", "virtio_net", "0000:00:03.0")
    assert (port.speed_bits_per_second.status, port.numa_node.status) == ("unsupported", "unsupported")
    assert "-1" in port.speed_bits_per_second.why and "-1" in port.numa_node.why
    assert (port.pcie_bits_per_second.status, port.pcie_bits_per_second.value) == ("absent", None)


def test_a_port_that_is_down():
    machine = Machine().interface("ens1", operstate="down", speed=None, carrier=None)
    machine.on_bus("ens1", "0000:3b:00.0", "ice")
    port = port_of(machine, "ens1")
    assert (port.state.value, port.kind.value) == ("down", "physical")
    for fact in (port.speed_bits_per_second, port.carrier):
        assert (fact.status, fact.value) == ("unsupported", None)
        assert fact.why == "Invalid argument: the interface is down"


KINDS = [
    ("loopback", {"type": "772"}, None),
    ("vlan", {"uevent": "DEVTYPE=vlan\nINTERFACE=x0"}, None),
    ("tunnel", {"uevent": "DEVTYPE=wireguard", "type": "65534"}, None),
    ("tunnel", {"type": "65534", "tun_flags": "0x1001"}, None),
    ("tap", {"tun_flags": "0x1002"}, None),
    ("veth", {"iflink": "17"}, None),  # its other end has another number
    ("physical", {}, {"driver": "ice"}),
    ("virtual", {}, {"driver": "ena"}),
    ("virtual", {}, {"driver": "hv_netvsc", "bus": "vmbus"}),
    ("usb", {}, {"driver": "cdc_ether", "bus": "usb"}),
    ("representor", {"phys_port_name": "pf0vf3"}, {"driver": "mlx5_core"}),
    ("physical", {"phys_port_name": "p0"}, {"driver": "mlx5_core"}),
    (None, {}, None),  # dummy, ifb: the kernel does not tell by files
]


@pytest.mark.parametrize("kind, files, bus", KINDS)
def test_kinds_of_interfaces(kind, files, bus):
    machine = Machine().interface("x0", **files)
    if bus is not None:
        machine.on_bus("x0", "0000:3b:00.0", **bus)
    fact = port_of(machine, "x0").kind
    assert fact.value == kind
    assert fact.status == ("ok" if kind else "unsupported")


@pytest.mark.parametrize("folder, kind", [("bridge", "bridge"), ("bonding", "bond"), ("wireless", "wireless")])
def test_kinds_that_have_a_folder_of_their_own(folder, kind):
    machine = Machine().interface("x0").names(f"/sys/class/net/x0/{folder}", "anything")
    assert port_of(machine, "x0").kind.value == kind


def test_a_virtual_function_is_no_card():
    machine = Machine().interface("ens1f0v1").on_bus("ens1f0v1", "0000:3b:02.1", "mlx5_core")
    machine.link("/sys/class/net/ens1f0v1/device/physfn", "/sys/devices/pci0000:00/0000:3b:00.0")
    assert port_of(machine, "ens1f0v1").kind.value == "virtual function"


def test_what_stands_on_another_interface_is_not_taken_for_a_veth():
    machine = Machine().interface("x0", iflink="3").names("/sys/class/net/x0", "type", "lower_ens1")
    fact = port_of(machine, "x0").kind
    assert fact.value is None and "ens1" in fact.why


def test_the_list_of_bonds_is_no_interface():
    machine = Machine().interface("bond0")
    machine.text("/sys/class/net/bonding_masters", "bond0")
    assert [port.name for port in read_network(machine.replay()).ports] == ["bond0"]


def test_where_sys_is_hidden_addresses_still_show():
    machine = Machine()
    machine.addresses = {"eth0": [["10.0.0.7", "255.255.255.0"]]}
    (port,) = read_network(machine.replay()).ports
    assert port.addresses.value == ("10.0.0.7/24",)
    assert port.kind.status == port.bus_id.status == port.numa_node.status == "absent"
    assert "/sys/class/net/eth0" in port.bus_id.why  # hidden, not "made by software"


def other_network(*before):
    """The record of a process in a network namespace of its own, where only what `before` makes exists."""
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    script = "\n".join([*before, 'exec "$@"'])
    command = [sys.executable, "-c", ASKING]
    words = ["unshare", "--net", "--mount", "sh", "-ec", script, "sh", *command]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if "unshare" in done.stderr:
        pytest.skip(f"namespaces are refused here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ASKING = """
import json
from cluster.topology.calls import call
from cluster.topology.network import read_network
from cluster.topology.node import Node, to_json
from cluster.topology.source import Live
print(json.dumps(to_json(Node(name="here", network=read_network(Live(call))))["network"]))
"""


def test_interfaces_are_those_of_this_network_whatever_sys_shows():
    (port,) = other_network()["ports"]  # /sys is still that of the namespace before
    assert port["name"] == "lo"
    assert (port["state"]["status"], port["kind"]["status"]) == ("unsupported", "unsupported")
    assert "another network namespace" in port["mtu_bytes"]["why"]
    (port,) = other_network("mount -t sysfs sysfs /sys")["ports"]
    assert (port["name"], port["state"]["value"], port["kind"]["value"]) == ("lo", "down", "loopback")


def test_an_interface_of_the_same_name_in_another_network():
    machine = Machine().interface("eth0")
    machine.on_bus("eth0", "0000:1b:00.0", "mlx5_core")
    answers = machine.replay()._answers
    for mac, kind in (("02:00:00:00:00:01", "physical"), ("02:00:00:00:00:02", None)):
        (port,) = read_network(Replay(answers | {"call interfaces": {"value": {"eth0": mac}}})).ports
        assert port.name == "eth0" and (port.kind.value, port.mac.known) == (kind, kind is not None)


def test_a_machine_that_answers_nothing():
    network = read_network(Replay({}))
    assert (network.ports, network.rdma, network.default_interface.status) == ((), (), "absent")


HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
ROUTE6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001"


@pytest.mark.parametrize(
    "ipv4, ipv6, expected",
    [
        ("eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0\nib0 00000000 0 0003 0 0 50 00000000 0 0 0", "", "ib0"),
        ("tun0 00000000 010200C0 0003 0 0 0 00000080 0 0 0\neth0 00000000 0 0003 0 0 9 00000000 0 0 0", "", "eth0"),
        ("eth0 00000000 010200C0 0002 0 0 0 00000000 0 0 0", f"{ROUTE6} 00000400 1 0 00000003 eth1", "eth1"),  # not up
        ("", f"{ROUTE6} ffffffff 1 0 00200200 lo", None),  # the kernel's own entry, which refuses
        ("", "", None),
    ],
)
def test_default_interface(ipv4, ipv6, expected):
    if expected is None:
        with pytest.raises(Unread):
            interfaces.default_interface(HEAD + ipv4, ipv6)
    else:
        assert interfaces.default_interface(HEAD + ipv4, ipv6) == expected


@pytest.mark.parametrize(
    "speed, width, expected",
    [
        ("2.5 GT/s PCIe", "1", 2_000_000_000),
        ("5 GT/s", "4", 16_000_000_000),  # as older kernels write it
        ("8.0 GT/s PCIe", "16", round(8e9 * 16 * 128 / 130)),
        ("32.0 GT/s PCIe", "16", round(32e9 * 16 * 128 / 130)),
        ("64.0 GT/s PCIe", "16", 944_000_000_000),
        ("Unknown", "16", None),
        ("16.0 GT/s PCIe", "0", None),
        ("16.0 GT/s PCIe", "255", None),
        ("128.0 GT/s PCIe", "16", None),
    ],
)
def test_what_a_pcie_link_carries(speed, width, expected):
    if expected is None:
        with pytest.raises(Unread):
            pci.link_rate(speed, width)
    else:
        assert pci.link_rate(speed, width) == expected


@pytest.mark.parametrize(
    "entry, expected",
    [
        (["10.0.0.5", "255.255.255.0"], "10.0.0.5/24"),
        (["10.0.0.5", "255.255.255.255"], "10.0.0.5/32"),
        (["fe80::1", "ffff:ffff:ffff:ffff::"], "fe80::1/64"),
        (["10.8.0.1", ""], "10.8.0.1"),  # the other end of a tunnel: no mask is told
    ],
)
def test_addresses(entry, expected):
    assert interfaces.address(entry) == expected
