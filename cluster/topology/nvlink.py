"""NVLink: the ports of a GPU and what is at their other ends, its registration with the NVSwitch fabric."""

import uuid
from collections.abc import Callable, Collection
from typing import Any

from cluster.topology.bus import DEVICES, bus_id
from cluster.topology.fact import Unread, reading
from cluster.topology.gpu import NvLink
from cluster.topology.source import Source

Ask = Callable[..., Any]
"""Asks NVML about one GPU."""
# Numbers of pynvml 13.615: NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_FI_DEV_NVLINK_GET_STATE, NVML_NVLINK_MAX_LINKS
LINK_COUNT, LINK_STATE, MOST_LINKS = 91, 165, 36
ACTIVE = {1, 2}
"""NVML_NVLINK_STATE_ACTIVE and _SLEEP (it wakes by itself); 0 is inactive, 3 carries no traffic."""
STATE_BY_FIELD_FROM = (9, 0)
"""Compute capability from which the state is asked for by field, as NCCL does."""
PEERS = {0: "gpu", 1: "cpu", 2: "switch"}
"""nvmlNvLinkDeviceType_t: GPU, IBM's POWER, NVSwitch."""
CLASSES = {"0x068000": "switch", "0x068001": "cpu", "0x0300": "gpu", "0x0302": "gpu"}
"""PCI classes of what can be at the other end."""
FABRIC_STATES = {1: "not started", 2: "in progress", 3: "completed"}
"""nvmlGpuFabricState_t."""
DEGRADED, DEGRADED_BITS = 1, 0x3
"""NVML_GPU_FABRIC_HEALTH_MASK_DEGRADED_BW_TRUE, and where in the mask it stands."""


def read_links(ask: Ask, source: Source, capability: tuple[int, ...], gpus: Collection[str]) -> tuple[NvLink, ...]:
    """Every NVLink port of a GPU; `gpus`: bus ids of all GPUs. Raises Unread where the GPU does not tell."""
    count = reading("", lambda: int(ask("nvmlDeviceGetFieldValues", LINK_COUNT, 0))).value
    found: list[NvLink] = []
    refusals: list[Unread] = []
    for link in range(MOST_LINKS if count is None else count):
        try:
            active = _active(ask, link, capability)
        except Unread as unread:
            if unread.status not in ("unsupported", "absent"):
                raise
            refusals.append(unread)
            if count is None:
                break
            continue
        found.append(_link(ask, source, link, active, gpus))
    if refusals and not found:
        raise refusals[0]
    return tuple(found)


def _active(ask: Ask, link: int, capability: tuple[int, ...]) -> bool:
    if capability >= STATE_BY_FIELD_FROM:
        state = reading("", lambda: int(ask("nvmlDeviceGetFieldValues", LINK_STATE, link)))
        if state.value is not None:
            return state.value in ACTIVE
    return bool(ask("nvmlDeviceGetNvLinkState", link))


def _link(ask: Ask, source: Source, link: int, active: bool, gpus: Collection[str]) -> NvLink:
    version = reading("", lambda: int(ask("nvmlDeviceGetNvLinkVersion", link))).or_else(0)
    place = reading("", lambda: bus_id(ask("nvmlDeviceGetNvLinkRemotePciInfo", link)["busId"])).or_else("")
    kind = reading("", lambda: PEERS.get(ask("nvmlDeviceGetNvLinkRemoteDeviceType", link), "")).or_else("")
    if place in gpus:
        kind = "gpu"
    return NvLink(link, active, version, kind or _kind_on_bus(source, place), place)


def _kind_on_bus(source: Source, place: str) -> str:
    shown = reading("", lambda: source.text(f"{DEVICES}/{place}/class")).or_else("") if place else ""
    return next((kind for beginning, kind in CLASSES.items() if shown.startswith(beginning)), "unknown")


def read_fabric(ask: Ask) -> str:
    """Raises Unread where the GPU has no such fabric."""
    told = ask("nvmlDeviceGetGpuFabricInfoV")
    state = FABRIC_STATES.get(told["state"])
    if state is None:
        raise Unread("unsupported", "no NVSwitch fabric that this GPU registers with")
    cluster = uuid.UUID(bytes=bytes(told["clusterUuid"]))
    degraded = ", bandwidth degraded" if told.get("healthMask", 0) & DEGRADED_BITS == DEGRADED else ""
    failed = f", error {told['status']}" if told["status"] else ""
    return f"{state}, cluster {cluster}, clique {told['cliqueId']}{failed}{degraded}"
