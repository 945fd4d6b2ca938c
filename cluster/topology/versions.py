"""Versions out of the files that tell them."""

import re

from cluster.topology.fact import Unread


def operating_system(words: str) -> str:
    """Of /etc/os-release (man 5 os-release). Raises Unread."""
    for name in ("PRETTY_NAME", "NAME"):
        found = re.search(rf"^{name}=(['\"]?)(.*)\1$", words, re.MULTILINE)
        if found:
            return found[2]
    raise Unread("error", "os-release has no NAME")


def cuda(words: str) -> str:
    """That torch was built for, of torch/version.py. Raises Unread if it was built without."""
    built: dict[str, str] = {}
    for name, version in re.findall(r"^(cuda|hip)\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", words, re.MULTILINE):
        built[name] = version
    if "cuda" in built:
        return built["cuda"]
    if "hip" in built:
        raise Unread("absent", f"this torch was built for ROCm {built['hip']}, without CUDA")
    raise Unread("absent", "this torch was built without CUDA")


def header(words: str, library: str) -> str:
    """Of the header file of a library, as in `#define NCCL_MAJOR 2`. Raises Unread."""
    found = dict(re.findall(rf"^#define\s+{library}_(MAJOR|MINOR|PATCH)(?:LEVEL)?\s+(\d+)", words, re.MULTILINE))
    if len(found) < 3:
        raise Unread("error", f"its header does not define {library}_MAJOR, _MINOR and _PATCH")
    return f"{found['MAJOR']}.{found['MINOR']}.{found['PATCH']}"


def driver(words: str) -> str:
    """Of NVIDIA's kernel module, of /proc/driver/nvidia/version. Raises Unread."""
    found = re.search(r"^NVRM version:.*?\s(\d{3,}\.\d+(?:\.\d+)?)\s", words + "\n", re.MULTILINE)
    if not found:
        raise Unread("error", f"no version in {words.splitlines()[:1]}")
    return found[1]


def gloo(targets: str, torch: str) -> str:
    """Of what torch tells those who build against it. Raises Unread."""
    if "USE_C10D_GLOO" not in targets:
        raise Unread("absent", f"torch {torch} was built without gloo")
    return f"in torch {torch}"
