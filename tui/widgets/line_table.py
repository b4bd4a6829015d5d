"""A table that repaints the lines that changed and nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from textual.message import Message
from textual.scroll_view import ScrollView


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a LineTable."""

    key: str
    title: str
    width: int
    """Cells; the least that a flexible column gets."""
    right: bool = True
    """Aligned to the right, as numbers are."""
    priority: int = 0
    """Where the width does not suffice, the column with the highest priority is left out first."""
    flex: bool = False
    """Takes the width that is left; at most one column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a LineTable."""

    key: Hashable
    cells: tuple[str, ...]
    """One for each column, formatted and clean (`tui.format.clean`)."""
    tone: str = ""
    """Look of the whole line (`tui.widgets.tones`); one look for each line keeps the bytes low."""
    accents: tuple[tuple[str, str], ...] = ()
    """(column key, tone) of cells that must stand out."""


class LineTable(ScrollView, can_focus=True):
    """Rows under a fixed header, with a cursor that stays on its row when the order changes."""

    @dataclass
    class CursorMoved(Message):
        """The cursor is on another row, or on none."""

        table: LineTable
        key: Hashable | None

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

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows in this order."""

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns; rows shown before must be shown again to fit them."""

    def set_empty(self, text: str) -> None:
        """Say something else where there are no rows; may have several lines."""

    def show_sort(self, key: str, descending: bool) -> None:
        """Mark the column that the rows are sorted by."""

    @property
    def cursor_key(self) -> Hashable | None:
        """Key of the row under the cursor, `None` where there are no rows."""
        return None

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on the row with this key; returns whether there is one."""
        return False

    @property
    def marked(self) -> frozenset[Hashable]:
        """Keys of the marked rows."""
        return frozenset()

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""

    def clear_marks(self) -> None:
        """Unmark every row."""
