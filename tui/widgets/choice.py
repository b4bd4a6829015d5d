"""A field that holds one of a few values; Space and the arrows change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

__all__ = ["Choice"]

_SWITCH = ("off", "on")


class Choice(Widget, can_focus=True):
    """One of a few values in one line: `[x] on` for a switch, `< REJECT >` for anything else.

    Args:
        options: what it can hold; ("off", "on") makes a switch.
        value: what it holds at the beginning, one of `options`.
    """

    DEFAULT_CSS = """
    Choice {
        width: auto; height: 1;
        &:focus { text-style: reverse; }
        &:disabled { color: $text-muted; &:ansi { text-style: dim; } }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,right", "step(1)", "change", show=False),
        Binding("left", "step(-1)", "change", show=False),
    ]
    ALLOW_SELECT = False

    @dataclass
    class Changed(Message):
        """Another value was chosen."""

        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            """The field, so that handlers can select by its id."""
            return self.choice

    def __init__(self, options: Sequence[str], value: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._options = tuple(options)
        self._value = value

    @property
    def value(self) -> str:
        """What it holds."""
        return self._value

    def hold(self, value: str) -> None:
        """Hold another value; tells about it where it differs."""
        if value != self._value:
            self._value = value
            self.refresh(layout=True)
            self.post_message(self.Changed(self, value))

    def action_step(self, step: int) -> None:
        """The next value, or the one before."""
        place = self._options.index(self._value) + step
        self.hold(self._options[place % len(self._options)])

    def on_click(self, event: events.Click) -> None:
        """A click is a step."""
        event.stop()
        self.action_step(1)

    def render(self) -> RenderResult:
        """The value between brackets, so that its kind shows without a colour."""
        if self._options == _SWITCH:
            return Content(f"[{'x' if self._value == _SWITCH[1] else ' '}] {self._value}")
        return Content(f"< {self._value} >")
