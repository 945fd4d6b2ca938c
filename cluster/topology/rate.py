"""Measured figures as they stand in a record, each beside the limit that the static facts imply."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One measured figure of a node: the median of its trials."""

    what: str
    """memory_copy, memory_triad, matrix_product, device_memory, host_to_device, device_to_host, device_to_device,
    disk_write, disk_read, small_files."""
    where: str
    """What it was measured on: `numa 0`, `cpu`, a GPU's UUID, `UUID -> UUID`, or a folder."""
    how: str
    """What distinguishes it from others of its kind: `1 thread`, `8 threads`, `bfloat16`, `pinned`."""
    value: float
    unit: str
    """bytes/s, flop/s, files/s."""
    low: float
    high: float
    trials: int
    limit: float | None = None
    """What the static facts allow at most, in the same unit."""
    limit_reason: str = ""
    """How the limit comes about, or why there is none: `PCIe 5.0 x16`."""
    under_load: dict[str, str | int | float] | None = None
    """What the device said of itself meanwhile: PCIe generation, width, clocks, reasons for throttling."""

    @property
    def share(self) -> float | None:
        """Of the limit."""
        return self.value / self.limit if self.limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One message size of a collective's curve."""

    message_bytes: int
    trials: int
    min_seconds: float
    median_seconds: float
    """Of the trials, each as long as its slowest rank took."""
    rank_seconds: tuple[float, ...]
    """Median of each rank: the spread shows who is late."""
    bus_bytes_per_second: float
    """nccl-tests' bus bandwidth of the median (github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md)."""
    best_bus_bytes_per_second: float
    """The same of the fastest trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A collective over all ranks, size by size."""

    collective: str
    backend: str
    """gloo or nccl."""
    ranks: int
    nodes: int
    rank_nodes: tuple[str, ...]
    """The node of each rank."""
    interface: str
    latency_seconds: float
    """Of the smallest message."""
    sizes: tuple[Size, ...]
    limit: float | None = None
    """Bytes a second of bus bandwidth that the slowest way on it allows."""
    limit_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two nodes, measured by themselves while other pairs are measured too."""

    a: str
    b: str
    bytes_per_second: float
    """Of the slower of both ways; each is measured alone, and the time of the other node's answer is taken off."""
    latency_seconds: float
    """Half a round trip of a small message."""
    limit: float | None = None
    limit_reason: str = ""
