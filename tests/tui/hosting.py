"""A widget alone on a screen, and what it would draw, for tests that need no app of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget

WidgetT = TypeVar("WidgetT", bound=Widget)


class HostApp(App[None]):
    """An app that holds one widget and keeps every message that the widget posts."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, widget: Widget, theme: str) -> None:
        super().__init__()
        self._widget = widget
        self.theme = theme

    def compose(self) -> ComposeResult:
        yield self._widget


def host(
    widget: WidgetT,
    steps: Callable[[WidgetT, Pilot[None]], Awaitable[None]],
    width: int = 80,
    height: int = 24,
    *,
    theme: str = "textual-dark",
) -> list[Message]:
    """Run an app with nothing but the widget in it, and run `steps` on it.

    Returns:
        The messages of classes nested in the widget's own class, in order.
    """
    kept: list[Message] = []
    own = {value for value in vars(type(widget)).values() if isinstance(value, type)}

    def keep(message: Message) -> None:
        # A message comes by once more for every node that it bubbles to.
        if type(message) in own and not any(message is other for other in kept):
            kept.append(message)

    async def run() -> None:
        app = HostApp(widget, theme)
        async with app.run_test(size=(width, height), message_hook=keep) as pilot:
            await steps(widget, pilot)

    asyncio.run(run())
    return kept


def drawn(widget: Widget) -> list[str]:
    """The text of every visible line of a widget, trailing spaces removed."""
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


async def repainted(widget: Widget, change: Callable[[], None], pilot: Pilot[None]) -> list[Region]:
    """The regions of a widget that a change makes Textual send again.

    They are taken from the widget just before the screen would collect them.
    """
    await pilot.pause()
    widget._exchange_repaint_regions()  # what earlier changes left behind
    change()
    return sorted(widget._repaint_regions, key=lambda region: (region.y, region.x))
