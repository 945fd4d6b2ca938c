"""The process that merges: it listens, lets in who belongs to its probe, and takes a record from each node.

One thread serves everybody, so that a thousand nodes are no more than a thousand sockets, and none of them can make the
others wait. What is wrong with a visitor costs that visitor alone, and a line of `problems`.
"""

import contextlib
import math
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import NamedTuple

from cluster.errors import DataError
from cluster.topology.frames import (
    RECORD_BYTES,
    STRANGER_BYTES,
    Garbled,
    Inbox,
    Message,
    opened,
    packed,
    record_in,
)
from cluster.topology.listening import allow_files, listening, plain_address
from cluster.topology.node import Node, node_from_bytes
from cluster.topology.place import Place
from cluster.topology.tokens import Left

HELLO_SECONDS = 5.0
"""Who has not said by then who he is has to leave."""
LOOK_SECONDS = 0.5
STRANGERS = 64
"""Visitors beyond the expected ones that are let in at once."""
PROBLEMS = 20
"""So many are told; the others are counted."""
CHUNK_BYTES = 1 << 18
STOP_SECONDS = 2.0
OTHER_PROBE = "other probe"
TOO_LATE = "it came after node 0 had waited as long as it was to"


class Caller(NamedTuple):
    """Who a visitor says he is."""

    node: int
    rank_of_node: int
    name: str


@dataclass(eq=False)
class Visitor:
    """One connection."""

    socket: socket.socket
    address: str
    since: float
    inbox: Inbox = field(default_factory=lambda: Inbox(STRANGER_BYTES))
    outbox: bytearray = field(default_factory=bytearray)
    caller: Caller | None = None
    is_leaving: bool = False
    """As soon as the outbox is empty."""
    is_waiting: bool = False
    """The record that he brought is not read yet."""


