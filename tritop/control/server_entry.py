"""Entries of the ledger about servers themselves: launched, started, stopped, restarted, removed."""

from __future__ import annotations

from tritop.control.author import this_author
from tritop.control.entry import Entry, new_id
from tritop.model import EventKind
from tritop.operation import Wish

_KINDS = {
    Wish.START: EventKind.SERVER_STARTED,
    Wish.STOP: EventKind.SERVER_STOPPED,
    Wish.RESTART: EventKind.SERVER_RESTARTED,
    Wish.REMOVE: EventKind.SERVER_REMOVED,
}


def server_entry(server: str, wish: Wish | None, at: float, endpoint: str = "") -> Entry:
    """Something that this process begins to do to a server now.

    Args:
        server: its name.
        wish: what is done; `None` launches a new one.
        at: wall time [s since the epoch].
        endpoint: host:port of its gRPC, "" where it has none yet.
    """
    verb = "launch" if wish is None else wish.value
    return Entry(
        id=new_id(at),
        at=at,
        kind=EventKind.SERVER_LAUNCHED if wish is None else _KINDS[wish],
        endpoint=endpoint,
        server=server,
        author=this_author(),
        action=f"{verb} server",
        text=f"{verb} {server}",
    )
