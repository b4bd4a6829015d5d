"""A dialog that goes on taking Snapshots while it lies over a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textual import events
from textual.screen import ModalScreen

from tui.desk import Desk
from tui.present.look import Look
from tui.screens.painting import leave_old_size

if TYPE_CHECKING:
    from tui.app import TritopApp

__all__ = ["LiveDialog"]

ResultT = TypeVar("ResultT")


class LiveDialog(ModalScreen[ResultT]):
    """Modal: the keys of the screen below and of the App do nothing while it is open.

    Args:
        desk: what every screen works on.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(classes="ascii" if desk.settings.ascii else None)
        self.desk = desk

    @property
    def look(self) -> Look:
        """Characters to draw with."""
        return self.desk.look

    @property
    def tritop(self) -> TritopApp:
        """The App, by its own type."""
        from tui.app import TritopApp

        assert isinstance(self.app, TritopApp)
        return self.app

    def show_body(self) -> None:
        """Paint what the newest Snapshot says; called for each, and for each new size."""

    def show(self) -> None:
        """Paint the newest Snapshot, unless another screen is in front."""
        if self.is_current and self.is_mounted and self.size.width:
            self.show_body()

    def on_screen_resume(self) -> None:
        """Catch up with what came while another screen was in front."""
        self.call_after_refresh(self.show)

    def on_resize(self, event: events.Resize) -> None:
        """Paint for the new size."""
        if not leave_old_size(self, event):
            self.call_after_refresh(self.show)
