"""One model version: ten minutes of its numbers in charts, and all that is known about it below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import getters
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from tritop.model import ModelVersion, Server
from tui.keys import Place, bindings_for
from tui.present.charts import pictures
from tui.present.drift import drift_of, drift_pieces
from tui.present.lines import rule
from tui.present.model_page import model_lines
from tui.present.pane import model_title, shows_numbers
from tui.present.table import subjects_of
from tui.present.traffic import traffic_of
from tui.screens.pages import TextScreen
from tui.screens.painting import paint_chart, set_display, set_height
from tui.widgets.chart import Chart
from tui.widgets.lines import Line, Lines

__all__ = ["ModelScreen"]

CHARTS = 4
CHART_LEAST = 4


class ModelScreen(TextScreen):
    """Everything about the selected model version."""

    place = Place.MODEL
    empty = "no model is selected"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.MODEL)

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012  Textual declares it on the instance

    heading = getters.query_one("#heading", Lines)
    charts = getters.query_one("#charts", Horizontal)

    def compose_above(self) -> Iterable[Widget]:
        """The model's name and its charts."""
        ascii = self.desk.settings.ascii
        yield Lines(id="heading", ascii=ascii)
        yield Horizontal(*(Chart(id=f"chart-{n}", ascii=ascii) for n in range(CHARTS)), id="charts")

    def show_body(self) -> None:
        """Paint heading, charts and page."""
        server, model = self.desk.subject()
        if server is not None and model is not None:
            width = self.size.width
            look = self.desk.look
            title = model_title(model, look, server.name if len(self.desk.shown.servers) > 1 else "")
            title[1:1] = drift_pieces(drift_of(self.desk.shown, server.name, model.name))
            self.heading.show([rule(title, width, look.glyphs.horizontal, look.glyphs.separator)])
            self._show_charts(server, model)
        super().show_body()

    def _show_charts(self, server: Server, model: ModelVersion) -> None:
        width, height = self.size
        lines = min(12, (height - 3) // 4)
        set_display(self.charts, lines >= CHART_LEAST and shows_numbers(model))
        if not self.charts.display:
            return
        set_height(self.charts, lines)
        fitting = max(1, min(CHARTS, width // 36))
        made = pictures(self.desk, server.name, model, fitting)
        for number, chart in enumerate(self.charts.query(Chart)):
            set_display(chart, number < fitting)
            if number < fitting:
                paint_chart(chart, made[number])

    def page(self, width: int) -> Sequence[Line]:
        """All that is known about the model."""
        server, model = self.desk.subject()
        if server is None or model is None:
            return ()
        traffic = traffic_of(self.desk.shown, server.name, model)
        return model_lines(self.desk.shown, server, model, traffic=traffic, width=width, look=self.desk.look)

    def do_next_model(self) -> None:
        """The model after this one."""
        self._step_model(1)

    def do_previous_model(self) -> None:
        """The model before this one."""
        self._step_model(-1)

    def _step_model(self, step: int) -> None:
        keys = [subject.key for subject in subjects_of(self.desk.shown) if subject.model is not None]
        if not keys:
            return
        selection = self.desk.selection
        place = keys.index(selection) + step if selection in keys else 0
        self.desk.select(keys[place % len(keys)])
        self.show()