class Head:
    """Listens from `with` on, in a thread of its own."""

    def __init__(self, place: Place, own_name: str, left: Left, now: Callable[[], float]) -> None:
        """`own_name`: of this node. `now`: this node's clock."""
        self._place, self._own_name, self._now = place, own_name, now
        self._left_words = {role: asdict(fact) for role, fact in left.items()}
        self._changed = threading.Condition()
        # Written by the serving thread, under `_changed`.
        self._records: dict[int, Node] = {}
        self._callers: dict[tuple[int, int], Visitor] = {}
        self._is_closed = False
        self.address = ""
        """Of this node, as another one has reached it; empty as long as none has."""
        self._seen: dict[int, str] = {}
        self._problems: list[str] = []
        self._more_problems = 0
        # The serving thread's own.
        self._selector = selectors.DefaultSelector()
        self._visitors: set[Visitor] = set()
        self._unread: deque[tuple[Visitor, bytes]] = deque()
        """Records, one of a visitor: each waits until all else that has come is answered."""
        self._looked = 0.0
        # From other threads to the serving one.
        self._words: list[tuple[Visitor, Message]] = []
        self._stop_at = math.inf

    def __enter__(self) -> "Head":
        allow_files(self._place.ranks + STRANGERS)
        self._listener, self.port = listening(self._place.ports)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._waking, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="probe head", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_at = time.monotonic() + STOP_SECONDS
        self._wake()
        self._thread.join()
        for visitor in list(self._visitors):
            visitor.socket.close()
        for part in (self._listener, self._waking, self._woken, self._selector):
            part.close()

    @property
    def problems(self) -> tuple[str, ...]:
        with self._changed:
            more = [f"and {self._more_problems} more visitors like these"] if self._more_problems else []
            return (*self._problems, *more)

    def wait_for(self, records: set[int], callers: int, seconds: float) -> None:
        """Until these nodes have brought their records and so many processes are here, or the time is over."""
        end = time.monotonic() + seconds
        with self._changed:
            while not (records <= self._records.keys() and len(self._callers) >= callers):
                left = end - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def close(self) -> dict[int, Node]:
        """The records that have come, by the number of the node; who comes from now on is late."""
        with self._changed:
            self._is_closed = True
            return dict(self._records)

    def heard_of(self, node: int) -> str:
        """How far a node that brought no record has come, in words; empty if it never called."""
        with self._changed:
            return self._seen.get(node, "")

    def tell(self, words: Mapping[tuple[int, int], Message]) -> None:
        """Say something to callers who are here, by node and rank of the node."""
        with self._changed:
            self._words += [(self._callers[who], message) for who, message in words.items() if who in self._callers]
        self._wake()

    def here(self) -> list[tuple[int, int]]:
        """Who is here now, by node and rank of the node, in order."""
        with self._changed:
            return sorted(self._callers)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waking.send(b".")

    def _serve(self) -> None:
        while not self._is_over():
            for key, events in self._selector.select(0.0 if self._unread else LOOK_SECONDS):
                if key.fileobj is self._listener:
                    self._let_in()
                elif key.fileobj is self._woken:
                    with contextlib.suppress(OSError):
                        self._woken.recv(CHUNK_BYTES)
                elif key.data in self._visitors:
                    self._attend(key.data, events)
            if self._unread:
                self._take(*self._unread.popleft())
            with self._changed:
                words, self._words = self._words, []
            for visitor, message in words:
                self._send(visitor, message)
            self._turn_out_silent()

    def _is_over(self) -> bool:
        """Nobody leaves with half a sentence, but neither is anybody waited for who does not listen."""
        if self._stop_at == math.inf:
            return False
        pending = self._words or self._unread or any(visitor.outbox for visitor in self._visitors)
        return not pending or time.monotonic() > self._stop_at

    def _let_in(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no more files, or gone again before it was let in
                self._note(f"a visitor could not be let in: {error.strerror}")
                return
            visitor = Visitor(connection, plain_address(address), time.monotonic())
            if len(self._visitors) >= self._place.ranks + STRANGERS:
                self._note(f"{visitor.address}: turned away, {len(self._visitors)} visitors are here already")
                connection.close()
                continue
            connection.setblocking(False)
            self._visitors.add(visitor)
            self._selector.register(connection, selectors.EVENT_READ, visitor)

    def _attend(self, visitor: Visitor, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._listen_to(visitor)
            if visitor in self._visitors and visitor.outbox:
                self._flush(visitor)
        except OSError as error:
            self._drop(visitor, f"the connection broke ({error.strerror or error})")

    def _listen_to(self, visitor: Visitor) -> None:
        """Raises OSError."""
        try:
            chunk = visitor.socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._drop(visitor, "it left in the middle of a message" if visitor.inbox.is_amid else "")
            return
        if visitor.is_leaving:
            return
        visitor.inbox.take(chunk)
        try:
            while not visitor.is_leaving and (body := visitor.inbox.next_body()) is not None:
                record = record_in(body)
                if record is None:
                    self._hear(visitor, opened(body))
                elif visitor.is_waiting or visitor.caller is None or visitor.caller.rank_of_node:
                    self._refuse(visitor, "not to be said here: a record")
                else:
                    visitor.is_waiting = True
                    self._unread.append((visitor, record))
        except Garbled as error:
            self._refuse(visitor, str(error))

    def _hear(self, visitor: Visitor, message: Message) -> None:
        match message:
            case {"hello": dict() as hello} if visitor.caller is None:
                self._welcome(visitor, hello)
            case {"clock": _} if visitor.caller:
                self._send(visitor, {"clock": self._now()})
            case _:
                self._refuse(visitor, f"not to be said here: {str(sorted(message))[:80]}")

    def _welcome(self, visitor: Visitor, hello: Message) -> None:
        match hello:
            case {"name": str() as name} if name != self._place.name:
                self._refuse(visitor, "it belongs to another probe", OTHER_PROBE)
            case {"name": str(), "node": int() as node, "rank_of_node": int() as rank, "node_name": str() as called}:
                caller = Caller(node, rank, called[:256])
                if problem := self._unwelcome(caller):
                    self._refuse(visitor, problem)
                    return
                visitor.caller, visitor.inbox.most_bytes = caller, RECORD_BYTES
                with self._changed:
                    if node and not self.address:
                        self.address = plain_address(visitor.socket.getsockname())
                    self._callers[node, rank] = visitor
                    self._seen.setdefault(node, f"it called from {visitor.address}")
                    self._changed.notify_all()
                self._send(visitor, {"welcome": self._own_name, "left": self._left_words})
            case _:
                self._refuse(visitor, "no hello of this version of muster")

    def _unwelcome(self, caller: Caller) -> str:
        """Why it is none of those who are expected; empty if it is."""
        node, rank, _ = caller
        if self._is_closed:
            return TOO_LATE
        if not (0 <= node < self._place.nodes and 0 <= rank < self._place.ranks) or (node, rank) == (0, 0):
            return f"there is no process {rank} of node {node} to wait for, of {self._place.nodes} nodes"
        if node in self._records and rank == 0:
            return f"node {node} has brought its record already"
        if (node, rank) in self._callers:
            return f"process {rank} of node {node} is here already, from {self._callers[node, rank].address}"
        return ""

    def _take(self, visitor: Visitor, record: bytes) -> None:
        """A record takes milliseconds: a thousand that come at once must not let a clock wait for seconds. Who has left
        since he brought it has brought it."""
        visitor.is_waiting = False
        caller = visitor.caller
        if caller is None or visitor.is_leaving:
            return
        if caller.node in self._records:
            self._refuse(visitor, f"node {caller.node} has brought its record already")
            return
        try:
            node = node_from_bytes(record, f"What node {caller.node} brought")
        except DataError as error:
            with self._changed:
                self._seen[caller.node] = f"what it brought from {visitor.address} was refused: {error}"
            self._refuse(visitor, str(error))
            return
        with self._changed:
            is_late = self._is_closed
            if not is_late:
                self._records[caller.node] = node
            self._changed.notify_all()
        if is_late:
            self._refuse(visitor, TOO_LATE)
        else:
            self._send(visitor, {"received": True})

    def _refuse(self, visitor: Visitor, why: str, word: str = "") -> None:
        self._note(f"{_called(visitor)}: refused: {why}")
        self._send(visitor, {"refused": why, "word": word})
        visitor.is_leaving, visitor.since = True, time.monotonic()
        if not visitor.outbox and visitor in self._visitors:
            self._say_goodbye(visitor)

    def _send(self, visitor: Visitor, message: Message) -> None:
        if visitor not in self._visitors or visitor.is_leaving:
            return
        visitor.outbox += packed(message)
        try:
            self._flush(visitor)
        except OSError as error:
            self._drop(visitor, f"the connection broke ({error.strerror or error})")

    def _flush(self, visitor: Visitor) -> None:
        """Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            del visitor.outbox[: visitor.socket.send(visitor.outbox)]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if visitor.outbox else 0)
        self._selector.modify(visitor.socket, wanted, visitor)
        if visitor.is_leaving and not visitor.outbox:
            self._say_goodbye(visitor)

    def _say_goodbye(self, visitor: Visitor) -> None:
        """Closing at once would take back what was said if something of his is still unread (TCP's RST)."""
        with contextlib.suppress(OSError):
            visitor.socket.shutdown(socket.SHUT_WR)

    def _turn_out_silent(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for visitor in [one for one in self._visitors if now - one.since > HELLO_SECONDS]:
            if visitor.is_leaving:
                self._drop(visitor, "")
            elif visitor.caller is None:
                self._drop(visitor, f"it said nothing whole within {HELLO_SECONDS:g} s")

    def _drop(self, visitor: Visitor, why: str) -> None:
        self._visitors.discard(visitor)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(visitor.socket)
        visitor.socket.close()
        caller = visitor.caller
        with self._changed:
            if caller is not None and self._callers.get((caller.node, caller.rank_of_node)) is visitor:
                del self._callers[caller.node, caller.rank_of_node]
                if caller.rank_of_node == 0 and caller.node not in self._records and not visitor.is_leaving:
                    self._seen[caller.node] = f"it called from {visitor.address}, but {why or 'left'}"
        if why and not visitor.is_leaving:
            self._note(f"{_called(visitor)}: {why}")

    def _note(self, problem: str) -> None:
        with self._changed:
            if len(self._problems) < PROBLEMS:
                self._problems.append(problem)
            else:
                self._more_problems += 1


def _called(visitor: Visitor) -> str:
    if visitor.caller is None:
        return visitor.address
    return f"{visitor.caller.name or 'node'} (node {visitor.caller.node}, {visitor.address})"
