"""Messages between the processes of a probe: JSON objects with their length before them, over TCP."""

import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
STRANGER_BYTES = 1 << 12
"""The most that is taken from somebody who has not said who he is."""
RECORD_BYTES = 16 << 20
"""The most that is taken of a node: the record of one with 16 GPUs has 300 kB."""

Message = dict[str, Any]


class Garbled(Exception):
    """What came is no message of ours."""


def packed(message: Message) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


class Inbox:
    """Takes bytes as they come, gives messages as they are whole."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._bytes = bytearray()

    @property
    def is_amid(self) -> bool:
        """Has a message begun that is not whole yet?"""
        return bool(self._bytes)

    def take(self, chunk: bytes) -> None:
        self._bytes += chunk

    def next(self) -> Message | None:
        """The next whole message. Raises Garbled."""
        if len(self._bytes) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._bytes)
        if length > self.most_bytes:
            raise Garbled(f"a message of {length} bytes where {self.most_bytes} are the most")
        end = LENGTH.size + length
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[LENGTH.size : end])
        del self._bytes[:end]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Garbled(f"no JSON: {error}") from None
        if not isinstance(message, dict):
            raise Garbled("JSON, but no object")
        return message
