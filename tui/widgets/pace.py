"""Painting no faster than the terminal reads.

Textual queues what it writes, 30 writes deep, and then blocks the whole app: a slow SSH link
freezes it for half a minute (measured). Who paints nothing while writes are queued never
comes near that bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App


def terminal_backlog(app: App[Any]) -> int:
    """Writes that wait for the terminal, 0 where the driver does not queue.

    The queue is private to Textual (`drivers/_writer_thread.py`), so every step may be missing.
    """
    writer = getattr(getattr(app, "_driver", None), "_writer_thread", None)
    queue = getattr(writer, "_queue", None)
    return 0 if queue is None else int(queue.qsize())


class Pace:
    """Decides whether a frame is painted, and counts those that were not.

    Args:
        backlog: how many writes wait, such as `lambda: terminal_backlog(app)`.
        limit: how many may wait while a frame is still painted.
    """

    def __init__(self, backlog: Callable[[], int], limit: int = 1) -> None:
        self.painted = 0
        self.skipped = 0
        """Frames left out since the start."""
        self._backlog = backlog
        self._limit = limit

    def may_paint(self) -> bool:
        """Whether the terminal keeps up; the answer is counted as a painted or a skipped frame."""
        if self._backlog() > self._limit:
            self.skipped += 1
            return False
        self.painted += 1
        return True
