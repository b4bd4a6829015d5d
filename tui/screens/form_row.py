"""One line of a form: what it is, the field, and a note that says what may stand there or what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from tui.widgets.choice import Choice
from tui.widgets.lines import Lines

__all__ = ["FormRow", "row_of"]

TEXT_MOST = 200


class FormRow(Horizontal):
    """A field with its label and its note.

    Args:
        key: names the field.
        label: at most 18 cells.
        value: what stands in it at the beginning.
        options: what it can hold; () is a text.
        most: characters of a text.
        ascii: draw with ASCII characters only.
    """

    DEFAULT_CSS = """
    FormRow {
        height: 1;
        & > .label { width: 19; }
        & > Input, & > Input:focus { width: 15; height: 1; border: none; padding: 0; background: $panel; }
        & > Input:disabled { color: $text-muted; background: $surface; &:ansi { text-style: dim; } }
        & > Choice { min-width: 15; }
        & > .note { width: 1fr; height: 1; margin-left: 2; }
    }
    """

    note = getters.query_one(".note", Lines)

    def __init__(
        self,
        key: str,
        label: str,
        value: str,
        options: Sequence[str] = (),
        *,
        most: int = TEXT_MOST,
        ascii: bool = False,
    ) -> None:
        super().__init__(id=f"row-{key}")
        self.key = key
        self._label = label
        self._ascii = ascii
        self.field: Widget = (
            Choice(options, value, id=f"field-{key}")
            if options
            else Input(value, id=f"field-{key}", compact=True, max_length=most)
        )

    def compose(self) -> ComposeResult:
        """Label, field, note."""
        yield Static(self._label, classes="label", markup=False)
        yield self.field
        yield Lines(classes="note", ascii=self._ascii)

    @property
    def value(self) -> str:
        """What stands in the field."""
        assert isinstance(self.field, Input | Choice)
        return self.field.value

    def hold(self, value: str) -> None:
        """Put another value into the field."""
        if isinstance(self.field, Choice):
            self.field.hold(value)
        elif isinstance(self.field, Input):
            self.field.value = value

    def set_locked(self, locked: bool) -> None:
        """Let nothing be typed, or let it again."""
        if self.field.disabled != locked:
            self.field.disabled = locked

    def say(self, text: str, tone: str = "dim") -> None:
        """The note beside the field."""
        self.note.show([((text, tone),)])


def row_of(widget: Widget | None) -> FormRow | None:
    """The row that a focused field belongs to."""
    parent = widget.parent if widget is not None else None
    return parent if isinstance(parent, FormRow) else None
