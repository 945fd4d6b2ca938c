"""Where the agents of an attempt call: the supervisor's end of the lines to them.

One thread, the supervisor's own, serves everybody. Who does not know the attempt's token is hung up on.
"""

import contextlib
import json
import secrets
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from cluster.supervision.frames import CHUNK_BYTES, DESK, REPORT_BYTES
from cluster.topology.frames import STRANGER_BYTES, Garbled, Inbox, Message, packed
from cluster.topology.listening import listening, plain_address

LOOPBACK = "127.0.0.1"
SEND_SECONDS = 2.0
HELLO_SECONDS = 5.0
"""Who has not said by then who it is has to leave."""
MOST_STRANGERS = 64


@dataclass(eq=False)
class Caller:
    """One connection."""

    socket: socket.socket
    since: float
    inbox: Inbox = field(default_factory=lambda: Inbox(STRANGER_BYTES))
    node: int | None = None
    """None as long as it has not said who it is."""


class Desk:
    """Listens from `with` on. Raises InfrastructureError if there is no port to be had."""

    def __init__(self, nodes: int, addresses: Sequence[str], ports: Sequence[int]) -> None:
        """`addresses`: of this node, by which another may reach it, the likeliest first; none where all agents run on
        this node. `ports`: candidates; any where there are none."""
        self.nodes, self.addresses, self._ports = nodes, list(addresses) or [LOOPBACK], ports
        self._is_local = not addresses
        self._token = secrets.token_hex(16)
        self._selector = selectors.DefaultSelector()
        self._strangers: set[Caller] = set()
        self._callers: dict[int, Caller] = {}
        self.heard_at: dict[int, float] = {}
        """When a node last said something (time.monotonic), by its number."""

    def __enter__(self) -> "Desk":
        if self._is_local:
            self._listener = socket.create_server((LOOPBACK, 0))
            self.port = int(self._listener.getsockname()[1])
        else:
            self._listener, self.port = listening(self._ports)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for caller in [*self._strangers, *self._callers.values()]:
            caller.socket.close()
        self._listener.close()
        self._selector.close()

    def environment(self) -> dict[str, str]:
        """What an agent needs to call. The token is in no command line, where everybody on the node could read it."""
        return {DESK: json.dumps({"addresses": self.addresses, "port": self.port, "token": self._token})}

    def hear(self, seconds: float) -> list[tuple[int, Message]]:
        """What the agents say within so long, by number of their node; {"gone": why} for one that has hung up."""
        heard: list[tuple[int, Message]] = []
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._let_in()
            else:
                heard += self._listen_to(key.data)
        self._turn_out_silent()
        return heard

    def tell(self, message: Message, nodes: Iterable[int] | None = None) -> None:
        """Say something to some nodes, or to all who are on the line. Who cannot take it will be missed soon enough."""
        for node in list(self._callers) if nodes is None else nodes:
            if caller := self._callers.get(node):
                with contextlib.suppress(OSError):
                    caller.socket.sendall(packed(message))

    def is_here(self, node: int) -> bool:
        return node in self._callers

    def own_address(self, node: int) -> str:
        """Of this node, by which that one has reached it."""
        return plain_address(self._callers[node].socket.getsockname())

    def address(self, node: int) -> str:
        """Of that node, from which it has called."""
        return plain_address(self._callers[node].socket.getpeername())

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.settimeout(SEND_SECONDS)
            caller = Caller(connection, time.monotonic())
            if len(self._strangers) >= MOST_STRANGERS:
                connection.close()
                return
            self._strangers.add(caller)
            self._selector.register(connection, selectors.EVENT_READ, caller)

    def _listen_to(self, caller: Caller) -> list[tuple[int, Message]]:
        heard: list[tuple[int, Message]] = []
        try:
            chunk = caller.socket.recv(CHUNK_BYTES)
            if not chunk:
                return self._lose(caller, "it hung up")
            caller.inbox.take(chunk)
            while (message := caller.inbox.next()) is not None:
                if caller.node is None:
                    self._welcome(caller, message)
                heard.append((caller.node if caller.node is not None else -1, message))
        except (OSError, Garbled) as error:
            return heard + self._lose(caller, str(error))
        if caller.node is not None:
            self.heard_at[caller.node] = time.monotonic()
        return heard

    def _welcome(self, caller: Caller, message: Message) -> None:
        """Raises Garbled for somebody who is none of this attempt's agents."""
        match message:
            case {"hello": {"token": str() as token, "node": int() as node}}:
                known = secrets.compare_digest(token.encode(), self._token.encode())
                if known and 0 <= node < self.nodes and node not in self._callers:
                    self._strangers.discard(caller)
                    caller.node, caller.inbox.most_bytes = node, REPORT_BYTES
                    self._callers[node] = caller
                    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    caller.socket.sendall(packed({"welcome": True}))
                    return
        raise Garbled("it is no agent of this attempt")

    def _lose(self, caller: Caller, why: str) -> list[tuple[int, Message]]:
        self._selector.unregister(caller.socket)
        caller.socket.close()
        self._strangers.discard(caller)
        if caller.node is None:
            return []
        del self._callers[caller.node]
        return [(caller.node, {"gone": why})]

    def _turn_out_silent(self) -> None:
        for caller in [one for one in self._strangers if time.monotonic() - one.since > HELLO_SECONDS]:
            self._lose(caller, "it did not say who it is")
