"""A table that repaints the cells that changed and nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.format import fit
from tui.glyphs import glyphs
from tui.widgets.painting import strip_of
from tui.widgets.selection import Selection
from tui.widgets.table_layout import Column, Row, column_at, header_line, place, row_line
from tui.widgets.text_lines import BLANK, Line, changed_span, cut
from tui.widgets.tones import TONE_CLASSES, TONE_CSS

__all__ = ["Column", "LineTable", "Row"]

HEADER = 1
"""Lines above the rows."""
_NO_COMPONENTS: tuple[str, ...] = ()
_Painted = tuple[Line, tuple[str, ...]]
"""A line and the component classes under it."""


class LineTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a fixed header, with a cursor that stays on its row when the order changes.

    Only visible rows are ever formatted into lines, so thousands of rows cost what a screenful
    costs. A row that vanishes under the cursor leaves it at the same place.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "move_page(-1)", "page up", show=False),
        Binding("pagedown", "move_page(1)", "page down", show=False),
        Binding("home,g", "move_to_end(False)", "top", show=False),
        Binding("end,G", "move_to_end(True)", "bottom", show=False),
        Binding("enter", "choose", "open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES, "line-table--header", "line-table--cursor"}
    DEFAULT_CSS = f"""
    LineTable {{
        width: 1fr;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size: 0 1;
        {TONE_CSS}
        & > .line-table--header {{ color: $text-muted; text-style: bold; }}
        & > .line-table--cursor {{ background: $primary 20%; text-style: bold; }}
        &:focus > .line-table--cursor {{ background: $primary 40%; }}
        &:ansi > .line-table--header {{ color: $text; text-style: bold; }}
        &:ansi > .line-table--cursor {{ background: transparent; text-style: bold; }}
        &:ansi:focus > .line-table--cursor {{ text-style: bold reverse; }}
        &.-ascii {{ scrollbar-size: 0 0; }}
    }}
    """
    ALLOW_SELECT = False

    @dataclass
    class CursorMoved(Message):
        """The cursor was put on another row, or on none; by the time this is handled it may be elsewhere again."""

        table: LineTable
        key: Hashable | None

        def can_replace(self, message: Message) -> bool:
            """Of several moves in a row only the last is told."""
            return isinstance(message, LineTable.CursorMoved)

        @property
        def control(self) -> LineTable:
            """The table, for `@on(..., selector)`."""
            return self.table

    @dataclass
    class Chosen(Message):
        """Enter or a double click on a row."""

        table: LineTable
        key: Hashable

        @property
        def control(self) -> LineTable:
            """The table, for `@on(..., selector)`."""
            return self.table

    @dataclass
    class HeaderClicked(Message):
        """A click on the title of a column."""

        table: LineTable
        column: str

        @property
        def control(self) -> LineTable:
            """The table, for `@on(..., selector)`."""
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        ascii: bool = False,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.set_class(ascii, "-ascii")
        self._columns = tuple(columns)
        self._ascii = ascii
        self._glyphs = glyphs(ascii)
        self._empty = empty
        self._sort: tuple[str, bool] | None = None
        self._selection = Selection()
        self._painted: dict[int, _Painted] = {}
        self._painted_for = (-1, -1)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows in their order."""
        return self._selection.rows

    @property
    def cursor_key(self) -> Hashable | None:
        """Key of the row under the cursor, `None` where there are no rows."""
        return self._selection.key

    @property
    def marked(self) -> frozenset[Hashable]:
        """Keys of the marked rows."""
        return self._selection.marked

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows in this order; their keys are unique."""
        was_visible, before = self._cursor_is_visible(), self.cursor_key
        self._selection.replace(rows)
        size = Size(0, len(self.rows) + HEADER)
        if size != self.virtual_size:
            self.virtual_size = size
        self._cursor_may_have_moved(before, follow=was_visible)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns; rows shown before must be shown again to fit them."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._painted.clear()
            self.refresh()

    def set_empty(self, text: str) -> None:
        """Say something else where there are no rows; may have several lines."""
        if text != self._empty:
            self._empty = text
            self._refresh_changed()

    def show_sort(self, key: str, descending: bool) -> None:
        """Mark the column that the rows are sorted by."""
        if self._sort != (key, descending):
            self._sort = (key, descending)
            self._refresh_changed()

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on the row with this key; returns whether there is one."""
        before = self.cursor_key
        found = self._selection.move_to(key)
        if found:
            self._cursor_may_have_moved(before, follow=True)
        return found

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""
        self._selection.toggle_mark()
        self._refresh_changed()

    def clear_marks(self) -> None:
        """Unmark every row."""
        self._selection.marked = frozenset()
        self._refresh_changed()

    def action_move(self, lines: int) -> None:
        """Move the cursor by some lines."""
        if self.rows:
            self.move_to(self.rows[max(0, min(len(self.rows) - 1, self._selection.place + lines))].key)

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by some screenfuls."""
        self.action_move(pages * max(1, self._body_height() - 1))

    def action_move_to_end(self, bottom: bool) -> None:
        """Move the cursor to the first row or to the last."""
        self.action_move(len(self.rows) if bottom else -len(self.rows))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.cursor_key is not None:
            self.post_message(self.Chosen(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor, choose a row with a double click, or name a column."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < HEADER:
            column = column_at(place(self._columns, self._look_again().width), offset.x)
            if column is not None:
                self.post_message(self.HeaderClicked(self, column))
            return
        index = offset.y - HEADER + self.scroll_offset.y
        if index < len(self.rows):
            self.move_to(self.rows[index].key)
            if event.chain == 2:
                self.action_choose()

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self._scroll_to_cursor()

    def render_line(self, y: int) -> Strip:
        """Draw one line; see `textual.widget.Widget.render_line`."""
        width = self._look_again().width
        line, components = self._painted.get(y) or self._painted.setdefault(y, self._line_at(y, width))
        return strip_of(self, line, width, *components)

    def _look_again(self) -> Size:
        """Forget the painted lines where they are for another part of the rows or another width.

        Returns:
            Cells for the lines; `size` would count the scrollbar as well.
        """
        view = self.scrollable_content_region.size
        if self._painted_for != (self.scroll_offset.y, view.width):
            self._painted_for = (self.scroll_offset.y, view.width)
            self._painted.clear()
        return view

    def _line_at(self, y: int, width: int) -> _Painted:
        """What stands at line `y` of the widget."""
        places = place(self._columns, width)
        if y < HEADER:
            text = header_line(places, self._sort, self._glyphs, ascii=self._ascii)
            return ((fit(text, width, ascii=self._ascii), ""),), ("line-table--header",)
        if not self.rows:
            said = self._empty.splitlines()
            text = "  " + said[y - HEADER] if y - HEADER < len(said) else ""
            return cut(((text, "dim"),), width, ascii=self._ascii), _NO_COMPONENTS
        index = y - HEADER + self.scroll_offset.y
        if index >= len(self.rows):
            return BLANK, _NO_COMPONENTS
        row = self.rows[index]
        under_cursor = row.key == self.cursor_key
        lead = (self._glyphs.cursor if under_cursor else " ") + (self._glyphs.mark if row.key in self.marked else " ")
        line = row_line(places, row, lead, ascii=self._ascii)
        return line, ("line-table--cursor",) if under_cursor else _NO_COMPONENTS

    def _refresh_changed(self) -> None:
        """Repaint the cells of the visible lines that differ from what was drawn last."""
        width = self._look_again().width
        regions: list[Region] = []
        for y, old in self._painted.items():  # a line that was never drawn is going to be
            new = self._painted[y] = self._line_at(y, width)
            span = changed_span(old[0], new[0], width) if old[1] == new[1] else (0, width)
            if span is not None:
                regions.append(Region(span[0], y, span[1] - span[0], 1))
        if regions:
            self.refresh(*regions)

    def _body_height(self) -> int:
        return max(0, self.scrollable_content_region.height - HEADER)

    def _cursor_is_visible(self) -> bool:
        return 0 <= self._selection.place - self.scroll_offset.y < self._body_height()

    def _cursor_may_have_moved(self, before: Hashable | None, *, follow: bool) -> None:
        if self.cursor_key != before:
            self.post_message(self.CursorMoved(self, self.cursor_key))
        if follow:
            self._scroll_to_cursor()
        self._refresh_changed()

    def _scroll_to_cursor(self) -> None:
        place, top, body = self._selection.place, self.scroll_offset.y, self._body_height()
        if body > 0 and not self._cursor_is_visible():
            self.scroll_to(y=place if place < top else place - body + 1, animate=False, force=True, immediate=True)
