"""The one thing a screen is given: a Session that delivers Snapshots and takes Operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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

    def stop(self) -> None:
        """End every collector, process and thread of the session; returns when they are gone."""
        ...
