"""Which network interfaces there are, and what kind of thing one is, by its folder in /sys/class/net."""

import errno
import ipaddress
import re
from collections.abc import Callable

from cluster.topology.fact import Unread
from cluster.topology.source import Source

NET = "/sys/class/net"
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
LOOPBACK = 772
TUNNELS = {768, 769, 776, 778, 823, 65534}
"""ARPHRD_ types of ipip, ip6tnl, sit, gre, ip6gre, and those without a link layer (if_arp.h)."""
DEVICE_TYPES = {
    "bond": "bond", "bridge": "bridge", "vlan": "vlan", "vxlan": "tunnel", "geneve": "tunnel", "gretap": "tunnel",
    "erspan": "tunnel", "wireguard": "tunnel", "macsec": "macsec", "macvlan": "macvlan", "wlan": "wireless",
    "wwan": "wireless", "ppp": "tunnel", "bareudp": "tunnel",
}  # fmt: skip
"""What a driver calls its devices (DEVTYPE in `uevent`) to our word for it."""
OF_HYPERVISOR = {
    "virtio_net", "xen_netfront", "vif", "netfront", "vmxnet3", "hv_netvsc", "ena", "gve", "gvnic", "mana", "ibmveth",
    "iavf", "ixgbevf",
}  # fmt: skip
"""Drivers of network cards that exist in virtual machines alone."""
BUSES_OF_HYPERVISOR = {"virtio", "xen", "vmbus"}
REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")
TAP = 2


LOOKS = 3
"""Interfaces come and go with containers: only what differs each time is another network's."""
Addresses = dict[str, list[list[str]]]


class Elsewhere:
    """/sys as it was mounted in another network namespace: what it shows of interfaces is not of those here."""

    def __init__(self, source: Source) -> None:
        self.call = source.call

    def text(self, path: str) -> str:
        raise Unread("unsupported", "/sys shows the interfaces of another network namespace")

    def names(self, folder: str) -> list[str]:
        return [self.text(folder)]

    def real(self, path: str) -> str:
        return self.text(path)


def here(source: Source, addresses: Addresses) -> tuple[list[str], Source]:
    """The interfaces of this process's network namespace, and what to ask of them."""
    for _ in range(LOOKS):
        shown = {name: text_if_any(source, f"{NET}/{name}/address") for name in _shown(source)}
        try:
            known: dict[str, str] = dict(source.call("interfaces"))
        except (OSError, Unread):
            known = shown
        if not shown or (shown.keys() == known.keys() and all(_same(shown[name], known[name]) for name in shown)):
            # Where /sys is hidden, those that have addresses still show.
            return list(shown) or sorted(known or addresses), source
    return sorted(known), Elsewhere(source)


def _shown(source: Source) -> list[str]:
    try:
        return [name for name in source.names(NET) if name != "bonding_masters"]
    except (OSError, Unread):
        return []


def _same(shown: str, known: str) -> bool:
    """Hardware addresses that are none of Ethernet's are written in more than one way."""
    return shown == known or not (MAC.fullmatch(shown) and MAC.fullmatch(known))


def kind(source: Source, name: str) -> str:
    """Raises Unread, OSError if it cannot be told."""
    folder = f"{NET}/{name}"
    number = int(source.text(f"{folder}/type"))
    if number == LOOPBACK:
        return "loopback"
    declared = _declared(source, folder)
    if declared:
        return declared
    if number in TUNNELS:
        return "tunnel"
    if _there(lambda: source.real(f"{folder}/device")):
        return _of_device(source, folder)
    return _without_device(source, folder)


def device(source: Source, name: str) -> str:
    """Where it leads to, /sys/devices/.... Raises Unread, OSError."""
    folder = f"{NET}/{name}"
    try:
        return source.real(f"{folder}/device")
    except FileNotFoundError:
        source.text(f"{folder}/type")  # where /sys is hidden, that is the reason
        raise Unread("absent", "it is made by software: there is no device below it") from None


