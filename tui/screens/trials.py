"""Every trial that is known, with what it did and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.keys import Place, bindings_for
from tui.present.trial import trial_page
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["TrialsScreen"]


class TrialsScreen(TextScreen):
    """The cards, one below the other."""

    place = Place.TRIALS
    empty = "no trial: ^T in the batching editor begins one"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.TRIALS)

    def page(self, width: int) -> Sequence[Line]:
        """The newest Snapshot's, since a trial goes on while the picture is held."""
        return trial_page(self.desk.latest, width, self.desk.look)
