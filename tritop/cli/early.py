"""A Session that reads while the screen is still being imported, which takes longer than a reading."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from tritop.logs import LogLine
from tritop.model import Snapshot
from tritop.operation import Operation
from tritop.session import Session

_KEPT = 16
"""Snapshots kept for the screen; at any interval it is there long before so many have come."""


class EarlySession:
    """Starts a session at once, and hands over what it delivered when the screen starts it.

    Fulfils `tritop.session.Session`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._kept: deque[Snapshot] = deque(maxlen=_KEPT)
        self._deliver: Callable[[Snapshot], None] = self._kept.append
        session.start(self._pass_on)

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Deliver what has come so far, then everything as it comes."""
        with self._lock:
            for snapshot in self._kept:
                deliver(snapshot)
            self._kept.clear()
            self._deliver = deliver

    def submit(self, operation: Operation) -> None:
        """Ask the session."""
        self._session.submit(operation)

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """Follow it in the session."""
        return self._session.follow_log(server, deliver)

    def stop(self) -> None:
        """Stop the session."""
        self._session.stop()

    def _pass_on(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._deliver(snapshot)
