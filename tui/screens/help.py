"""The help, made from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.keys import Place, bindings_for
from tui.present.help import help_lines
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["HelpScreen"]


class HelpScreen(TextScreen):
    """Keys, words and signs."""

    place = Place.HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(Place.HELP),
        Binding("escape,question_mark,f1", "do('back')", show=False),
    ]

    def page(self, width: int) -> Sequence[Line]:
        """The page at this width."""
        return help_lines(width, self.desk.look)