def while_up(source: Source, path: str) -> str:
    """A file that is read with success only while the interface is up. Raises Unread, OSError."""
    try:
        return source.text(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        state = text_if_any(source, f"{path.rpartition('/')[0]}/operstate")
        why = "the interface is down" if state == "down" else "its driver does not tell"
        raise Unread("unsupported", f"{error.strerror}: {why}") from None


def speed(words: str) -> int:
    """In bits a second, of the kernel's Mb/s. Raises Unread."""
    if int(words) in (-1, 0, 0xFFFF, 0xFFFFFFFF):
        raise Unread("unsupported", f"the driver does not tell (it says {words})")
    return int(words) * 1_000_000


def address(entry: list[str]) -> str:
    """Address and netmask as 10.0.0.5/24."""
    found, mask = entry
    if not mask:
        return found
    bits = int(ipaddress.ip_address(mask))
    width = ipaddress.ip_address(mask).max_prefixlen
    length = bits.bit_count()
    if bits != ((1 << length) - 1) << (width - length):
        raise ValueError(f"the netmask {mask} has gaps")
    return f"{found}/{length}"


def default_interface(ipv4: str, ipv6: str) -> str:
    """By the tables of routes in /proc/net: the route for everything with the lowest metric. Raises Unread."""
    found = [
        (int(metric), name)
        for name, destination, _, flags, _, _, metric, mask, *_ in map(str.split, ipv4.splitlines()[1:])
        if int(destination, 16) == 0 == int(mask, 16) and _leads(flags)
    ] or [
        (int(metric, 16), name)
        for destination, length, _, _, _, metric, _, _, flags, name in map(str.split, ipv6.splitlines())
        if int(destination, 16) == 0 == int(length, 16) and _leads(flags)
    ]
    if not found:
        raise Unread("absent", "there is no default route")
    return min(found)[1]


def _leads(flags: str) -> bool:
    """Up, and not there to refuse (linux/route.h: RTF_UP, RTF_REJECT)."""
    return int(flags, 16) & 0x0201 == 0x0001


def _declared(source: Source, folder: str) -> str:
    """What its driver says that it is; empty if it says nothing."""
    if _there(lambda: source.names(f"{folder}/bridge")):
        return "bridge"
    if _there(lambda: source.names(f"{folder}/bonding")):
        return "bond"
    if _there(lambda: source.names(f"{folder}/wireless")) or _there(lambda: source.real(f"{folder}/phy80211")):
        return "wireless"
    if flags := text_if_any(source, f"{folder}/tun_flags"):
        return "tap" if int(flags, 16) & TAP else "tunnel"
    lines = text_if_any(source, f"{folder}/uevent").splitlines()
    declared = next((line.removeprefix("DEVTYPE=") for line in lines if line.startswith("DEVTYPE=")), "")
    return DEVICE_TYPES.get(declared, declared)


def _of_device(source: Source, folder: str) -> str:
    bus = _last(source, f"{folder}/device/subsystem")
    if _last(source, f"{folder}/device/driver") in OF_HYPERVISOR or bus in BUSES_OF_HYPERVISOR:
        return "virtual"
    if bus == "usb":
        return "usb"
    if _there(lambda: source.real(f"{folder}/device/physfn")):
        return "virtual function"
    is_representor = REPRESENTOR.fullmatch(text_if_any(source, f"{folder}/phys_port_name"))
    return "representor" if is_representor else "physical"


def _without_device(source: Source, folder: str) -> str:
    below = [entry.removeprefix("lower_") for entry in source.names(folder) if entry.startswith("lower_")]
    if below:
        raise Unread("unsupported", f"it stands on {', '.join(below)}, but /sys does not tell as what (macvlan, ...)")
    if int(source.text(f"{folder}/iflink")) != int(source.text(f"{folder}/ifindex")):
        return "veth"
    raise Unread("unsupported", "it is made by software, but /sys does not tell by what (dummy, ifb, ...)")


def text_if_any(source: Source, path: str) -> str:
    try:
        return source.text(path)
    except (OSError, Unread):
        return ""


def _last(source: Source, link: str) -> str:
    """The last name of where a link leads; empty if there is none."""
    try:
        return source.real(link).rpartition("/")[2]
    except (OSError, Unread):
        return ""


def _there(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (OSError, Unread):
        return False
    return True
