"""The lines of a log as rows of the screen: bounded, filtered, wrapped, searched. Pure: no widget."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from rich.cells import cell_len, get_character_cell_size

from tritop.logs import LogFilter, LogLevel, LogLine, Sieve
from tui.format import clean
from tui.present.line_store import LineStore

__all__ = ["LINES_MOST", "LogRows", "pieces"]

LINES_MOST = 50_000
"""Lines kept for scrolling back, of all runs together."""


class LogRows:
    """What of a log is shown, and on which row each line begins.

    Lines are counted from 0 among those that the filter keeps; rows are what a terminal shows of
    them, one for each line unless long lines are wrapped.

    Args:
        ascii: draw with ASCII characters only.
        limit: lines kept at most; somewhat more are kept for a moment, so that dropping is rare.
    """

    def __init__(self, *, ascii: bool = False, limit: int = LINES_MOST) -> None:
        self.wanted = LogFilter()
        self.widest = 0
        """Cells of the widest text since the layout or the filter was chosen."""
        self.models: dict[str, None] = {}
        """Every model that a line named, in order of appearance."""
        self._ascii = ascii
        self._limit = limit
        self._all = LineStore()
        self._shown = LineStore()
        self._sieve = Sieve(self.wanted)
        self._room = 0
        self._tops: list[int] = [0]
        """Row at which each line begins, and the one behind the last line; only while lines are wrapped."""

    def __len__(self) -> int:
        """Lines that the filter keeps."""
        return len(self._shown)

    @property
    def total(self) -> int:
        """Lines kept, shown or not."""
        return len(self._all)

    @property
    def runs(self) -> tuple[int, int]:
        """The first and the newest run that lines are kept of; (0, 0) while there is none."""
        return (self._all[0].run, self._all[-1].run) if self._all else (0, 0)

    @property
    def row_count(self) -> int:
        """Rows of all lines that are shown."""
        return self._tops[-1] if self._room else len(self._shown)

    def extend(self, lines: Sequence[LogLine]) -> int:
        """Take the next lines; returns how many rows went at the top because too many are kept."""
        self._all.extend(lines)
        self.models.update(dict.fromkeys(line.model for line in lines if line.model))
        self._append(self._sieve.pass_on(lines))
        if len(self._all) <= self._limit + self._limit // 10:
            return 0
        self._all.drop(len(self._all) - self._limit)
        gone = self._shown.before(self._all[0].entry)
        rows = self.row_of(gone)
        self._shown.drop(gone)
        if self._room:
            self._tops = [top - rows for top in self._tops[gone:]]
        return rows

    def choose(self, wanted: LogFilter) -> None:
        """Show other lines."""
        self.wanted = wanted
        self._sieve = Sieve(wanted)
        self._show_again(self._sieve.pass_on(self._all))

    def lay_out(self, room: int) -> bool:
        """Wrap texts to so many cells, 0 to not wrap them; whether that is another layout than before."""
        if room == self._room:
            return False
        self._room = room
        self._show_again(list(self._shown))
        return True

    def _show_again(self, lines: list[LogLine]) -> None:
        self._shown, self._tops, self.widest = LineStore(), [0], 0
        self._append(lines)

    def _append(self, lines: Sequence[LogLine]) -> None:
        self._shown.extend(lines)
        if not self._room:
            self.widest = max(self.widest, max((len(line.text) for line in lines), default=0))
            return
        room = self._room
        rows = (-(-len(line.text) // room) or 1 if line.text.isascii() else len(self.parts(line)) for line in lines)
        self._tops[-1:] = accumulate(rows, initial=self._tops[-1])

    def text(self, line: LogLine) -> str:
        """The text of a line as it is drawn."""
        return line.text if line.text.isascii() else clean(line.text, ascii=self._ascii)

    def parts(self, line: LogLine) -> list[str]:
        """The text of a line cut into rows."""
        return pieces(self.text(line), self._room) if self._room else [self.text(line)]

    def at(self, row: int) -> tuple[int, LogLine, int]:
        """(number of the line, the line, which of its rows) at a row from 0 to `row_count` - 1."""
        index = self.line_at(row)
        return index, self._shown[index], row - self.row_of(index)

    def line_at(self, row: int) -> int:
        """The number of the line at a row."""
        return bisect_right(self._tops, row) - 1 if self._room else row

    def row_of(self, index: int) -> int:
        """The row at which a line begins."""
        return self._tops[index] if self._room else index

    def lines(self) -> Iterator[LogLine]:
        """Every line that is shown, oldest first."""
        return iter(self._shown)

    def hits(self, needle: str) -> int:
        """How many of the lines that are shown hold a text, ignoring case."""
        folded = needle.casefold()
        return sum(folded in line.text.casefold() for line in self._shown) if folded else 0

    def find(self, holds: Callable[[LogLine], bool], begin: int, step: int) -> int | None:
        """The next line of a kind from `begin` on, downwards with 1 and upwards with -1; goes round once."""
        many = len(self._shown)
        return next(
            (index for index in ((begin + step * far) % many for far in range(many)) if holds(self._shown[index])),
            None,
        )


def holding(needle: str) -> Callable[[LogLine], bool]:
    """Tells the lines that hold a text, ignoring case."""
    folded = needle.casefold()
    return lambda line: folded in line.text.casefold()


def begins_error(line: LogLine) -> bool:
    """Tells the first lines of errors."""
    return line.head and line.level is LogLevel.ERROR


def pieces(text: str, room: int) -> list[str]:
    """A clean text cut into pieces of at most `room` cells; at least one, which may be empty."""
    if cell_len(text) <= room:
        return [text]
    if text.isascii():
        return [text[begin : begin + room] for begin in range(0, len(text), room)]
    found, begin, taken = [], 0, 0
    for index, character in enumerate(text):
        cells = get_character_cell_size(character)
        if taken + cells > room and index > begin:
            found.append(text[begin:index])
            begin, taken = index, 0
        taken += cells
    return [*found, text[begin:]]
