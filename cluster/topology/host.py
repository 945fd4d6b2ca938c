"""Which node this is, what runs on it, and what of the environment decides how a run behaves."""

from cluster.topology.fact import UNREAD, Fact, Live, record
from cluster.topology.source import Source


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
    return Host()


def read_software(source: Source) -> Software:
    return Software()
