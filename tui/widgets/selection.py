"""The rows of a table, the one under the cursor, and the marked ones. Pure: no widget."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tui.widgets.table_layout import Row


class Selection:
    """A cursor and marks that belong to keys, not to places: they stay on their rows when the order changes."""

    def __init__(self) -> None:
        self.rows: tuple[Row, ...] = ()
        self.key: Hashable | None = None
        """Key of the row under the cursor, `None` where there are no rows."""
        self.marked: frozenset[Hashable] = frozenset()
        self._places: dict[Hashable, int] = {}

    @property
    def place(self) -> int:
        """Number of the row under the cursor, 0 where there are no rows."""
        return self._places.get(self.key, 0)

    def replace(self, rows: Sequence[Row]) -> None:
        """Take other rows; a cursor whose row is gone goes to the one that has its place now."""
        before = self.place
        self.rows = tuple(rows)
        self._places = {row.key: place for place, row in enumerate(self.rows)}
        self.marked &= self._places.keys()
        if self.key not in self._places:
            self.key = self.rows[min(before, len(self.rows) - 1)].key if self.rows else None

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on the row with this key; returns whether there is one."""
        if key not in self._places:
            return False
        self.key = key
        return True

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor."""
        if self.key is not None:
            self.marked ^= {self.key}
