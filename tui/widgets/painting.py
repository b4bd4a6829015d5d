"""Lines of toned text: how they become strips, and which cells of a line have changed.

Textual sends every dirty region again without comparing cells, so whoever wants few bytes on
the wire compares lines first and marks only the changed cells as dirty.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.format import clean, fit
from tui.widgets.tones import style_of

Line = tuple[tuple[str, str], ...]
"""(text, tone) from left to right; the text is clean, and is never read as markup."""

BLANK: Line = ()


def text_of(line: Line) -> str:
    """The text of a line without its tones."""
    return "".join(text for text, _ in line)


def harmless(line: Line) -> Line:
    """The line itself, or a cleaned copy where someone passed text that could move the cursor."""
    if all(text.isprintable() for text, _ in line):
        return line
    return tuple((clean(text), tone) for text, tone in line)


def cut(line: Line, width: int, *, ascii: bool = False) -> Line:
    """The line, ended by an ellipsis where it is wider than `width` cells."""
    left = width
    for index, (text, tone) in enumerate(line):
        taken = cell_len(text)
        if taken > left or (taken == left and any(more for more, _ in line[index + 1 :])):
            return (*line[:index], (_ended(text, left, ascii), tone))
        left -= taken
    return line


def _ended(text: str, width: int, ascii: bool) -> str:
    """`text` cut to `width` cells with an ellipsis at its end, whether or not it would fit."""
    if cell_len(text) > width:
        return fit(text, width, ascii=ascii)
    return fit(text + " ", width, ascii=ascii)


def strip_of(widget: Widget, line: Line, width: int, *components: str) -> Strip:
    """Draw a line `width` cells wide in the widget's styles; see `tui.widgets.tones.style_of`."""
    segments = [Segment(text, style_of(widget, tone, *components)) for text, tone in harmless(line) if text]
    return Strip(segments).adjust_cell_length(width, style_of(widget, "", *components))


def changed_span(old: Line, new: Line, width: int) -> tuple[int, int] | None:
    """The first changed cell and the one behind the last, `None` where nothing has changed.

    Both lines are taken as padded with spaces to `width` cells. Where wide characters or other
    tones make cells hard to tell apart, the span reaches to the end of the line.
    """
    if old == new:
        return None
    index = 0
    while index < min(len(old), len(new)) and old[index] == new[index]:
        index += 1
    start = cell_len(text_of(new[:index]))
    rest_old, rest_new = old[index:], new[index:]
    same_looks = [(len(text), tone) for text, tone in rest_old] == [(len(text), tone) for text, tone in rest_new]
    text_old, text_new = text_of(rest_old), text_of(rest_new)
    if not same_looks or cell_len(text_old) != len(text_old) or cell_len(text_new) != len(text_new):
        return (min(start, width), width)
    differing = [at for at, (a, b) in enumerate(zip(text_old, text_new, strict=True)) if a != b]
    return (min(start + differing[0], width), min(start + differing[-1] + 1, width))


class PaintedLines(Widget):
    """A widget made of toned lines; a change of its content repaints only the cells that differ.

    A subclass says in `lines_for` what it shows and calls `update_lines` when that has changed.
    """

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ascii = ascii
        self._painted: list[Line] = []
        self._painted_size = (-1, -1)

    def lines_for(self, width: int, height: int) -> Sequence[Line]:
        """What to show in `width` x `height` cells, from top to bottom; may be fewer lines."""
        raise NotImplementedError

    def update_lines(self) -> None:
        """Repaint what differs from what was painted last."""
        width, height = self.size
        if self._painted_size != (width, height):
            self.refresh()
            return
        old, self._painted = self._painted, self._padded(width, height)
        regions: list[Region] = []
        for y, (before, after) in enumerate(zip(old, self._painted, strict=True)):
            span = changed_span(before, after, width)
            if span is not None and span[1] > span[0]:
                regions.append(Region(span[0], y, span[1] - span[0], 1))
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """Draw one line; see `textual.widget.Widget.render_line`."""
        width, height = self.size
        if self._painted_size != (width, height):
            self._painted, self._painted_size = self._padded(width, height), (width, height)
        return strip_of(self, self._painted[y] if y < height else BLANK, width)

    def _padded(self, width: int, height: int) -> list[Line]:
        lines = [cut(line, width, ascii=self.ascii) for line in self.lines_for(width, height)[:height]]
        return lines + [BLANK] * (height - len(lines))
