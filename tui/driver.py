"""Textual's driver, made to send less, and to let go of a terminal that is gone or does not read.

Textual hands its writes to a thread through a queue of 30 and waits where that is full. When the
terminal goes away the thread dies of it, and whoever waits for room in its queue waits for ever:
the App never ends, and what it runs is never stopped.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import time
from typing import Any

from textual.driver import Driver
from textual.geometry import Size

from tui.compact import compact

__all__ = ["end_writing", "hand_over", "terminal_driver", "terminal_size"]

LAST_WORDS_S = 2.0
"""How long the end waits for a terminal that does not read."""
_LOOK_S = 0.1


def terminal_size() -> Size:
    """Cells across and lines of the terminal, by its own word.

    Textual asks COLUMNS and LINES first. Where those are exported (by a script, by a CI runner, by an
    older shell) they do not follow the terminal, and the picture would never fit it.
    """
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        if stream is None:
            continue
        try:
            columns, lines = os.get_terminal_size(stream.fileno())
        except (ValueError, OSError):
            continue
        if columns > 0 and lines > 0:
            return Size(columns, lines)
    return Size(*shutil.get_terminal_size())


def hand_over(writer: Any, text: str | None, *, limit_s: float | None = None) -> bool:
    """Queue a write for Textual's `WriterThread`; `None` ends it.

    Args:
        writer: the thread; private to Textual (`drivers/_writer_thread.py`).
        text: what to write.
        limit_s: how long to wait for room, `None` for as long as the thread lives.

    Returns:
        Whether it was queued: not where the thread has died or the time is over.
    """
    limit = None if limit_s is None else time.monotonic() + limit_s
    while writer.is_alive() and (limit is None or time.monotonic() < limit):
        try:
            writer._queue.put(text, timeout=_LOOK_S)
        except queue.Full:
            continue
        return True
    return False


def end_writing(writer: Any) -> None:
    """Let the thread write what waits, for a bounded time; it is a daemon, so it holds up no exit."""
    if hand_over(writer, None, limit_s=LAST_WORDS_S):
        writer.join(LAST_WORDS_S)


def terminal_driver(driver: type[Driver]) -> type[Driver]:
    """A driver like the given one that sends fewer bytes for the same picture and always ends."""

    class TerminalDriver(driver):  # type: ignore[misc, valid-type]  # the base is only known at run time
        _ending = False

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            # Until the terminal was asked Textual would go by COLUMNS and LINES.
            self._size: tuple[int, int] | None = getattr(self, "_size", None) or terminal_size()

        def _get_terminal_size(self) -> tuple[int, int]:
            return terminal_size()

        def write(self, data: str) -> None:
            writer = getattr(self, "_writer_thread", None)
            if writer is None:
                super().write(compact(data))
            else:
                hand_over(writer, compact(data), limit_s=LAST_WORDS_S if self._ending else None)

        def stop_application_mode(self) -> None:
            self._ending = True
            super().stop_application_mode()
            self._ending = False

        def close(self) -> None:
            writer = getattr(self, "_writer_thread", None)
            if writer is None:
                super().close()
            else:
                end_writing(writer)

    return TerminalDriver
