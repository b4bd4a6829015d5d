"""What a verb does to a server is written into the ledger when it has ended, well or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tritop.cli.run import complain
from tritop.control.entry import Entry
from tritop.control.ledger import Ledger
from tritop.control.server_entry import server_entry
from tritop.errors import OperationFailed, TritopError
from tritop.operation import Wish


@dataclass(slots=True)
class Recording:
    """What is being done.

    Attributes:
        endpoint: host:port of the server's gRPC, where it became known meanwhile.
        changed: set to false where nothing had to be done, and nothing is written.
    """

    endpoint: str = ""
    changed: bool = True


@contextmanager
def recorded(server: str, wish: Wish | None, endpoint: str = "") -> Iterator[Recording]:
    """Write down what the block does to a server; arguments as of `server_entry`.

    A ledger that cannot be written is told on stderr: it undoes nothing of what was done.
    """
    entry, began = server_entry(server, wish, time.time()), time.monotonic()
    recording = Recording(endpoint)
    try:
        yield recording
    except (TritopError, asyncio.CancelledError, KeyboardInterrupt) as error:
        outcome = str(error) or "tritop ended before it was done."
        _write(entry, recording, outcome, succeeded=False, duration_s=time.monotonic() - began)
        raise
    if recording.changed:
        outcome = f"{server} is {'launched' if wish is None else wish.done}."
        _write(entry, recording, outcome, succeeded=True, duration_s=time.monotonic() - began)


def _write(entry: Entry, recording: Recording, outcome: str, *, succeeded: bool, duration_s: float) -> None:
    ended = replace(entry, endpoint=recording.endpoint, outcome=outcome, succeeded=succeeded, duration_s=duration_s)
    try:
        Ledger().append(ended)
    except OperationFailed as error:
        complain(error.sentence, error.advice)
