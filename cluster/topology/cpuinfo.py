"""What /proc/cpuinfo says, on x86, Arm and others."""

from collections.abc import Sequence

from cluster.topology.fact import Unread

Processor = dict[str, str]

EXTENSIONS = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8", "avx_ifma", "avx512f", "avx512bw", "avx512cd",
    "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "fphp", "sve", "sve2", "svebf16", "svei8mm", "bf16", "i8mm", "sme", "sme2",
)  # fmt: skip
"""Those that matrix products, and conversions to what they multiply, are written for."""

ARM_PARTS = {
    "0xd08": "Cortex-A72", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1", "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2", "0xd84": "Neoverse-V3", "0xd8e": "Neoverse-N3",
}  # fmt: skip
"""Cores by Arm itself (implementer 0x41): their technical reference manuals, MIDR_EL1."""


def processors(words: str) -> list[Processor]:
    """The blocks of /proc/cpuinfo that are one CPU each. Raises Unread if there are none."""
    blocks = [dict(_entry(line) for line in block.splitlines()) for block in words.split("\n\n")]
    found = [block for block in blocks if block.get("processor", "").isdecimal()]
    if not found:
        raise Unread("unsupported", "/proc/cpuinfo lists no processors here")
    return found


def model(found: Sequence[Processor]) -> str:
    """Raises Unread."""
    first = found[0]
    for name in ("model name", "cpu", "Processor", "uarch"):
        if name in first:
            return " ".join(first[name].split())
    if "CPU part" in first:
        maker, part = first.get("CPU implementer", "?"), first["CPU part"]
        known = ARM_PARTS.get(part) if maker == "0x41" else None
        return known or f"Arm implementer {maker} part {part}"
    raise Unread("unsupported", "/proc/cpuinfo names no model")


def flags(found: Sequence[Processor]) -> list[str]:
    """Of the first CPU, in the kernel's order. Raises Unread."""
    for name in ("flags", "Features"):
        if name in found[0]:
            return found[0][name].split()
    raise Unread("unsupported", "/proc/cpuinfo has no line of flags or Features")


def extensions(found: Sequence[Processor]) -> tuple[str, ...]:
    """Those of EXTENSIONS that all CPUs have; some machines have two kinds of cores. Raises Unread."""
    common = set(flags(found))
    for words in {one.get("flags", one.get("Features", "")) for one in found}:
        common &= set(words.split())
    return tuple(name for name in EXTENSIONS if name in common)


def clock_mhz(found: Sequence[Processor]) -> float:
    """Mean over the CPUs. Raises Unread."""
    clocks = [float(one["cpu MHz"]) for one in found if "cpu MHz" in one]
    if not clocks:
        raise Unread("unsupported", "/proc/cpuinfo tells no cpu MHz")
    return sum(clocks) / len(clocks)


def _entry(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
