"""Which GPUs CUDA shows to a process, and in which order: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.

The rules are those of NVIDIA's CUDA programming guide ("CUDA environment variables") and of
`torch.cuda._parse_visible_devices`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.topology.fact import Unread

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
NUMBER = re.compile(r"\s*([+-]?[0-9]+)")
"""CUDA reads numbers as C's strtol does: `1gpu` is 1, and what has no digits ends the list."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU as this process may see it."""

    uuid: str
    name: str
    bus_id: str
    slices: tuple[str, ...] = ()
    """UUIDs of its MIG slices."""
    mig: bool = False


def visible(devices: Sequence[Device], wish: str | None, order: str | None) -> tuple[str, ...]:
    """UUIDs in the order in which CUDA numbers them. `wish`, `order`: the two variables, None if not set.

    Raises Unread where it cannot be told: CUDA sorts unlike GPUs by a measure of speed that it does not tell, and takes
    any one slice of a GPU in MIG mode that is not named.
    """
    found = chosen(sorted(devices, key=lambda device: _place(device.bus_id)), wish)
    numbered = wish is None or not _kind(wish)
    if any(device.mig and (numbered or device.uuid in found) for device in devices) and found:
        raise Unread(
            "unsupported",
            f"a GPU is in MIG mode: CUDA shows one slice of it, which it does not tell: name one, {VISIBLE}=MIG-...",
        )
    if found and numbered and order != BY_BUS and len({device.name for device in devices}) > 1:
        raise Unread(
            "unsupported",
            f"CUDA numbers unlike GPUs from fast to slow by a measure of its own: export {ORDER}={BY_BUS}",
        )
    return found


def chosen(devices: Sequence[Device], wish: str | None) -> tuple[str, ...]:
    """UUIDs of what CUDA_VISIBLE_DEVICES names, of devices that are in CUDA's own order."""
    if wish is None:
        return tuple(device.uuid for device in devices)
    found: list[str] = []
    for entry in wish.split(","):
        uuid = _named(devices, entry.strip()) if _kind(entry) == _kind(wish) else ""
        if uuid in found:
            return ()  # an entry that comes twice hides all
        if not uuid:
            break  # CUDA stops at the first entry that is not there
        found.append(uuid)
        if uuid.startswith("MIG-"):
            break  # a process sees one slice
    return tuple(found)


def _named(devices: Sequence[Device], entry: str) -> str:
    """Empty if there is none, or more than one."""
    if _kind(entry):
        known = [uuid for device in devices for uuid in (device.uuid, *device.slices)]
        matching = [uuid for uuid in known if uuid.startswith(entry)]
        return matching[0] if len(matching) == 1 else ""
    number = NUMBER.match(entry)
    index = int(number[1]) if number else -1
    return devices[index].uuid if 0 <= index < len(devices) else ""


def _kind(words: str) -> str:
    """The first entry decides whether all are names or numbers."""
    return next((prefix for prefix in ("GPU-", "MIG-") if words.strip().startswith(prefix)), "")


def _place(bus_id: str) -> tuple[int, ...]:
    return tuple(int(part, 16) for part in re.split("[:.]", bus_id) if part)
