"""An agent's end of the line to the supervisor."""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from cluster.errors import InfrastructureError
from cluster.supervision.frames import BEAT_SECONDS, CHUNK_BYTES, DESK, REPORT_BYTES, SILENT_SECONDS
from cluster.topology.frames import Garbled, Inbox, Message, packed

CALL_SECONDS = 20.0
CONNECT_SECONDS = 2.0
PAUSE_SECONDS = 0.2
SEND_SECONDS = 5.0


class Line:
    """Calls at once. `obey` gets every order, in a thread of the line's own; `beat` is asked twice a second what to
    tell.

    The supervisor is taken to be gone if the line breaks or nothing comes for `SILENT_SECONDS`: `obey` then gets
    {"gone": why}, and nothing more.
    """

    def __init__(self, node: int, hello: Message) -> None:
        """Raises InfrastructureError if the supervisor cannot be reached."""
        desk = json.loads(os.environ[DESK])
        self._inbox = Inbox(REPORT_BYTES)
        self._sending = threading.Lock()
        self._obey: Callable[[Message], None] = lambda _: None
        self._beat: Callable[[], Message] = dict
        self._socket = _connected(node, desk["addresses"], int(desk["port"]))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tell({"hello": {"token": desk["token"], "node": node, **hello}})

    @property
    def own_address(self) -> str:
        return str(self._socket.getsockname()[0])

    def follow(self, obey: Callable[[Message], None], beat: Callable[[], Message]) -> None:
        """From now on, in a thread."""
        self._obey, self._beat = obey, beat
        threading.Thread(target=self._serve, name="line to the supervisor", daemon=True).start()

    def tell(self, message: Message) -> None:
        """Raises nothing: if the line is broken, its thread finds out."""
        with self._sending, contextlib.suppress(OSError):
            self._socket.settimeout(SEND_SECONDS)
            self._socket.sendall(packed(message))

    def _serve(self) -> None:
        silent_beats = 0  # counted, not timed: a machine that slept has not missed anything
        next_beat = time.monotonic()
        while True:
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_SECONDS
                silent_beats += 1
                self.tell({"beat": self._beat()})
            if silent_beats * BEAT_SECONDS > SILENT_SECONDS:
                self._obey({"gone": f"the supervisor has said nothing for {SILENT_SECONDS:g} s"})
                return
            ready, _, _ = select.select([self._socket], [], [], max(0.0, next_beat - time.monotonic()))
            if not ready:
                continue
            try:
                orders = self._orders()
            except (OSError, Garbled) as error:
                self._obey({"gone": f"the line to the supervisor broke ({error})"})
                return
            silent_beats = 0
            for order in orders:
                self._obey(order)

    def _orders(self) -> list[Message]:
        """Raises OSError, Garbled."""
        chunk = self._socket.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionError("it has ended")
        self._inbox.take(chunk)
        orders = []
        while (order := self._inbox.next()) is not None:
            orders.append(order)
        return orders


def _connected(node: int, addresses: list[str], port: int) -> socket.socket:
    """To the first address that answers: of several, some may belong to networks that do not lead here."""
    end = time.monotonic() + CALL_SECONDS
    refusals: dict[str, str] = {}
    while time.monotonic() < end:
        for address in addresses:
            try:
                return socket.create_connection((address, port), timeout=CONNECT_SECONDS)
            except OSError as error:
                refusals[address] = error.strerror or str(error)
        time.sleep(PAUSE_SECONDS)
    tried = "; ".join(f"{address}: {why}" for address, why in refusals.items())
    raise InfrastructureError(
        f"Node {node} has to reach the first node of the job on TCP port {port}, but cannot ({tried}). May nodes "
        "connect to each other there (firewall)? launch.interface names the network to use."
    )
