"""What a GPU says of itself while it works: idle links and clocks go down, so that only this counts."""

import contextlib
import statistics
import threading
from collections.abc import Iterator, Sequence

from cluster.topology.calls import call
from cluster.topology.fact import Fact
from cluster.topology.gpu import Gpu
from cluster.topology.gpus import read_gpus
from cluster.topology.network import Network
from cluster.topology.source import Live

SECONDS_BETWEEN_LOOKS = 0.05
Load = dict[str, str | int | float]


@contextlib.contextmanager
def watched(uuid: str) -> Iterator[Load]:
    """Inside, a thread looks at one GPU. Afterwards the dict holds what it saw, nothing where NVML is silent."""
    load: Load = {}
    seen: list[Gpu] = []
    stop = threading.Event()

    def look() -> None:
        source = Live(call)
        while not stop.is_set():
            try:
                seen.extend(gpu for gpu in read_gpus(source, Network()).devices if gpu.uuid.value == uuid)
            except Exception:  # a rate without its load is worth more than none
                return
            stop.wait(SECONDS_BETWEEN_LOOKS)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        stop.set()
        thread.join()
        load.update(summary(seen))


def summary(seen: Sequence[Gpu]) -> Load:
    """Of several looks: links at their best, clocks in the middle, heat and power at their highest, every reason for
    low clocks but idleness (some looks come before the work)."""
    load: Load = {}
    for name, chosen in (
        ("pcie_generation", max),
        ("pcie_width", max),
        ("clock_mhz", statistics.median_high),
        ("memory_clock_mhz", max),
        ("power_watts", max),
        ("temperature_celsius", max),
    ):
        facts: list[Fact[int]] = [getattr(gpu, name) for gpu in seen]
        values = [fact.value for fact in facts if fact.value is not None]
        if values:
            load[name] = chosen(values)
    reasons = [gpu.throttle.value for gpu in seen if gpu.throttle.value is not None]
    if reasons:
        load["throttle"] = ", ".join(sorted({reason for some in reasons for reason in some} - {"idle"}))
    return load
