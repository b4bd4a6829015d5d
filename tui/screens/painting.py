"""From pure descriptions to widgets."""

from __future__ import annotations

from tui.present.charts import Picture
from tui.widgets.chart import Chart

__all__ = ["paint_chart"]


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
        tone=picture.tone,
    )
