"""A screen around a table whose rows are sorted, filtered and marked by the same keys everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import getters, on
from textual.widget import Widget

from tui.desk import Desk
from tui.present.filtering import Order
from tui.screens.base import SnapshotScreen
from tui.screens.dialogs import ChoiceDialog
from tui.screens.filter_line import FilterLine
from tui.widgets.line_table import Column, LineTable

__all__ = ["TableScreen"]


class TableScreen(SnapshotScreen):
    """The table is `#table`; who derives says what is sorted by what, and keeps order and filter."""

    sortable: ClassVar[frozenset[str]] = frozenset()
    """Keys of the columns that can sort."""
    falling_first: ClassVar[frozenset[str]] = frozenset()
    """Those of them that begin with the largest."""
    unsorted: ClassVar[str] = ""
    """What the order is called in which the rows come."""

    table = getters.query_one("#table", LineTable)
    filter_line = getters.query_one("#filter", FilterLine)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.columns: tuple[Column, ...] = ()

    @property
    def order(self) -> Order:
        """The column that sorts."""
        raise NotImplementedError

    @order.setter
    def order(self, order: Order) -> None:
        raise NotImplementedError

    @property
    def needle(self) -> str:
        """The filter."""
        raise NotImplementedError

    @needle.setter
    def needle(self, needle: str) -> None:
        raise NotImplementedError

    def compose_over(self) -> Iterable[Widget]:
        """The line that a filter is typed into."""
        yield FilterLine(id="filter")

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Show these columns, and which one sorts."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self.table.set_columns(self.columns)
        self.table.show_sort(self.order.column, self.order.descending)

    @on(LineTable.HeaderClicked, "#table")
    def _header_clicked(self, event: LineTable.HeaderClicked) -> None:
        self._sort_by(event.column)

    def _sort_by(self, column: str) -> None:
        """Sort by a column; the same column again turns the order round."""
        if column not in self.sortable:
            return
        descending = not self.order.descending if column == self.order.column else column in self.falling_first
        self.order = Order(column, descending)
        self.show()

    def do_sort(self) -> None:
        """Choose the column to sort by."""
        choices = [("", self.unsorted)]
        choices += [(column.key, column.title) for column in self.columns if column.key in self.sortable]

        def chosen(key: str | None) -> None:
            if key == "":
                self.order = Order()
                self.show()
            elif key is not None:
                self._sort_by(key)

        self.app.push_screen(ChoiceDialog("Sort by", choices, self.order.column), chosen)

    def do_reverse_sort(self) -> None:
        """Turn the order round."""
        self.order = Order(self.order.column, not self.order.descending)
        self.show()

    def do_mark(self) -> None:
        """Mark the row; what is marked is what an action is for."""
        self.table.toggle_mark()

    def do_filter(self) -> None:
        """Type a filter; it works while it is typed."""
        self.filter_line.open(self.needle)

    def do_clear_filter(self) -> None:
        """Show every row."""
        self.filter_line.close("")

    @on(FilterLine.Changed)
    def _filter_changed(self, event: FilterLine.Changed) -> None:
        self.needle = event.needle
        self.show()

    @on(FilterLine.Closed)
    def _filter_closed(self, event: FilterLine.Closed) -> None:
        self.table.focus()
