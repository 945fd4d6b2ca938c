"""Facts in words: amounts with their units, names without them, and why something is not known."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from cluster.topology.fact import Fact

BINARY = ((1 << 50, "PiB"), (1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
DECIMAL = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
SHORT_UNITS = {"bytes/s": "B/s", "bits/s": "b/s"}
SUFFIXES: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("_bits_per_second", lambda value: rate(value, "bits/s")),
    ("_bytes", lambda value: size(value)),
    ("_mhz", lambda value: f"{value:,.0f} MHz"),
    ("_watts", lambda value: f"{value:.0f} W"),
    ("_celsius", lambda value: f"{value} °C"),
    ("_percent", lambda value: f"{value:.3g} %"),
    ("_seconds", lambda value: duration(value)),
    ("_bits", lambda value: f"{value} bits"),
)
"""The unit is in a fact's name: how such values are written."""
KNOWN_RATES = {
    "memory_copy": "memory copy",
    "matrix_product": "matrix product",
    "device_memory": "GPU memory",
    "host_to_device": "host to GPU",
    "device_to_host": "GPU to host",
    "device_to_device": "GPU to GPU",
    "disk_write": "disk write",
    "disk_read": "disk read",
    "small_files": "small files",
}


def digits(value: float) -> str:
    """Three digits that count, without zeros behind the point: 1.97, 52.1, 460."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def size(count: float) -> str:
    """Bytes of memory or of a disk, in powers of 1024."""
    for unit, name in BINARY:
        if count >= unit:
            return f"{digits(count / unit)} {name}"
    return f"{count:.0f} bytes"


def rate(value: float, unit: str) -> str:
    """A measured figure, in powers of 1000: 52.1 GB/s, 400 Gb/s, 989 Tflop/s, 12,300 files/s."""
    short = SHORT_UNITS.get(unit, unit)
    if unit == "files/s":
        return f"{digits(value)} {unit}"
    for power, letter in DECIMAL:
        if value >= power * 0.9995:
            return f"{digits(value / power)} {letter}{short}"
    return f"{digits(value)} {short}"


def duration(value: float) -> str:
    """Seconds, in the unit that suits them: 62 µs, 3.1 ms, 12 s, 3 h, 12 days."""
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if abs(value) >= 2 * unit:
            return f"{digits(value / unit)} {name}"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= unit:
            return f"{digits(value / unit)} {name}"
    return "0 s" if value == 0 else f"{digits(value / 1e-9)} ns"


def percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def pcie(generation: int | None, width: int | None) -> str:
    """PCIe 5 x16; a part that is not known is left out."""
    return " ".join(filter(None, [f"PCIe {generation}" if generation else "PCIe", f"x{width}" if width else ""]))


def label(name: str) -> str:
    """What a fact is called: its field without the unit, underscores as spaces."""
    for suffix, _ in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.replace("_", " ")


def amount(name: str, value: Any) -> str:
    """A value of the field `name`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        for suffix, write in SUFFIXES:
            if name.endswith(suffix):
                return write(value)
        return f"{value:,}" if isinstance(value, int) else digits(value)
    return _other(value)


def _other(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items()) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(_other, value)) or "none"
    if is_dataclass(value):
        parts = ((part.name, getattr(value, part.name)) for part in fields(value))
        return "(" + ", ".join(f"{label(name)} {amount(name, inner)}" for name, inner in parts) + ")"
    return str(value)


def told(name: str, fact: Fact[Any], otherwise: str = "not told") -> str:
    """The value in words, or `otherwise`."""
    return amount(name, fact.value) if fact.known else otherwise


def facts_of(record: Any) -> Iterator[tuple[str, Fact[Any]]]:
    """The facts that a record holds itself, by the names of their fields."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Fact):
            yield field.name, value


def all_of(record: Any) -> str:
    """Every fact of a record, a line each: with its source, or with the reason why it is not known."""
    lines = []
    for name, fact in facts_of(record):
        if fact.known:
            lines.append(f"{label(name)}: {amount(name, fact.value)}" + (f" [{fact.source}]" if fact.source else ""))
        else:
            lines.append(f"{label(name)}: not known ({fact.status}: {fact.why})")
    return "\n".join(lines)
