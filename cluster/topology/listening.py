"""Sockets to be reached by, on a port that several processes know without having talked."""

import contextlib
import errno
import resource
import secrets
import socket
from collections.abc import Sequence
from typing import Any

from cluster.errors import InfrastructureError

FIRST_PORT, LAST_PORT = 20000, 31999
"""Below Linux's ephemeral range (32768 and up unless it was changed), above the services of most sites."""
PORT_STRIDE = 1009  # a prime, so that one busy range does not take all candidates
OWN_CANDIDATES = 32
BACKLOG = 4096
OWN_FILES = 256


def listening(ports: Sequence[int]) -> tuple[socket.socket, int]:
    """On the first port that is free, on all addresses. Raises InfrastructureError."""
    refusals = []
    for port in ports:
        try:
            if socket.has_dualstack_ipv6():
                try:
                    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        raise
                    listener = socket.create_server(("", port))  # no IPv6 in this network namespace
            else:
                listener = socket.create_server(("", port))
            listener.listen(BACKLOG)
            return listener, port
        except OSError as error:
            refusals.append(f"{port}: {error.strerror}")
    raise InfrastructureError(
        f"The merging node has to listen on one of its {len(ports)} candidate ports, but none can be had "
        f"({'; '.join(refusals)}). Start the probe again: another job step has other ports."
    )


def free_port(ports: Sequence[int], taken: int) -> int:
    """The first of some ports that nobody listens on, but not `taken`. Raises InfrastructureError."""
    listener, port = listening([port for port in ports if port != taken])
    listener.close()
    return port


def own_port() -> int:
    """A free port of this process's choosing, in the range that firewalls are asked to open between nodes; another one
    for each process, so that two jobs on a node do not meet. Raises InfrastructureError."""
    span = LAST_PORT - FIRST_PORT + 1
    begin = secrets.randbelow(span)
    return free_port([FIRST_PORT + (begin + index * PORT_STRIDE) % span for index in range(OWN_CANDIDATES)], 0)


def allow_files(count: int) -> None:
    """One socket for each process: the usual limit of 1,024 open files is raised as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def plain_address(address: Sequence[Any]) -> str:
    """Without the prefix that an IPv4 address has on an IPv6 socket."""
    return str(address[0]).removeprefix("::ffff:")
