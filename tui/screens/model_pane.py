"""The pane of the selected model: charts, where the time goes, batch sizes, our traffic."""

from __future__ import annotations

from textual import getters
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tritop.model import ModelVersion, Server, Traffic
from tui.desk import Desk
from tui.format import latency_us
from tui.present.charts import pictures
from tui.present.drift import drift_of, drift_pieces
from tui.present.layout import NOTES_LEAST, chart_count, panel_widths
from tui.present.lines import rule
from tui.present.model_page import note_lines
from tui.present.pane import (
    batch_bars,
    batch_title,
    model_title,
    no_batches_reason,
    shows_numbers,
    stage_bars,
    stage_total_us,
    traffic_line,
)
from tui.screens.painting import paint_chart, set_display, set_height
from tui.widgets.bars import Bars
from tui.widgets.chart import Chart
from tui.widgets.lines import Lines

__all__ = ["ModelPane"]

CHARTS = 4
BATCH_ROWS_MOST = 8


class ModelPane(Vertical):
    """Shows one model version; its height is given to it, the widths follow from the terminal."""

    heading = getters.query_one("#pane-heading", Lines)
    charts = getters.query_one("#pane-charts", Vertical)
    right = getters.query_one("#pane-right", Vertical)
    bars = getters.query_one("#pane-bars", Horizontal)
    stages = getters.query_one("#pane-stages", Bars)
    batches = getters.query_one("#pane-batches", Bars)
    notes = getters.query_one("#pane-notes", Lines)
    traffic = getters.query_one("#pane-traffic", Lines)

    def __init__(self, desk: Desk, id: str | None = None) -> None:
        super().__init__(id=id)
        self._desk = desk

    def compose(self) -> ComposeResult:
        """Heading, charts beside bars and notes, then our traffic."""
        ascii = self._desk.settings.ascii
        yield Lines(id="pane-heading", ascii=ascii)
        with Horizontal(id="pane-panels"):
            yield Vertical(*(Chart(id=f"pane-chart-{n}", ascii=ascii) for n in range(CHARTS)), id="pane-charts")
            with Vertical(id="pane-right"):
                with Horizontal(id="pane-bars"):
                    yield Bars(id="pane-stages", ascii=ascii)
                    yield Bars(id="pane-batches", ascii=ascii)
                yield Lines(id="pane-notes", ascii=ascii)
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
        title[1:1] = drift_pieces(drift_of(self._desk.shown, server.name, model.name))
        self.heading.show([rule(title, width, look.glyphs.horizontal, look.glyphs.separator)])
        sent = traffic_line(model, traffic, width - 2, look)
        set_display(self.traffic, bool(sent))
        if sent:
            self.traffic.show([sent])
        left = height - 1 - bool(sent)
        numbers = shows_numbers(model)
        widths = panel_widths(width) if numbers else (0, width, 0)
        set_display(self.charts, widths[0] > 0)
        set_display(self.bars, numbers)
        if widths[0]:
            self._show_charts(server.name, model, left)
        bars_height = self._show_bars(model, left, bool(widths[2])) if numbers else 0
        set_display(self.notes, left - bars_height >= NOTES_LEAST or not numbers)
        if self.notes.display:
            lines = note_lines(self._desk.shown, server, model, width=sum(widths[1:]) - 2, look=look)
            self.notes.show([(), *lines] if numbers else lines)

    def _show_charts(self, server: str, model: ModelVersion, height: int) -> None:
        fitting = chart_count(height)
        made = pictures(self._desk, server, model, fitting)
        for number, chart in enumerate(self.charts.query_children(Chart)):
            set_display(chart, number < fitting)
            if number < fitting:
                paint_chart(chart, made[number])

    def _show_bars(self, model: ModelVersion, height: int, both: bool) -> int:
        """Paint the stages, and the batch sizes beside them; returns the lines that they take."""
        look = self._desk.look
        stages = stage_bars(model, look)
        batches = batch_bars(model, max(1, min(BATCH_ROWS_MOST, height - 1))) if both else []
        lines = max(len(stages), len(batches)) + 1
        if height - lines < NOTES_LEAST:
            lines = height
        set_height(self.bars, lines)
        total = latency_us(stage_total_us(model))
        self.stages.show(f"WHERE THE TIME GOES  {total}", stages, right="mean, share")
        set_display(self.batches, both)
        if both:
            title = batch_title(model)
            reason = "" if batches else no_batches_reason(model)
            title = f"{title}: {reason}" if reason else title
            self.batches.show(title, batches, right="time per inference" if batches else "")
        return lines
