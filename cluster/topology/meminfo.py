"""The lines of /proc/meminfo and of a NUMA node's meminfo."""

import re

from cluster.topology.fact import Unread


def entry(words: str, name: str) -> int:
    """The number in the line of a name. Raises Unread if there is no such line."""
    found = re.search(rf"^{re.escape(name)}:\s*(\d+)", words, re.MULTILINE)
    if not found:
        raise Unread("unsupported", f"this kernel tells no {name}")
    return int(found[1])


def entry_bytes(words: str, name: str) -> int:
    """Of a line in kB, which are KiB. Raises Unread."""
    return entry(words, name) * 1024
