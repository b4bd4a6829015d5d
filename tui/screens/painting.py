"""From pure descriptions to widgets."""

from __future__ import annotations

from textual.widget import Widget

from tui.present.charts import Picture
from tui.widgets.chart import Chart

__all__ = ["paint_chart", "set_display", "set_height"]


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
