"""One line of a log as a value, and how it is written to a file again."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from tritop.errors import UsageError


class LogLevel(IntEnum):
    """How grave a line is. Triton's verbose lines are INFO: it marks them no other way."""

    PLAIN = 0
    """Says nothing about it: what a model printed."""
    INFO = 1
    WARNING = 2
    ERROR = 3


_LETTERS = {LogLevel.INFO: "I", LogLevel.WARNING: "W", LogLevel.ERROR: "E"}


class LogLine(NamedTuple):
    """One line to show. A tuple, because thousands are made in a second and fifty thousand are kept.

    Attributes:
        entry: number of the entry that the line belongs to, counting up; one entry may be many lines.
        run: number of the server's run, counting up.
        level: of the whole entry.
        text: without its prefix, control characters and escape sequences; still untrusted.
        at: wall time [s since the epoch], `None` where the line says none.
        place: source file and line, such as `model_lifecycle.cc:472`.
        pid: of the process that wrote it, 0 where the line says none.
        model: the model that the line names, "" for none.
        head: the first line of its entry.
        note: tritop's own words, such as the mark between two runs.
    """

    entry: int
    run: int
    level: LogLevel
    text: str
    at: float | None = None
    place: str = ""
    pid: int = 0
    model: str = ""
    head: bool = True
    note: bool = False


def level_named(name: str) -> LogLevel:
    """The level called `error`, `warning` or `info`; `all` is every line.

    Raises:
        UsageError: there is no such level.
    """
    names = {"error": LogLevel.ERROR, "warning": LogLevel.WARNING, "info": LogLevel.INFO, "all": LogLevel.PLAIN}
    if name not in names:
        raise UsageError(f"there is no log level {name!r}.", f"Choose one of {', '.join(names)}.")
    return names[name]


def saved_line(line: LogLine) -> str:
    """The line for a file, in Triton's ISO 8601 format (`--log-format=ISO8601`) with all the digits of its time.

    What had no prefix gets none, so that `LogReader` reads a saved log as it reads Triton's.
    """
    if line.note:
        return f"--- {line.text} ---"
    if not line.head or not line.place or line.at is None:
        return line.text
    time = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{time} {_LETTERS.get(line.level, 'I')} {line.pid} {line.place}] {line.text}"
