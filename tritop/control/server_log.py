"""What a server's log says of one call: its refusals and its sequences are told nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from tritop.errors import RuntimeFailure
from tritop.logs import LogChunk, LogLine, LogReader

LogSince = Callable[[float], Iterable[LogChunk]]
"""Reads what a server wrote from a wall time [s since the epoch] on, and maybe more; blocks.

Raises RuntimeFailure where the log cannot be read."""


def not_readable(at: float) -> Iterable[LogChunk]:
    """The `LogSince` of a server of whose log nothing is known."""
    raise RuntimeFailure("it cannot be read from here.")


class ServerLog:
    """The log of one server, read anew with every question.

    Args:
        since: reads it.
        clock: wall time [s since the epoch], of the host that the server runs on.
    """

    def __init__(self, since: LogSince = not_readable, clock: Callable[[], float] = time.time) -> None:
        self._since = since
        self.clock = clock

    async def entries_since(self, at: float, *containing: bytes) -> tuple[LogLine, ...]:
        """The server's own entries from a wall time on, oldest first, the first line of each.

        Args:
            at: seconds since the epoch. Where the log has whole seconds only, its whole second.
            containing: only lines with one of these; the rest is not looked at, so a long log is read fast.

        Raises:
            RuntimeFailure: the log cannot be read.
        """
        return await asyncio.to_thread(self._entries_since, at, containing)

    def _entries_since(self, at: float, containing: Sequence[bytes]) -> tuple[LogLine, ...]:
        reader = LogReader()
        entries: list[LogLine] = []
        for chunk in self._since(at):
            entries += reader.read(_only(chunk, containing), self.clock())
        return tuple(entry for entry in entries if entry.head and entry.place and _is_since(entry.at, at))


def _only(chunk: LogChunk, containing: Sequence[bytes]) -> LogChunk:
    if not containing:
        return chunk
    kept = [place for place, line in enumerate(chunk.lines) if any(part in line for part in containing)]
    times = tuple(chunk.times[place] for place in kept) if chunk.times else ()
    return LogChunk(tuple(chunk.lines[place] for place in kept), chunk.run, times)


def _is_since(written_at: float | None, at: float) -> bool:
    if written_at is None:
        return False
    return written_at >= at or (written_at.is_integer() and written_at >= int(at))
