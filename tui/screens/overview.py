"""The overview: every model of every server in a table, and the selected one below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import getters, on
from textual.binding import BindingType
from textual.widget import Widget

from tritop.model import ModelVersion, Server
from tui.desk import Desk
from tui.keys import Place, bindings_for
from tui.present.charts import TREND_S, trend_text
from tui.present.events import event_lines
from tui.present.filtering import FALLING_FIRST, SORT_VALUES, Order, Subject, first_choice, keep, ordered
from tui.present.gpus import GPU_LINES_MOST
from tui.present.layout import OverviewHeights, divide_overview
from tui.present.problems import problem_lines
from tui.present.table import TREND_WIDTH, RowMaker, columns_for, subjects_of
from tui.present.traffic import traffic_of
from tui.present.trial import open_trials, trial_panel
from tui.present.trouble import table_empty_text, trouble_lines, troubled
from tui.screens.model_pane import ModelPane
from tui.screens.painting import set_display, set_height
from tui.screens.table import TableScreen
from tui.widgets.line_table import LineTable
from tui.widgets.lines import Lines

__all__ = ["OverviewScreen"]

PROBLEMS_MOST = 3
ROWS_AHEAD = 8
"""Rows above the view that are drawn too; a row costs 30 us (measured), every second."""


class OverviewScreen(TableScreen):
    """The screen that everything starts from."""

    place = Place.OVERVIEW
    sortable = frozenset(SORT_VALUES)
    falling_first = FALLING_FIRST
    unsorted = "as the server lists them"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.OVERVIEW)

    problems = getters.query_one("#problems", Lines)
    pane = getters.query_one("#pane", ModelPane)
    trouble = getters.query_one("#trouble", Lines)
    events = getters.query_one("#events", Lines)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._rows = RowMaker(desk.look, self._trend)
        self._subjects: list[Subject] = []
        self._window = range(0)

    @property
    def order(self) -> Order:
        """The column that sorts the models."""
        return self.desk.order

    @order.setter
    def order(self, order: Order) -> None:
        self.desk.order = order

    @property
    def needle(self) -> str:
        """The filter of the models."""
        return self.desk.needle

    @needle.setter
    def needle(self, needle: str) -> None:
        self.desk.needle = needle

    def compose_body(self) -> Iterable[Widget]:
        """Problems, table, pane or panel, events."""
        ascii = self.desk.settings.ascii
        yield Lines(id="problems", ascii=ascii)
        yield LineTable((), id="table", ascii=ascii)
        yield ModelPane(self.desk, id="pane")
        yield Lines(id="trouble", ascii=ascii)
        yield Lines(id="events", ascii=ascii)

    def on_mount(self) -> None:
        """The table has the keys."""
        self.table.focus()
        self.watch(self.table, "scroll_y", self._scrolled, init=False)

    def show_body(self) -> None:
        """Paint table, pane and panels."""
        snapshot, desk = self.desk.shown, self.desk
        self._show_columns()
        subjects = subjects_of(snapshot)
        self._subjects = ordered(keep(subjects, desk.needle), desk.order)
        self.filter_line.show_count(len(self._subjects), len(subjects))
        self.table.set_empty(table_empty_text(snapshot, desk.needle))
        self._show_rows()
        self._follow_selection()
        sick = troubled(snapshot, desk.subject()[0])
        problems = problem_lines(snapshot, desk.look, min(PROBLEMS_MOST, self.size.height // 8), sick)
        self.problems.display = bool(problems)
        self.problems.show(problems)
        self._show_lower(len(problems) + self.activity_height)

    def _show_rows(self) -> None:
        """Draw the rows in view and a few around them, so that scrolling by a line or two finds them there."""
        top = round(self.table.scroll_offset.y)
        # The table may grow to the height of the screen before the next Snapshot comes.
        self._window = range(max(0, top - ROWS_AHEAD), top + max(1, self.size.height))
        self.table.show(self._rows.rows(self._subjects, self.columns, self.desk.shown, self._window))

    def _scrolled(self) -> None:
        top = round(self.table.scroll_offset.y)
        if top < self._window.start or top + self.table.size.height > self._window.stop:
            self._show_rows()

    def _show_columns(self) -> None:
        desk = self.desk
        columns = columns_for(desk.shown, desk.look, self.size.width, desk.settings.columns)
        self.show_columns(columns)

    def _follow_selection(self) -> None:
        """Keep the cursor on the selected row, or let the table choose when that row is gone."""
        desk = self.desk
        begin = None if desk.wanted is not None else first_choice(self._subjects, desk.selection)
        for known in (desk.wanted, begin, desk.selection):
            if known is not None and (self.table.cursor_key == known or self.table.move_to(known)):
                break
        key = self.table.cursor_key
        if isinstance(key, tuple):
            desk.selection = key

    def _show_lower(self, problems: int) -> None:
        """The pane of the selected model, or the panel of a server in trouble, and the last events."""
        desk, snapshot = self.desk, self.desk.shown
        server, model = desk.subject()
        sick = troubled(snapshot, server)
        width, height = self.size
        panel = trouble_lines(sick, snapshot.at, width - 2, desk.look) if sick is not None else []
        trial = next(iter(open_trials(desk.latest)), None)
        card = trial_panel(trial, desk.latest.at, width - 2, desk.look) if trial is not None and width >= 100 else []
        gpus = min(len(snapshot.gpus), GPU_LINES_MOST + 1)
        header = min(self.header_height(), max(1, len(snapshot.servers)) + gpus) + problems
        heights = divide_overview(
            height,
            header=header,
            rows=len(self._subjects),
            trouble=len(panel) + 1 if panel else 0,
            events=len(card) - 1 if card else len(snapshot.events),
        )
        self._resize(heights, bool(panel))
        if panel and sick is not None:
            self.trouble.show(trouble_lines(sick, snapshot.at, width - 2, desk.look, heights.pane - 1))
        elif heights.pane and server is not None and model is not None:
            traffic = traffic_of(snapshot, server.name, model)
            self.pane.show(server, model, traffic, width, heights.pane)
        if heights.events and card:
            self.events.show(card)
        elif heights.events:
            self.events.show(event_lines(snapshot, width, heights.events, desk.look))

    def _resize(self, heights: OverviewHeights, trouble: bool) -> None:
        """Give the parts their heights; set only where they change, for each set lays out again."""
        _, model = self.desk.subject()
        set_display(self.table, heights.table > 0)
        if self.focused is None and heights.table > 0:
            self.table.focus()
        parts: tuple[tuple[Widget, int], ...] = (
            (self.pane, heights.pane if not trouble and model is not None else 0),
            (self.trouble, heights.pane if trouble else 0),
            (self.events, heights.events),
        )
        for widget, lines in parts:
            set_display(widget, lines > 0)
            if lines:
                set_height(widget, lines)

    def _trend(self, server: str, model: ModelVersion) -> str:
        desk = self.desk
        values = desk.recent(server, model, "requests_per_s", TREND_S * 1.2)
        return trend_text(values, desk.newest, desk.shown.interval_s, TREND_WIDTH, ascii=desk.look.ascii)

    @on(LineTable.CursorMoved, "#table")
    def _cursor_moved(self, event: LineTable.CursorMoved) -> None:
        if event.key != self.table.cursor_key:  # an earlier move: following it would chase the cursor for ever
            return
        if isinstance(event.key, tuple) and event.key != self.desk.selection:
            self.desk.select(event.key)
            self.show_body()
            self.show_footer()

    @on(LineTable.Chosen, "#table")
    def _chosen(self, event: LineTable.Chosen) -> None:
        _, model = self.desk.subject()
        self.tritop.perform("detail" if model is not None else "view_server")

    def targets(self) -> list[tuple[Server, ModelVersion]]:
        """What an action is for: the marked rows, or the selected one."""
        marked = self.table.marked
        found = [(each.server, each.model) for each in self._subjects if each.model is not None and each.key in marked]
        return found or super().targets()
