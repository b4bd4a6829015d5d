"""TCP ports on this machine: finding free ones, and who listens on them."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path

from tritop.errors import RuntimeFailure
from tritop.server_spec import HOST, Ports

_TCP_LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether nobody has the port on 127.0.0.1 at this moment.

    Connections of an earlier server that linger after its end (TIME_WAIT, a minute) do not count:
    Triton, like Docker, listens all the same.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports() -> Ports:
    """Three ports that are free at this moment, below the range for outgoing connections.

    A port out of that range could be given to any outgoing connection before the server opens
    it; one of our own attempts to connect could even be joined to itself.
    """
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32768
    candidates = range(20000, lowest) if lowest > 21000 else range(20000, 65536)
    found: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        if is_free(port):
            found.append(port)
        if len(found) == 3:
            return Ports(*found)
    raise RuntimeFailure(f"no three free ports are left on {HOST}.", "Stop servers that are not needed.")


def kept_or_free(kept: Ports | None) -> Ports:
    """The ports of the run before where nobody has them now, so that an address stays what it is; else free ones."""
    if kept is not None and all(map(is_free, (kept.http, kept.grpc, kept.metrics))):
        return kept
    return free_ports()


def listening_ports(pid: int) -> frozenset[int]:
    """The TCP ports on which the process itself listens; empty where it cannot be read.

    An open port alone proves nothing: it may be somebody else's, and Triton finds that out last.
    gRPC listens on an IPv6 socket with a mapped IPv4 address, the others on an IPv4 one.
    """
    owned = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            # A descriptor may be closed between the listing and the look at it.
            with contextlib.suppress(FileNotFoundError):
                owned.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        with contextlib.suppress(FileNotFoundError):
            rows += Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    except OSError:
        return frozenset()
    columns = (row.split() for row in rows)
    return frozenset(
        int(column[1].rpartition(":")[2], 16)
        for column in columns
        if column[3] == _TCP_LISTEN and f"socket:[{column[9]}]" in owned
    )
