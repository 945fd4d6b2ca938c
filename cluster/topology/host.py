"""Which node this is, what runs on it, and what of the environment decides how a run behaves."""

import functools
from datetime import UTC, datetime

from cluster.topology import inside, versions
from cluster.topology.fact import UNREAD, Fact, Live, Unread, first_known, reading, record, unknown, value_of
from cluster.topology.source import Source

BOOT = "/proc/sys/kernel/random/boot_id"
DEVICE_TREE = "/proc/device-tree/model"
DRIVER = "/proc/driver/nvidia/version"
KERNEL = "/proc/sys/kernel/osrelease"
PEER_MODULES = {
    "nvidia_peermem": "/sys/module/nvidia_peermem/version",
    "nv_peer_mem": "/sys/kernel/mm/memory_peers/nv_mem/version",
}
TARGETS = "share/cmake/Caffe2/Caffe2Targets.cmake"


@record
class Host:
    """Who a node is. Containers on one machine share its boot id and have network namespaces of their own."""

    name: Fact[str] = UNREAD
    boot: Fact[str] = UNREAD
    """The kernel's random id of this boot."""
    network_namespace: Fact[str] = UNREAD
    product: Fact[str] = UNREAD
    """What the firmware calls the machine."""
    hypervisor: Fact[str] = UNREAD
    """Name or "yes" in a virtual machine; absent on bare metal."""
    container: Fact[str] = UNREAD
    """Docker, Podman, Apptainer, ...; absent outside of one."""
    time_utc: Live[str] = UNREAD
    clock_skew_seconds: Live[float] = UNREAD
    """Its clock less that of the node that merged the records, half the round trip uncertain."""
    uptime_seconds: Live[float] = UNREAD


@record
class Software:
    """Versions that can differ between nodes, and the settings that a run reads from the environment."""

    operating_system: Fact[str] = UNREAD
    kernel: Fact[str] = UNREAD
    python: Fact[str] = UNREAD
    muster: Fact[str] = UNREAD
    torch: Fact[str] = UNREAD
    cuda: Fact[str] = UNREAD
    """Version of CUDA that torch was built for."""
    cudnn: Fact[str] = UNREAD
    nccl: Fact[str] = UNREAD
    gloo: Fact[str] = UNREAD
    """gloo comes inside torch and has no version of its own: whether this torch has it, by its libraries."""
    numpy: Fact[str] = UNREAD
    spacy: Fact[str] = UNREAD
    scheduler: Fact[str] = UNREAD
    """Slurm and its version, inside an allocation or where its client is installed."""
    driver: Fact[str] = UNREAD
    """The NVIDIA kernel module."""
    gpudirect: Fact[str] = UNREAD
    """How network cards reach GPU memory: nvidia_peermem and its version, or absent (DMA-BUF needs no module)."""
    environment: Fact[dict[str, str]] = UNREAD
    """Variables of a fixed list (CUDA_VISIBLE_DEVICES, NCCL_*, OMP_NUM_THREADS, ...): nothing else is looked at."""


def read_host(source: Source) -> Host:
    return Host(
        name=reading("gethostname", lambda: str(source.call("hostname"))),
        boot=_line(source, BOOT),
        network_namespace=reading("/proc/self/ns/net", lambda: str(source.call("link", "/proc/self/ns/net"))),
        product=first_known(
            reading(f"{inside.DMI}/sys_vendor, product_name", lambda: inside.product(source)),
            lambda: _line(source, DEVICE_TREE),
        ),
        hypervisor=inside.read_hypervisor(source),
        container=inside.read_container(source),
        time_utc=reading("clock", lambda: datetime.fromtimestamp(source.call("time"), UTC).isoformat()),
        clock_skew_seconds=unknown("absent", "one node alone: no other clock to compare with", "the merging node", "s"),
        uptime_seconds=reading("/proc/uptime", lambda: float(source.text("/proc/uptime").split()[0]), "s"),
    )


def read_software(source: Source) -> Software:
    """torch is not imported: what it was built with stands in its files."""
    of_torch = functools.cache(lambda name: source.text(f"{source.call('place', 'torch')}/{name}"))
    torch = _package(source, "torch")
    cuda = reading("torch/version.py", lambda: versions.cuda(of_torch("version.py")))
    return Software(
        operating_system=first_known(
            _system(source, "/etc/os-release"), lambda: _system(source, "/usr/lib/os-release")
        ),
        kernel=_line(source, KERNEL),
        python=reading("sys.version", lambda: str(source.call("python"))),
        muster=_package(source, "muster-train"),
        torch=torch,
        cuda=cuda,
        cudnn=_library(source, cuda, "cudnn", "/usr/include/cudnn_version.h"),
        nccl=_library(source, cuda, "nccl", "/usr/include/nccl.h"),
        gloo=reading(f"torch/{TARGETS}", lambda: versions.gloo(of_torch(TARGETS), value_of(torch))),
        numpy=_package(source, "numpy"),
        spacy=_package(source, "spacy"),
        scheduler=reading("sinfo --version, SLURM_JOB_ID", lambda: _scheduler(source)),
        driver=reading(DRIVER, lambda: versions.driver(source.text(DRIVER))),
        gpudirect=reading(", ".join(PEER_MODULES.values()), lambda: _gpudirect(source)),
        environment=reading("environment, by a fixed list", lambda: dict(source.call("environment"))),
    )


def _package(source: Source, name: str) -> Fact[str]:
    return reading(f"the package {name}", lambda: str(source.call("version", name)))


def _line(source: Source, path: str) -> Fact[str]:
    return reading(path, lambda: source.text(path))


def _system(source: Source, path: str) -> Fact[str]:
    return reading(path, lambda: versions.operating_system(source.text(path)))


def _library(source: Source, cuda: Fact[str], name: str, header: str) -> Fact[str]:
    """A library of NVIDIA's: as a package beside torch, else as the system has it."""
    major = cuda.or_else("").partition(".")[0]
    if not major:
        return unknown(cuda.status, cuda.why, cuda.source)
    return first_known(
        _package(source, f"nvidia-{name}-cu{major}"),
        lambda: reading(header, lambda: versions.header(source.text(header), name.upper())),
    )


def _scheduler(source: Source) -> str:
    """Raises Unread."""
    try:
        return str(source.call("program", "sinfo", "--version"))
    except Unread:
        if "SLURM_JOB_ID" in source.call("environment"):
            return "slurm"  # in a container of an allocation its client is often missing
        raise


def _gpudirect(source: Source) -> str:
    """Raises Unread."""
    for module, path in PEER_MODULES.items():
        version = _line(source, path)
        if version.known:
            return f"{module} {version.value}"
    raise Unread("absent", "neither nvidia_peermem nor nv_peer_mem is loaded (DMA-BUF needs no module)")
