"""From pure descriptions to widgets."""

from __future__ import annotations

from typing import TypeVar

from textual import events
from textual.screen import Screen
from textual.widget import Widget

from tui.present.charts import Picture
from tui.widgets.chart import Chart

__all__ = ["leave_old_size", "paint_chart", "set_display", "set_height"]

ResultT = TypeVar("ResultT")


def leave_old_size(screen: Screen[ResultT], event: events.Resize) -> bool:
    """Keep a screen from laying itself out for a size that the terminal no longer has.

    A screen posts each size that it takes on to itself. Two sizes on their way at once so bring each other
    about again, and the screen goes back and forth between them for ever, without a picture.

    Returns:
        Whether the size is old.
    """
    old = event.size != screen.app.size
    if old:
        event.prevent_default()
    return old


def paint_chart(chart: Chart, picture: Picture) -> None:
    """Show a picture on a chart."""
    chart.show(
        picture.values,
        title=picture.title,
        value=picture.value,
        maximum=picture.maximum,
        scale=picture.scale,
        marks=picture.marks,
        newest=picture.newest,
    )


def set_height(widget: Widget, lines: int) -> None:
    """Give a widget a height; set only where it changes, for each set lays out again."""
    if widget.styles.height is None or widget.styles.height.value != lines:
        widget.styles.height = lines


def set_display(widget: Widget, shown: bool) -> None:
    """Show or hide a widget; set only where it changes, for each set lays out again."""
    if widget.display != shown:
        widget.display = shown
