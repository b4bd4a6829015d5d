"""One server: sources with their age and fault, launch, extensions, memory, GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.keys import Place, bindings_for
from tui.present.server_page import server_lines
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["ServerScreen"]


class ServerScreen(TextScreen):
    """The server of the selected row."""

    place = Place.SERVER
    empty = "no server is known yet"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.SERVER)

    def page(self, width: int) -> Sequence[Line]:
        """All that is known about the server."""
        server, _ = self.desk.subject()
        return () if server is None else server_lines(self.desk.shown, server, width, self.desk.look)
