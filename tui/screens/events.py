"""The ledger: everything that happened, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.keys import Place, bindings_for
from tui.present.events import ledger_lines
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["EventsScreen"]


class EventsScreen(TextScreen):
    """Loads, reloads, restarts, failures and what the operator did."""

    place = Place.EVENTS
    empty = "nothing has happened yet"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.EVENTS)

    def page(self, width: int) -> Sequence[Line]:
        """One line for each event."""
        return ledger_lines(self.desk.shown, width, self.desk.look)
