"""Lines of toned text on the screen: how they become strips, and a widget made of them.

Textual sends every dirty region again without comparing cells, so whoever wants few bytes on
the wire compares lines first and marks only the changed cells as dirty.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.text_lines import BLANK, Line, changed_span, cut, harmless
from tui.widgets.tones import style_of


def strip_of(widget: Widget, line: Line, width: int, *components: str) -> Strip:
    """Draw a line `width` cells wide in the widget's styles; see `tui.widgets.tones.style_of`."""
    styles = {tone: style_of(widget, tone, *components) for tone in {"", *(tone for _, tone in line)}}
    segments = [Segment(text, styles[tone]) for text, tone in harmless(line) if text]
    return Strip(segments).adjust_cell_length(width, styles[""])


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
