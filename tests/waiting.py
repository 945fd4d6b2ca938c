"""Waiting for what must come."""

import time


def until(true, seconds=60):
    """What `true` gives, once it gives anything."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
