"""A log to scroll through: only the lines in view are drawn, and new ones come in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tritop.logs import LogFilter, LogLine
from tui.present.lines import Piece, rule
from tui.present.log_rows import LogRows, begins_error, holding
from tui.present.logs import LEVEL_TONES, columns_of, lead, marked
from tui.present.look import Look
from tui.widgets.painting import strip_of
from tui.widgets.text_lines import BLANK
from tui.widgets.tones import TONE_CLASSES, TONE_CSS

__all__ = ["LogView"]

PAN_CELLS = 8
LEAST_ROOM = 10
"""Cells to wrap a text to at least; less is no text any more."""


class LogView(ScrollView, can_focus=True, inherit_bindings=False):
    """Follows the end of a log while the end is in view; scrolling up holds it.

    Args:
        look: signs to draw with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("left", f"pan(-{PAN_CELLS})", "left", show=False),
        Binding("right", f"pan({PAN_CELLS})", "right", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home,g", "scroll_home", "top", show=False),
        Binding("end,G", "scroll_end", "bottom", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES, "tone--match", "log-view--hit"}
    DEFAULT_CSS = f"""
    LogView {{
        height: 1fr;
        overflow-y: scroll;
        scrollbar-size: 0 1;
        {TONE_CSS}
        & > .tone--match {{ background: $warning; color: $background; }}
        & > .log-view--hit {{ background: $primary 30%; }}
        &:ansi > .tone--match {{ text-style: reverse; }}
        &:ansi > .log-view--hit {{ text-style: bold; }}
    }}
    """
    ALLOW_SELECT = False

    class Moved(Message):
        """Other lines are in view, or the end is followed or not any more."""

        def can_replace(self, message: Message) -> bool:
            """One is as good as many."""
            return isinstance(message, LogView.Moved)

    def __init__(self, look: Look, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = LogRows(ascii=look.ascii)
        self.wrapped = False
        self.following = True
        self._look = look
        self._needle = ""
        self._hit: int | None = None
        """Number of the line that was jumped to."""

    def extend(self, lines: Sequence[LogLine]) -> None:
        """Show more lines below."""
        if not lines:
            return
        before = self.rows.row_count
        gone = self.rows.extend(lines)
        if gone and self._hit is not None:
            self._hit = max(0, self._hit - gone) if not self.wrapped else None
        self._resize(gone)
        top = round(self.scroll_offset.y)
        if self.following or gone or before < top + self.size.height:
            self.refresh()

    def choose(self, wanted: LogFilter) -> None:
        """Show other lines; the line at the top of the view stays near where it is."""
        anchor = self._top_line()
        self.rows.choose(wanted)
        self._hit = None
        self._resize()
        self._return_to(anchor)

    def wrap(self, wrapped: bool) -> None:
        """Wrap long lines, or cut them and let them be panned."""
        anchor = self._top_line()
        self.wrapped = wrapped
        self._lay_out()
        self._return_to(anchor)

    def search(self, needle: str) -> int:
        """Mark a text wherever it stands, and go to the line with it that is nearest above the end of the view.

        Returns:
            How many lines hold it.
        """
        self._needle = needle
        self._hit = None
        hits = self.rows.hits(needle)
        if hits:
            self._go(self.rows.find(holding(needle), self._bottom_line(), -1))
        self.refresh()
        return hits

    def next_match(self, step: int) -> None:
        """The next line with the searched text, or with -1 the one before; goes round."""
        if self._needle:
            self._step(holding(self._needle), step)

    def next_error(self, step: int) -> bool:
        """The next error, or with -1 the one before; from the followed end the newest. Whether there is any."""
        return self._step(begins_error, step)

    def follow(self) -> None:
        """To the end, and on with it."""
        self._hit = None
        self.following = True
        self._resize()
        self.refresh()
        self.post_message(self.Moved())

    @property
    def below(self) -> int:
        """Lines below those in view."""
        return max(0, len(self.rows) - 1 - self._bottom_line()) if len(self.rows) else 0

    def action_pan(self, cells: int) -> None:
        """Move the texts sideways; what stands before them stays."""
        if not self.wrapped:
            self.scroll_to(x=max(0, self.scroll_offset.x + cells), animate=False)

    def action_scroll_end(self) -> None:
        """To the end, and on with it."""
        self.follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow while the end is in view."""
        super().watch_scroll_y(old_value, new_value)
        following = round(new_value) >= self.max_scroll_y
        if following != self.following or round(old_value) != round(new_value):
            self.following = following
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Wrap to the new width, and stay where the view was."""
        anchor = None if self.following else self._top_line()
        self._lay_out()
        if anchor is not None:
            self._return_to(anchor)

    def render_line(self, y: int) -> Strip:
        """Draw one row; see `textual.widget.Widget.render_line`."""
        left, top = self.scroll_offset
        width = self.scrollable_content_region.width
        row = y + top
        if row >= self.rows.row_count:
            return strip_of(self, BLANK, width)
        index, line, part = self.rows.at(row)
        if line.note:
            text = rule([Piece(self.rows.text(line), "accent")], width, self._look.glyphs.horizontal)
            return strip_of(self, text if part == 0 else BLANK, width)
        columns = columns_of(width)
        found = ("log-view--hit",) if index == self._hit else ()
        before = lead(line if part == 0 else line._replace(head=False), columns, self._look)
        tone = LEVEL_TONES.get(line.level, "")
        text = marked(self.rows.parts(line)[part], tone, self._needle)
        room = max(0, width - columns.cells)
        drawn = strip_of(self, text, left + max(room, 1), *found) if not self.wrapped else None
        body = drawn.crop(left, left + room) if drawn is not None else strip_of(self, text, room, *found)
        return Strip.join((strip_of(self, before, min(width, columns.cells), *found), body))

    def _step(self, holds: Callable[[LogLine], bool], step: int) -> bool:
        if not len(self.rows):
            return False
        if self._hit is not None:
            begin = self._hit + step
        elif self.following:
            begin, step = len(self.rows) - 1, -1
        else:
            begin = self._top_line() if step > 0 else self._bottom_line()
        return self._go(self.rows.find(holds, begin, step))

    def _go(self, index: int | None) -> bool:
        """Put a line into the view, a third below its top, unless it is in view."""
        if index is None:
            return False
        self._hit = index
        top, height = round(self.scroll_offset.y), max(1, self.size.height)
        row = self.rows.row_of(index)
        if not top <= row < top + height:
            self.scroll_to(y=max(0, row - height // 3), animate=False, force=True, immediate=True)
        self.following = round(self.scroll_offset.y) >= self.max_scroll_y
        self.refresh()
        self.post_message(self.Moved())
        return True

    def _top_line(self) -> int:
        row = min(round(self.scroll_offset.y), self.rows.row_count - 1)
        return self.rows.line_at(row) if row >= 0 else 0

    def _bottom_line(self) -> int:
        row = min(round(self.scroll_offset.y) + max(1, self.size.height) - 1, self.rows.row_count - 1)
        return self.rows.line_at(row) if row >= 0 else 0

    def _return_to(self, line: int) -> None:
        if not self.following:
            row = self.rows.row_of(min(line, max(0, len(self.rows) - 1)))
            self.scroll_to(y=row, animate=False, force=True, immediate=True)
        self.refresh()
        self.post_message(self.Moved())

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        room = max(LEAST_ROOM, width - columns_of(width).cells) if self.wrapped else 0
        if self.rows.lay_out(room):
            self._hit = None
        self._resize()

    def _resize(self, gone: int = 0) -> None:
        """Take the number of rows over into the scrollbar, and keep the view at the end or at its lines."""
        width = self.scrollable_content_region.width
        widest = 0 if self.wrapped else columns_of(width).cells + self.rows.widest
        size = Size(widest, self.rows.row_count)
        following, top = self.following, round(self.scroll_offset.y)
        if size != self.virtual_size:
            self.virtual_size = size
        if following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True, immediate=True)
        elif gone:
            self.scroll_to(y=max(0, top - gone), animate=False, force=True, immediate=True)
        self.following = following
