"""A process that brings its node's record to the process that merges, or only waits for its word."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from cluster.errors import InfrastructureError
from cluster.topology.fact import Fact
from cluster.topology.frames import RECORD_BYTES, Garbled, Inbox, Message, packed, packed_record
from cluster.topology.head import OTHER_PROBE
from cluster.topology.listening import plain_address
from cluster.topology.place import Place
from cluster.topology.tokens import Left

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 0.2
LEAST_SECONDS = 0.01
CHUNK_BYTES = 1 << 18
EXCHANGES = 8
"""Of clocks: the quickest one counts, since it leaves least room for doubt."""


@dataclass(frozen=True, slots=True)
class Skew:
    """This node's clock less that of node 0."""

    seconds: float
    round_trip_seconds: float

    def fact(self, head: str) -> Fact[float]:
        doubt = f"{self.round_trip_seconds / 2 * 1e3:.2g} ms"
        return Fact(self.seconds, "s", f"{EXCHANGES} exchanges with {head}, ± {doubt}")


class Member:
    """A connection to node 0, from `with` on. What is asked of it raises InfrastructureError if node 0 is gone."""

    def __init__(self, place: Place, node_name: str, addresses: Sequence[str], wait_seconds: float) -> None:
        self._place, self._node_name = place, node_name
        self._addresses, self._wait_seconds = addresses, wait_seconds

    def __enter__(self) -> "Member":
        self._socket, self._inbox, welcome = self._met()
        self.address = plain_address(self._socket.getpeername())
        self.head_name = str(welcome.get("welcome"))
        self.left: Left = {role: Fact(**fact) for role, fact in dict(welcome.get("left", {})).items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def skew(self, now: Callable[[], float]) -> Skew:
        """By the way of NTP: node 0's time is taken to be that of the middle of the exchange."""
        exchanges = []
        for _ in range(EXCHANGES):
            sent, began = now(), time.monotonic()
            answer = self._asked(packed({"clock": True}), ANSWER_SECONDS, "clock")
            took = time.monotonic() - began
            exchanges.append(Skew(sent + took / 2 - float(answer["clock"]), took))
        return min(exchanges, key=lambda exchange: exchange.round_trip_seconds)

    def bring(self, record: bytes, seconds: float) -> None:
        """Hand over the record of this node, as it is written in JSON."""
        self._asked(packed_record(record), seconds, "received")

    def hear(self, seconds: float) -> Message:
        """Wait for what node 0 says to this process when the others have come, or have not."""
        return self._answer(seconds, "go")

    def _asked(self, message: bytes, seconds: float, wanted: str) -> Message:
        self._socket.settimeout(seconds)
        # Node 0 may have said why before it hung up: what cannot be sent does not matter then.
        with contextlib.suppress(OSError):
            self._socket.sendall(message)
        return self._answer(seconds, wanted)

    def _answer(self, seconds: float, wanted: str) -> Message:
        try:
            message = _received(self._socket, self._inbox, seconds)
        except (OSError, Garbled) as error:
            raise InfrastructureError(
                f"Node 0 ({self.head_name}, {self.address}) merges the records of all nodes, but {error}. "
                "See what it says itself."
            ) from error
        if wanted not in message:
            raise InfrastructureError(
                f"Node 0 ({self.head_name}, {self.address}) does not take what this node brings: "
                f"{message.get('refused', message)}. Do all nodes have the same version of muster?"
            )
        return message

    def _met(self) -> tuple[socket.socket, Inbox, Message]:
        """Try the candidates until one of them is node 0, for as long as there is time."""
        end = time.monotonic() + self._wait_seconds
        turned_away: dict[str, str] = {}
        while time.monotonic() < end:
            for address in self._addresses:
                for port in self._place.ports:
                    try:
                        return self._knock(address, port, max(end - time.monotonic(), LEAST_SECONDS))
                    except (OSError, Garbled, _Elsewhere) as error:
                        turned_away[f"{address} port {port}"] = _words(error)
            time.sleep(PAUSE_SECONDS)
        found = "; ".join(f"{where}: {why}" for where, why in turned_away.items())
        raise InfrastructureError(
            f"Node {self._place.node} has to reach node 0 ({self._place.head}), but nobody there answered as node 0 of "
            f"this probe within {self._wait_seconds:g} s ({found}). Has node 0 started, and may nodes connect to "
            "each other (firewall)?"
        )

    def _knock(self, address: str, port: int, seconds: float) -> tuple[socket.socket, Inbox, Message]:
        """Raises OSError, Garbled, _Elsewhere; InfrastructureError if node 0 itself refuses this process."""
        hello = {
            "name": self._place.name,
            "node": self._place.node,
            "rank_of_node": self._place.local_rank,
            "node_name": self._node_name,
        }
        connection = socket.create_connection((address, port), timeout=min(seconds, CONNECT_SECONDS))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(packed({"hello": hello}))
            inbox = Inbox(RECORD_BYTES)
            answer = _received(connection, inbox, min(seconds, ANSWER_SECONDS))
            if "refused" in answer and answer.get("word") != OTHER_PROBE:
                raise InfrastructureError(
                    f"Node 0 ({address} port {port}) refuses this process: {answer['refused']}. "
                    "Is the same command started on every node, once?"
                )
            if "welcome" not in answer:
                raise _Elsewhere(str(answer.get("refused", "it speaks of something else"))[:200])
            return connection, inbox, answer
        except BaseException:
            connection.close()
            raise


class _Elsewhere(Exception):
    """Who answered is not node 0 of this probe."""


def _received(connection: socket.socket, inbox: Inbox, seconds: float) -> Message:
    """The next message. Raises OSError, Garbled."""
    end = time.monotonic() + seconds
    while (message := inbox.next()) is None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it said nothing whole within {seconds:.3g} s")
        connection.settimeout(left)
        with contextlib.suppress(TimeoutError):
            chunk = connection.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionError("it hung up")
            inbox.take(chunk)
    return message


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
