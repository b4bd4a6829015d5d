"""Where a log comes from: what a file, an engine or a pipe must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Lines that a source read at once, whole and as the server wrote them, without their line breaks."""

    lines: Sequence[bytes]
    run: int = 1
    """Number of the server's run that wrote them, counting up. One chunk never holds two runs."""
    times: Sequence[float | None] = ()
    """Wall time [s since the epoch] of each line where the source knows it; empty where it does not."""
    note: str = ""
    """tritop's own words to stand before the lines, such as that some could not be read."""


class LogSource(Protocol):
    """The log of one server."""

    def follow(self, deliver: Callable[[LogChunk], None]) -> Callable[[], None]:
        """Deliver what there is, then what comes; returns the function that ends it.

        `deliver` is called from one thread of the source, oldest lines first, and must not block
        for long. After the returned function has returned it is not called again, unless it is
        that very thread which called the function. Never raises: what cannot be read is a chunk
        with a note.
        """
        ...

    def close(self) -> None:
        """End every follower and everything that the source keeps running."""
        ...


@runtime_checkable
class HasLog(Protocol):
    """Where the log of one server is: in a file, with an engine."""

    def log_source(self) -> LogSource:
        """The log over all runs of the server, to be followed; called once."""
        ...

    def log_since(self, at: float) -> Iterator[LogChunk]:
        """What was written from a wall time [s since the epoch] on, read anew; it may begin earlier. Blocks.

        Raises:
            RuntimeFailure: it cannot be read.
        """
        ...
