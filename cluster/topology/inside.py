"""What a node is inside of: a virtual machine, a container."""

import re
from collections.abc import Iterator

from cluster.topology import cpuinfo
from cluster.topology.fact import Fact, Unread, reading, unknown
from cluster.topology.source import Source

DMI = "/sys/class/dmi/id"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
X86 = {"x86_64", "i386", "i686", "AMD64"}
HYPERVISORS = (
    ("/sys/hypervisor/type", "xen", "Xen"),
    (CLOCKS, "kvm-clock", "KVM"),
    (CLOCKS, "hyperv_clocksource", "Hyper-V"),
    (f"{DMI}/product_name", "VMware", "VMware"),
    (f"{DMI}/product_name", "VirtualBox", "VirtualBox"),
    (f"{DMI}/product_name", "KVM", "KVM"),
    (f"{DMI}/product_name", "Google Compute Engine", "KVM"),
    (f"{DMI}/sys_vendor", "QEMU", "QEMU"),
    (f"{DMI}/sys_vendor", "Amazon EC2", "Nitro"),
    ("/proc/device-tree/hypervisor/compatible", "kvm", "KVM"),
)
"""Where each gives itself away: file, what stands in it, name."""
GROUPS = (
    (r"/kubepods", "Kubernetes"),
    (r"/docker[/-][0-9a-f]{12}", "Docker"),
    (r"/libpod-[0-9a-f]{12}", "Podman"),
    (r"/lxc[./]", "LXC"),
    (r"/cri-containerd-[0-9a-f]{12}", "containerd"),
)
"""Names that container engines give to control groups."""
BOOT_NAMESPACES = range(0xEFFFFFF0, 0xF0000002)
"""Numbers of the namespaces that a kernel boots with (include/uapi/linux/nsfs.h; in older ones the first free two)."""


def product(source: Source) -> str:
    """Maker and product, as the firmware's tables name them. Raises OSError."""
    return f"{source.text(f'{DMI}/sys_vendor')} {source.text(f'{DMI}/product_name')}"


def read_hypervisor(source: Source) -> Fact[str]:
    return reading("/proc/cpuinfo (flag hypervisor), clock sources, DMI", lambda: _hypervisor(source))


def read_container(source: Source) -> Fact[str]:
    looked = "namespaces, /.dockerenv and its like, /proc/1/cgroup, environment"
    if _of_boot(source, "mnt"):
        return unknown("absent", "this process sees the mounts of the booted system", looked)
    for where, name in _signs(source):
        return Fact(name, source=where)
    return unknown("absent", "none of the usual signs of a container", looked)


def _hypervisor(source: Source) -> str:
    named = next((name for path, words, name in HYPERVISORS if words in _text(source, path)), "")
    if named == "Xen":
        return named  # its first machine does not show the flag
    if source.call("architecture") not in X86:
        metal = "metal" in _text(source, f"{DMI}/product_name")
        if named and not metal:
            return named
        raise Unread("unsupported", "this processor has no flag for it, and the firmware names no hypervisor")
    if "hypervisor" in cpuinfo.flags(cpuinfo.processors(source.text("/proc/cpuinfo"))):
        return named or "yes"
    raise Unread("absent", "/proc/cpuinfo has no flag hypervisor: bare metal")


def _signs(source: Source) -> Iterator[tuple[str, str]]:
    """Where a sign of a container is, and of which kind; the surest first."""
    environment: dict[str, str] = reading("environment", lambda: dict(source.call("environment"))).or_else({})
    for variable, name in (("APPTAINER_NAME", "Apptainer"), ("SINGULARITY_NAME", "Singularity")):
        if variable in environment:
            yield variable, name
    if _is_folder(source, "/var/run/secrets/kubernetes.io"):
        yield "/var/run/secrets/kubernetes.io", "Kubernetes"
    if _is_file(source, "/run/.containerenv"):
        engine = re.search(r'engine="([^"]+)"', _text(source, "/run/.containerenv"))
        yield "/run/.containerenv", engine[1] if engine else "Podman"
    if _is_file(source, "/.dockerenv"):
        yield "/.dockerenv", "Docker"
    if _is_folder(source, "/.singularity.d"):
        yield "/.singularity.d", "Apptainer"
    if "container" in environment:
        yield "the variable container", environment["container"]
    for path in ("/proc/1/cgroup", "/proc/self/cgroup"):
        yield from ((path, name) for pattern, name in GROUPS if re.search(pattern, _text(source, path)))
    if _of_boot(source, "pid") is False:
        yield "/proc/self/ns/pid", "unnamed, with process numbers of its own"


def _of_boot(source: Source, kind: str) -> bool | None:
    """Whether a namespace of this process is the one that the kernel booted with; None where it does not show."""
    link = reading("/proc/self/ns", lambda: str(source.call("link", f"/proc/self/ns/{kind}"))).or_else("")
    number = re.search(r"\[(\d+)\]$", link)
    return int(number[1]) in BOOT_NAMESPACES if number else None


def _text(source: Source, path: str) -> str:
    """Empty where there is none to be read: no sign."""
    return reading(path, lambda: source.text(path)).or_else("")


def _is_file(source: Source, path: str) -> bool:
    return reading(path, lambda: source.text(path)).status in {"ok", "denied"}


def _is_folder(source: Source, path: str) -> bool:
    return reading(path, lambda: source.names(path)).status in {"ok", "denied"}
