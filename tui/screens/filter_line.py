"""A line to type a filter or a search into; it takes the footer's place while it is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

__all__ = ["FilterLine"]


class FilterLine(Horizontal):
    """`/` and what is typed after it. Enter keeps it and gives the keys back, Esc clears it.

    Args:
        hint: shown while nothing is typed.
    """

    DEFAULT_CSS = """
    FilterLine {
        dock: bottom; height: 1; display: none; background: $panel;
        & > .filter-sign { width: 2; color: $accent; text-style: bold; }
        & > .filter-count { width: auto; color: $text-muted; &:ansi { text-style: dim; } }
        & > Input, & > Input:focus { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "clear", show=False),
        Binding("up,down", "keep", "keep", show=False),
    ]

    @dataclass
    class Changed(Message):
        """Another text was typed."""

        needle: str

    @dataclass
    class Closed(Message):
        """The line was left; the keys belong to the screen again."""

        needle: str

    field = getters.query_one(Input)
    count = getters.query_one(".filter-count", Static)

    def __init__(self, hint: str = "text, or !text for rows without it", id: str | None = None) -> None:
        super().__init__(id=id)
        self._hint = hint

    def compose(self) -> ComposeResult:
        """The sign, the field, the count."""
        yield Static("/", classes="filter-sign", markup=False)
        yield Input(placeholder=self._hint, compact=True, select_on_focus=False)
        yield Static("", classes="filter-count", markup=False)

    def open(self, needle: str) -> None:
        """Show the line with a text to go on from."""
        self.display = True
        self.field.value = needle
        self.field.focus()

    def close(self, needle: str) -> None:
        """Hide the line and leave this text as the result."""
        if self.field.value != needle:
            self.field.value = needle
        self.post_message(self.Changed(needle))
        self.display = False
        self.post_message(self.Closed(needle))

    def show_count(self, matches: int, total: int) -> None:
        """Say how many match; nothing is painted while the line is closed."""
        if self.display:
            self.count.update(f" {matches} of {total} ")

    def show_hits(self, hits: int | None) -> None:
        """Say how many lines hold the text; `None` where there is no text."""
        self.count.update("" if hits is None else f" {hits} {'line' if hits == 1 else 'lines'} ")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.close(event.value)

    def action_keep(self) -> None:
        """Leave the line with what is typed."""
        self.close(self.field.value)

    def action_clear(self) -> None:
        """Leave the line without a text."""
        self.close("")
