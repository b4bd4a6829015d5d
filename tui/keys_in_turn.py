"""One key after the other: the next one is handed on once the one before has had its effect.

Textual sends a key to whatever has the focus when the key is read. Keys that are read together, as a
laggy SSH link delivers them, are then sent before the first of them has opened its dialog: they go to
the view below it, where they mean something else, or to nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key
from textual.message_pump import MessagePump
from textual.timer import Timer

__all__ = ["KeysInTurn"]

LONGEST_S = 1.0
"""A key whose way cannot be followed to its end, as where the widget that got it is gone, holds up no other."""


class KeysInTurn:
    """The keys of one App that wait for their turn.

    A key goes from the widget with the focus upwards to the App, through a queue at every step. A
    callback that is sent the same way behind it arrives after it, and is then sent through a screen
    that the key has opened: behind its mounting, and behind the focus that it gives.

    Args:
        app: whose keys these are.
        hand_on: gives one to Textual.
    """

    def __init__(self, app: App[object], hand_on: Callable[[Key], Awaitable[None]]) -> None:
        self._app = app
        self._hand_on = hand_on
        self._waiting: deque[Key] = deque()
        self._number = 0
        """Of the key that is under way."""
        self._under_way = False
        self._limit: Timer | None = None

    async def typed(self, key: Key) -> None:
        """Take the next key."""
        self._waiting.append(key)
        if not self._under_way:
            await self._next(self._number)

    async def _next(self, after: int) -> None:
        """Hand the next key on, unless that was done for the key `after` already."""
        if after != self._number:
            return
        if self._limit is not None:
            self._limit.stop()
        self._number += 1
        self._under_way = bool(self._waiting)
        if self._under_way:
            number = self._number
            self._limit = self._app.set_timer(LONGEST_S, lambda: self._next(number))
            way = (self._app.focused or self._app.screen).ancestors_with_self
            await self._hand_on(self._waiting.popleft())
            self._follow(way, number)

    def _follow(self, way: Sequence[DOMNode], number: int) -> None:
        """Go where the key goes, one step behind it; a step that is gone is left out."""
        for place, step in enumerate(way):
            if _send(step, self._follow, way[place + 1 :], number):
                return
        if not _send(self._app.screen, self._opened, number):
            self._opened(number)

    def _opened(self, number: int) -> None:
        """The screen in front is there, with the focus on its way."""
        self._app.call_later(self._next, number)


def _send(pump: MessagePump, callback: Callable[..., None], *arguments: object) -> bool:
    return pump.is_running and pump.call_later(callback, *arguments)
