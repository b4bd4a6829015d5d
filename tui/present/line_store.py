"""Many log lines in a list that the garbage collector need not look into."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import itemgetter

from tritop.logs import LogLevel, LogLine

__all__ = ["LineStore"]

_Packed = tuple[int, int, int, str, float | None, str, int, str, bool, bool]
_LEVELS = tuple(LogLevel)


class LineStore:
    """Lines, oldest first.

    Each is kept as a plain tuple of plain values. Python's garbage collector stops looking at
    such tuples, but looks at instances of any class again and again: with fifty thousand LogLines
    each of its full collections, two in three seconds of a busy log, holds up the screen for 60 ms
    (measured).
    """

    def __init__(self, lines: Iterable[LogLine] = ()) -> None:
        self._packed: list[_Packed] = []
        self.extend(lines)

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Add lines behind the others."""
        self._packed += [_packed(line) for line in lines]

    def drop(self, count: int) -> None:
        """Forget the oldest."""
        del self._packed[:count]

    def before(self, entry: int) -> int:
        """How many lines belong to entries before one."""
        return bisect_left(self._packed, entry, key=itemgetter(0))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._packed)

    def __getitem__(self, index: int) -> LogLine:
        """The line at a place, also from the end."""
        return _unpacked(self._packed[index])

    def __iter__(self) -> Iterator[LogLine]:
        """Every line, oldest first."""
        return map(_unpacked, self._packed)


def _packed(line: LogLine) -> _Packed:
    entry, run, level, text, at, place, pid, model, head, note = line
    return (entry, run, int(level), text, at, place, pid, model, head, note)


def _unpacked(packed: _Packed) -> LogLine:
    entry, run, level, text, at, place, pid, model, head, note = packed
    return LogLine(entry, run, _LEVELS[level], text, at, place, pid, model, head, note)
