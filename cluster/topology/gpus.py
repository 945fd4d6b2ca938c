"""All GPUs of a node, the ways between them, and which of them CUDA shows to this process."""

import dataclasses
from collections.abc import Sequence

from cluster.topology import bus, cpulist, cuda
from cluster.topology.fact import Fact, Unread, reading, unknown, value_of
from cluster.topology.gpu import Gpu, Gpus
from cluster.topology.network import Network
from cluster.topology.nvidia import Asker, asker, read_gpu
from cluster.topology.paths import read_paths, read_peers, read_port_paths
from cluster.topology.source import Source
from cluster.topology.xids import read_xids


def read_gpus(source: Source, network: Network) -> Gpus:
    """All GPUs, and the ways between them and to the ports of `network`."""
    on_bus = reading(bus.DEVICES, lambda: bus.gpus_on_bus(source))
    xids = read_xids(source)
    count = reading("NVML", lambda: _count(source))
    if count.value is None:
        why = count.why
        if on_bus.value:
            why += f"; {len(on_bus.value)} NVIDIA GPUs are on the PCI bus all the same"
        reason = unknown(count.status, why, count.source)
        return Gpus(
            nvml=reason,
            driver_cuda=reason,
            on_bus=on_bus,
            visible=reason,
            paths=reason,
            peers=reason,
            port_paths=reason,
            other_xids=xids,
        )
    askers = [asker(source, index) for index in range(count.value)]
    places = _places(askers, on_bus.or_else(()))
    known = [place.value for place in places if place.value]
    words = _affinity_words(source)
    devices = [read_gpu(one, place, known, xids, words) for one, place in zip(askers, places, strict=True)]
    visible = _visible(source, devices)
    ports = _ports(network)
    return Gpus(
        nvml=reading("nvmlSystemGetNVMLVersion", lambda: str(source.call("nvmlSystemGetNVMLVersion"))),
        driver_cuda=reading("nvmlSystemGetCudaDriverVersion", lambda: _cuda(source)),
        on_bus=on_bus,
        devices=tuple(dataclasses.replace(gpu, cuda_index=_cuda_index(gpu, visible)) for gpu in devices),
        visible=visible,
        paths=read_paths(source, devices),
        peers=read_peers(source, devices),
        port_paths=read_port_paths(source, devices, ports),
        port_names=tuple(ports),
        other_xids=reading(xids.source, lambda: tuple(xid for xid in value_of(xids) if xid.bus_id not in known)),
    )


def _count(source: Source) -> int:
    source.call("nvmlInit")
    return int(source.call("nvmlDeviceGetCount"))


def _cuda(source: Source) -> str:
    version = int(source.call("nvmlSystemGetCudaDriverVersion"))
    return f"{version // 1000}.{version % 1000 // 10}"


def _places(askers: Sequence[Asker], on_bus: Sequence[str]) -> list[Fact[str]]:
    """PCI bus ids. GPUs that do not tell theirs are those left on the bus, if as many: both are in its order."""
    told = [one.fact("nvmlDeviceGetPciInfo", of=lambda answer: bus.bus_id(answer["busId"])) for one in askers]
    left = sorted(set(on_bus) - {place.value for place in told if place.value})
    if len(left) != sum(not place.known for place in told):
        return told
    rest = iter(left)
    return [
        place if place.known else Fact(next(rest), source=f"{bus.DEVICES}, what the GPUs that answer leave")
        for place in told
    ]


def _affinity_words(source: Source) -> int:
    """How many masks of 64 CPUs each hold all CPUs of this node."""
    cpus = reading("", lambda: cpulist.parsed(source.text("/sys/devices/system/cpu/present"))).or_else([])
    return max(cpus, default=1023) // 64 + 1


def _visible(source: Source, devices: Sequence[Gpu]) -> Fact[tuple[str, ...]]:
    environment: dict[str, str] = reading("", lambda: dict(source.call("environment"))).or_else({})
    wish, order = environment.get(cuda.VISIBLE), environment.get(cuda.ORDER)
    granted = [gpu for gpu in devices if gpu.uuid.status != "denied"]  # CUDA does not count what is not granted
    where = f"{cuda.VISIBLE}={'(not set)' if wish is None else wish}, {cuda.ORDER}={order or '(not set)'}"

    def tell() -> tuple[str, ...]:
        known = [
            cuda.Device(
                uuid=value_of(gpu.uuid),
                name=gpu.name.or_else(""),
                bus_id=gpu.bus_id.or_else(""),
                slices=tuple(piece.uuid for piece in gpu.mig_devices.or_else(())),
                mig=gpu.mig.or_else(False),
            )
            for gpu in granted
        ]
        return cuda.visible(known, wish, order)

    return reading(where, tell)


def _cuda_index(gpu: Gpu, visible: Fact[tuple[str, ...]]) -> Fact[int]:
    """A GPU in MIG mode has the number of its slice that CUDA shows."""

    def tell() -> int:
        own = {value_of(gpu.uuid), *(piece.uuid for piece in gpu.mig_devices.or_else(()))}
        shown: tuple[str, ...] = value_of(visible)
        for number, uuid in enumerate(shown):
            if uuid in own:
                return number
        raise Unread("absent", f"CUDA does not show it to this process: {visible.source}")

    return reading(visible.source, tell)


def _ports(network: Network) -> dict[str, str]:
    """Names of what is on the PCI bus, to bus ids; a device of several ports once."""
    found = {port.name: port.bus_id.value for port in network.ports} | {
        port.device: port.bus_id.value for port in network.rdma
    }
    return {name: place for name, place in found.items() if place}
