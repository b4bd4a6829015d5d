"""A screen of text that is scrolled and searched: sections, a configuration, events, help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import getters, on
from textual.widget import Widget

from tui.desk import Desk
from tui.screens.base import SnapshotScreen
from tui.screens.filter_line import FilterLine
from tui.widgets.lines import Line, LinesView

__all__ = ["TextScreen"]


class TextScreen(SnapshotScreen):
    """Shows `page()` below the header; `/` searches it."""

    header_share: ClassVar[int] = 6
    empty: ClassVar[str] = ""

    text = getters.query_one("#page", LinesView)
    filter_line = getters.query_one("#filter", FilterLine)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._hits = 0

    def compose_body(self) -> Iterable[Widget]:
        """What is above the page, and the page."""
        yield from self.compose_above()
        yield LinesView(id="page", ascii=self.desk.settings.ascii, empty=self.empty)

    def compose_over(self) -> Iterable[Widget]:
        """The line that a text to search for is typed into."""
        yield FilterLine("text to search for", id="filter")

    def compose_above(self) -> Iterable[Widget]:
        """Widgets between the header and the page."""
        return ()

    def on_mount(self) -> None:
        """The page has the keys."""
        self.text.focus()

    def page(self, width: int) -> Sequence[Line]:
        """The lines to show at a width."""
        raise NotImplementedError

    def show_body(self) -> None:
        """Paint the page; what did not change is not painted again."""
        self.text.show(self.page(max(20, self.size.width - 3)))

    def do_search(self) -> None:
        """Type a text to search for."""
        self.filter_line.open("")

    def do_next_hit(self) -> None:
        """The next line with the searched text."""
        self.text.next_match()

    def do_previous_hit(self) -> None:
        """The line with the searched text before this one."""
        self.text.next_match(-1)

    @on(FilterLine.Changed)
    def _search_changed(self, event: FilterLine.Changed) -> None:
        self._hits = self.text.search(event.needle)
        self.filter_line.show_hits(self._hits if event.needle else None)

    @on(FilterLine.Closed)
    def _search_closed(self, event: FilterLine.Closed) -> None:
        self.text.focus()
