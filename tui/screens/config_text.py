"""The running configuration of the selected model as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.keys import Place, bindings_for
from tui.present.config_text import config_lines
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["ConfigScreen"]


class ConfigScreen(TextScreen):
    """The configuration that the server runs, which need not be the one on its disk."""

    place = Place.CONFIG
    empty = "the configuration has not been read"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.CONFIG)

    def page(self, width: int) -> Sequence[Line]:
        """The text, with its comments and keys told apart."""
        _, model = self.desk.subject()
        return () if model is None else config_lines(model, self.desk.look)
