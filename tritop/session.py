"""The one thing a screen is given: a Session that delivers Snapshots and takes Operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tritop.logs import LogLine
from tritop.model import Snapshot
from tritop.operation import Operation


class Session(Protocol):
    """A source of Snapshots: live servers or a recording."""

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Begin. `deliver` is called from another thread, once for each Snapshot, and must not block."""
        ...

    def submit(self, operation: Operation) -> None:
        """Ask for something; returns at once. Its outcome is in a later Snapshot. Thread-safe."""
        ...

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """Deliver the log of a server: what there is, then what comes, until the returned function is called.

        `deliver` is called from any thread, must not block, and is not called again once the returned
        function has returned. Never raises: where there is no log, a line that is a note says why.
        """
        ...

    def stop(self) -> None:
        """End every collector, process and thread of the session; returns when they are gone."""
        ...
