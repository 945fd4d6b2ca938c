"""Messages between the processes of a probe: JSON objects with their length before them, over TCP."""

import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
STRANGER_BYTES = 1 << 12
"""The most that is taken from somebody who has not said who he is."""
RECORD_BYTES = 16 << 20
"""The most that is taken of a node: the record of one with 16 GPUs has 300 kB."""

RECORD = b'{"record":'
"""How a message begins that brings a record: it is read as what it should be, without being taken apart before."""

Message = dict[str, Any]


class Garbled(Exception):
    """What came is no message of ours."""


def packed(message: Message) -> bytes:
    return _framed(json.dumps(message, separators=(",", ":")).encode())


def packed_record(record: bytes) -> bytes:
    """A message that brings a record, which is JSON already."""
    return _framed(RECORD + record + b"}")


def record_in(body: bytes) -> bytes | None:
    """The record that a message brings, as JSON; None if it says something else."""
    return body[len(RECORD) : -1] if body.startswith(RECORD) and body.endswith(b"}") else None


def _framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


def opened(body: bytes) -> Message:
    """What the body of a message says. Raises Garbled."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Garbled(f"no JSON: {error}") from None
    if not isinstance(message, dict):
        raise Garbled("JSON, but no object")
    return message


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
        body = self.next_body()
        return None if body is None else opened(body)

    def next_body(self) -> bytes | None:
        """The next whole message, as it came. Raises Garbled."""
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
        return body
