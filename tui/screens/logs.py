"""The log of a server: followed, searched, filtered, saved."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

from textual import getters, on
from textual.binding import BindingType
from textual.widget import Widget

from tritop.errors import OperationFailed
from tritop.logs import LogLine
from tritop.logs.saving import log_folder, save_log
from tui.desk import Desk
from tui.format import clean
from tui.keys import Place, bindings_for
from tui.present.log_rows import LINES_MOST
from tui.present.logs import heading_line
from tui.screens.base import SnapshotScreen
from tui.screens.dialogs import ChoiceDialog
from tui.screens.filter_line import FilterLine
from tui.widgets.lines import Lines
from tui.widgets.log_view import LogView

__all__ = ["LogScreen"]

TAKE_S = 0.2
"""How often new lines are taken over: a log that is faster than that is read in bulk."""
TAKE_SLOWLY_S = 1.0
TAKE_MOST = 10_000
"""Lines taken over at once, so that keys are heard while a long log comes in."""


class LogScreen(SnapshotScreen):
    """The log of the selected server, from before its last restarts to its newest line."""

    place = Place.LOGS
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.LOGS)
    DEFAULT_CSS = "LogScreen { & > #log-heading { height: 1; } & > #log { padding: 0 1; } }"
    header_share: ClassVar[int] = 6

    heading = getters.query_one("#log-heading", Lines)
    view = getters.query_one("#log", LogView)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        server, _ = desk.subject()
        self._server = server.name if server is not None else ""
        # Filled by the thread that reads the log; what nobody takes in time is dropped at its front.
        self._arrived: deque[LogLine] = deque(maxlen=LINES_MOST)
        self._end_following: Callable[[], None] = lambda: None
        self._runs_back = 0
        self._typing = ""
        """Id of the line that was opened last: search or filter."""

    def compose_body(self) -> Iterable[Widget]:
        """One line about the log, and the log."""
        yield Lines(id="log-heading", ascii=self.desk.settings.ascii)
        yield LogView(self.desk.look, id="log")

    def compose_over(self) -> Iterable[Widget]:
        """The lines that a text to search for, and one to filter by, are typed into."""
        yield FilterLine("text to search for", id="search")
        yield FilterLine("text, or !text for entries without it", id="filter")

    def on_mount(self) -> None:
        """Begin to follow."""
        self.view.focus()
        self._end_following = self.desk.follow_log(self._server, self._arrived.extend)
        self.set_interval(TAKE_SLOWLY_S if self.desk.settings.low_bandwidth else TAKE_S, self.take)

    def on_unmount(self) -> None:
        """End following."""
        self._end_following()

    def take(self) -> None:
        """Take over what has come, unless the picture is held or the terminal does not keep up."""
        if not self._arrived or self.desk.paused or not self.is_current or not self.tritop.pace.may_paint():
            return
        arrived = self._arrived
        lines = [arrived.popleft() for _ in range(min(len(arrived), TAKE_MOST))]
        newest_before = self.view.rows.runs[1]
        self.view.extend(lines)
        if self._runs_back and self.view.rows.runs[1] != newest_before:
            self._choose_run()
        self.show_body()

    @on(LogView.Moved)
    def show_body(self) -> None:
        """Paint what stands above the log; the log is painted as it comes."""
        view = self.view
        line = heading_line(
            self._server,
            view.rows,
            max(20, self.size.width - 2),
            self.desk.look,
            following=view.following,
            paused=self.desk.paused,
            below=view.below,
            runs_back=self._runs_back,
        )
        self.heading.show([((" ", ""), *line)])

    def do_search(self) -> None:
        """Type a text to search for."""
        self._open_line("search", "")

    def do_filter_log(self) -> None:
        """Type a text that the entries to show must hold."""
        self._open_line("filter", self.view.rows.wanted.needle)

    def _open_line(self, name: str, needle: str) -> None:
        self._typing = name
        self.query_one(f"#{name}", FilterLine).open(needle)

    def do_next_hit(self) -> None:
        """The next line with the searched text."""
        self.view.next_match(1)

    def do_previous_hit(self) -> None:
        """The line with the searched text before this one."""
        self.view.next_match(-1)

    def do_next_error(self) -> None:
        """The next error."""
        self._to_error(1)

    def do_previous_error(self) -> None:
        """The error before this one."""
        self._to_error(-1)

    def _to_error(self, step: int) -> None:
        if not self.view.next_error(step):
            self.notify("no error is shown.", title="errors", timeout=3, markup=False)

    def do_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.view.wrap(not self.view.wrapped)

    def do_log_model(self) -> None:
        """Choose the model whose entries are shown."""
        wanted = self.view.rows.wanted
        choices = [("", "every model"), *((name, clean(name, 60)) for name in sorted(self.view.rows.models))]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.view.choose(replace(self.view.rows.wanted, model=name))

        self.app.push_screen(ChoiceDialog("Entries that name", choices, wanted.model), chosen)

    def do_newest_log(self) -> None:
        """Every run, at its end, and on with it."""
        if self._runs_back:
            self._runs_back = 0
            self._choose_run()
        self.view.follow()

    def do_previous_log(self) -> None:
        """Only the run before the one that is shown."""
        first, newest = self.view.rows.runs
        if newest and newest - self._runs_back - 1 < first:
            self.notify("no earlier run is kept.", title="previous run", timeout=3, markup=False)
            return
        self._runs_back += 1
        self._choose_run()
        self.view.follow()

    def _choose_run(self) -> None:
        run = self.view.rows.runs[1] - self._runs_back if self._runs_back else None
        self.view.choose(replace(self.view.rows.wanted, run=run))

    def do_save_log(self) -> None:
        """Write what is shown to a file, away from the App's thread."""
        lines = list(self.view.rows.lines())

        def save() -> None:
            try:
                path = save_log(lines, self._server, time.time(), log_folder())
            except OperationFailed as error:
                self.app.call_from_thread(self._tell, str(error), "error")
            else:
                self.app.call_from_thread(self._tell, f"{len(lines)} lines: {clean(str(path), 300)}", "information")

        self.run_worker(save, thread=True)

    def _tell(self, text: str, severity: str) -> None:
        self.notify(
            text,
            title="log saved" if severity == "information" else "log not saved",
            severity="information" if severity == "information" else "error",
            timeout=8,
            markup=False,
        )

    @on(FilterLine.Changed)
    def _typed(self, event: FilterLine.Changed) -> None:
        line = self.query_one(f"#{self._typing}", FilterLine)
        if self._typing == "search":
            hits = self.view.search(event.needle)
            line.show_hits(hits if event.needle else None)
        else:
            self.view.choose(replace(self.view.rows.wanted, needle=event.needle))
            line.show_count(len(self.view.rows), self.view.rows.total)

    @on(FilterLine.Closed)
    def _typing_ended(self, event: FilterLine.Closed) -> None:
        self.view.focus()
