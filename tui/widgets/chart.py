"""A chart of one series over time: a title line and a filled area below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len

from tui.draw import ascii_area, braille_area, ceiling
from tui.format import fit
from tui.widgets.painting import PaintedLines
from tui.widgets.text_lines import Line
from tui.widgets.tones import TONE_CLASSES, TONE_CSS

Marks = Sequence[tuple[int, str]]
"""(index into the values, glyph)."""


class Chart(PaintedLines):
    """The newest value is at the right edge; NaN is a gap.

    Where there are more values than columns, each column shows the largest value of its bucket.
    Buckets are counted from the start of the session, so that a shape that moves to the left
    keeps its form instead of shimmering.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    DEFAULT_CSS = f"Chart {{ width: 1fr; height: 1fr; {TONE_CSS} }}"
    ALLOW_SELECT = False

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id, classes=classes)
        self._values: tuple[float, ...] = ()
        self._heading = ("", "", "")
        self._maximum: float | None = None
        self._marks: tuple[tuple[int, str], ...] = ()
        self._newest = 0
        self._tone = ""

    def show(
        self,
        values: Sequence[float],
        *,
        title: str,
        value: str,
        maximum: float | None = None,
        scale: str = "",
        marks: Marks = (),
        newest: int | None = None,
        tone: str = "",
    ) -> None:
        """Show a series.

        Args:
            values: oldest first, evenly spaced; all of them are shown, but for a column's worth
                at the left edge where buckets begin in the middle of a column.
            title: what it is, such as `REQ/s`.
            value: the current value as text.
            maximum: value at the top; by default `tui.draw.ceiling` of the values.
            scale: text of `maximum`, at the right end of the title line.
            marks: (index into `values`, glyph) of events; the glyph is a column through the chart.
            newest: number of the newest value, counted from the start of the session (its `seq`);
                by default the first of the values is the first of the session.
            tone: look of the area, by default that of drawn data.
        """
        self._values = tuple(values)
        self._heading = (title, value, scale)
        self._maximum = maximum
        self._marks = tuple(marks)
        self._newest = len(self._values) - 1 if newest is None else newest
        self._tone = tone
        self.update_lines()

    def lines_for(self, width: int, height: int) -> Sequence[Line]:
        """The title line and the area below it."""
        return [self._title_line(width), *(((line, self._tone or "graph"),) for line in self._area(width, height - 1))]

    def _title_line(self, width: int) -> Line:
        title, value, scale = self._heading
        room = width - cell_len(title) - 2 - cell_len(value) - 1
        if room < cell_len(scale):
            return ((title + "  ", "title"), (value, ""))
        return ((title + "  ", "title"), (value + " ", ""), (fit(scale, room, right=True), "dim"))

    def _area(self, width: int, height: int) -> list[str]:
        if width <= 0 or height <= 0:
            return []
        across = 1 if self.ascii else 2
        size = max(1, math.ceil(len(self._values) / (width * across)))
        columns, first = bucketed(self._values, self._newest, size, across)
        top = ceiling(self._values) if self._maximum is None else self._maximum
        draw = ascii_area if self.ascii else braille_area
        lines = draw(columns, width, height, top)
        offset = width - len(columns) // across
        oldest = self._newest - len(self._values) + 1
        marked: dict[int, str] = {}
        for index, glyph in self._marks:
            column = offset + ((oldest + index) // size - first) // across
            if 0 <= index < len(self._values) and 0 <= column < width:
                marked[column] = glyph
        return [_marked(line, marked, always=y == 0) for y, line in enumerate(lines)] if marked else lines


def _marked(line: str, marks: dict[int, str], *, always: bool) -> str:
    """The line with a glyph in each marked column, over the area only where it must be seen `always`."""
    cells = list(line)
    for column, glyph in marks.items():
        if always or cells[column] == " ":
            cells[column] = fit(glyph, 1)
    return "".join(cells)


def bucketed(values: Sequence[float], newest: int, size: int, across: int) -> tuple[list[float], int]:
    """The largest value of each bucket, NaN for a bucket without a known one.

    Args:
        values: oldest first.
        newest: number of the last value, counted from the start of the session.
        size: values for each bucket; bucket k holds the values numbered k * size and on.
        across: buckets for each cell; the result begins and ends at the boundary of a cell.

    Returns:
        The largest values, and the number of the first bucket.
    """
    if not values:
        return [], 0
    oldest = newest - len(values) + 1
    first = oldest // size // across * across
    many = (newest // size // across + 1) * across - first
    columns = [math.nan] * many
    for number, value in enumerate(values, start=oldest):
        column = number // size - first
        if not math.isnan(value) and not columns[column] >= value:
            columns[column] = value
    return columns, first
