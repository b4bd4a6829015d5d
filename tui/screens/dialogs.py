"""Questions over a screen: choose one of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.screens.painting import leave_old_size

__all__ = ["ChoiceDialog"]


class ChoiceDialog(ModalScreen[str | None]):
    """Choose one of several by arrows and Enter; Esc chooses none.

    Args:
        title: what is chosen.
        choices: (key, text) from top to bottom; texts are never read as markup.
        current: key of the choice that holds now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]
    DEFAULT_CSS = """
    ChoiceDialog {
        align: center middle;
        & > Vertical {
            width: auto; height: auto; max-height: 90%; border: round $primary; padding: 0 1; background: $surface;
            border-title-color: $foreground;
        }
        & OptionList, & OptionList:focus {
            width: auto; min-width: 30; height: auto; border: none; padding: 0; background: $surface;
        }
    }
    """

    def __init__(self, title: str, choices: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._current = current

    def compose(self) -> ComposeResult:
        """A frame with the list in it."""
        with Vertical() as frame:
            frame.border_title = Content(self._title)
            yield OptionList(*(Option(Content(text), id=f"choice-{n}") for n, (_, text) in enumerate(self._choices)))

    def on_mount(self) -> None:
        """Begin at what holds now."""
        options = self.query_one(OptionList)
        keys = [key for key, _ in self._choices]
        options.highlighted = keys.index(self._current) if self._current in keys else 0
        options.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])

    def on_resize(self, event: events.Resize) -> None:
        """Fit the terminal as it is now."""
        leave_old_size(self, event)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def action_down(self) -> None:
        """The next choice."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """The choice before."""
        self.query_one(OptionList).action_cursor_up()
