"""The pane of the selected model: charts, where the time goes, batch sizes, our traffic."""

from __future__ import annotations

from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tritop.model import ModelVersion, Server, Traffic
from tui.desk import Desk
from tui.format import UNKNOWN, latency_us
from tui.present.charts import pictures
from tui.present.layout import panel_widths
from tui.present.lines import rule
from tui.present.pane import (
    batch_bars,
    batch_title,
    model_title,
    no_batches_reason,
    stage_bars,
    stage_total_us,
    traffic_line,
)
from tui.screens.painting import paint_chart
from tui.widgets.bars import Bars
from tui.widgets.chart import Chart
from tui.widgets.lines import Lines

__all__ = ["ModelPane"]

TWO_CHARTS_LEAST = 7
"""Lines below which one chart is worth more than two."""


class ModelPane(Vertical):
    """Shows one model version; `height` is given to it, widths follow from the terminal."""

    heading = getters.query_one("#pane-heading", Lines)
    traffic = getters.query_one("#pane-traffic", Lines)
    charts = getters.query_one("#pane-charts", Vertical)
    rate_chart = getters.query_one("#pane-rate", Chart)
    queue_chart = getters.query_one("#pane-queue", Chart)
    stages = getters.query_one("#pane-stages", Bars)
    batches = getters.query_one("#pane-batches", Bars)

    def __init__(self, desk: Desk, id: str | None = None) -> None:
        super().__init__(id=id)
        self._desk = desk

    def compose(self) -> ComposeResult:
        """Heading, then the panels side by side, then our traffic."""
        ascii = self._desk.settings.ascii
        yield Lines(id="pane-heading", ascii=ascii)
        with Horizontal(id="pane-panels"):
            with Vertical(id="pane-charts"):
                yield Chart(id="pane-rate", ascii=ascii)
                yield Chart(id="pane-queue", ascii=ascii)
            yield Bars(id="pane-stages", ascii=ascii)
            yield Bars(id="pane-batches", ascii=ascii)
        yield Lines(id="pane-traffic", ascii=ascii)

    def show(self, server: Server, model: ModelVersion, traffic: Traffic | None, width: int, height: int) -> None:
        """Paint one model.

        Args:
            server: its server.
            model: the model version.
            traffic: our traffic to it.
            width: cells of the terminal.
            height: lines of the pane.
        """
        look = self._desk.look
        several = len(self._desk.shown.servers) > 1
        title = model_title(model, look, server.name if several else "")
        self.heading.show([rule(title, width, look.glyphs.horizontal)])
        sent = traffic_line(model, traffic, look)
        self.traffic.display = bool(sent)
        if sent:
            self.traffic.show([((" ", ""), *sent)])
        panel_height = height - 1 - bool(sent)
        widths = panel_widths(width)
        for widget, cells in zip((self.charts, self.stages, self.batches), widths, strict=True):
            widget.display = cells > 0
        if widths[0]:
            self._show_charts(server.name, model, panel_height)
        total = stage_total_us(model)
        self.stages.show(f"WHERE THE TIME GOES  {latency_us(total)}", stage_bars(model, look), right="mean, share")
        if widths[2]:
            self._show_batches(model, panel_height)

    def _show_charts(self, server: str, model: ModelVersion, height: int) -> None:
        desk = self._desk
        both = height >= TWO_CHARTS_LEAST
        self.queue_chart.display = both
        marks = desk.marks(server, model)
        made = pictures(
            lambda metric: desk.series(server, model, metric), model, desk.shown.seq, marks, 2 if both else 1
        )
        for chart, picture in zip((self.rate_chart, self.queue_chart), made, strict=False):
            paint_chart(chart, picture)

    def _show_batches(self, model: ModelVersion, height: int) -> None:
        bars = batch_bars(model, max(1, height - 1))
        title = batch_title(model)
        if bars:
            self.batches.show(title, bars, right="time per inference")
        else:
            reason = no_batches_reason(model)
            self.batches.show(f"{title}: {reason or UNKNOWN}", [])
