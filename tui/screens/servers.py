"""The servers: a table of what Triton and the engine say of each, and the selected one below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import getters, on
from textual.binding import BindingType
from textual.widget import Widget

from tritop.model import Server
from tui.desk import Desk
from tui.keys import Place, bindings_for
from tui.present.container_page import about_lines
from tui.present.filtering import Order
from tui.present.gpus import gpu_lines
from tui.present.header import Heading, servers_heading
from tui.present.servers import (
    SERVER_FALLING_FIRST,
    SERVER_SORT_VALUES,
    engine_lines,
    keep_servers,
    ordered_servers,
    server_columns,
    server_rows,
    servers_empty_text,
)
from tui.screens.painting import set_display, set_height
from tui.screens.table import TableScreen
from tui.widgets.line_table import LineTable
from tui.widgets.lines import Line, Lines

__all__ = ["ServersScreen"]

ABOUT_LEAST = 6
TABLE_LEAST = 4
"""Head and three servers."""


class ServersScreen(TableScreen):
    """Where servers are started, stopped, restarted, removed and entered."""

    place = Place.SERVERS
    sortable = frozenset(SERVER_SORT_VALUES)
    falling_first = SERVER_FALLING_FIRST
    unsorted = "as they were found"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.SERVERS)

    engine = getters.query_one("#engine", Lines)
    about = getters.query_one("#about", Lines)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._servers: list[Server] = []

    @property
    def order(self) -> Order:
        """The column that sorts the servers."""
        return self.desk.server_order

    @order.setter
    def order(self, order: Order) -> None:
        self.desk.server_order = order

    @property
    def needle(self) -> str:
        """The filter of the servers."""
        return self.desk.server_needle

    @needle.setter
    def needle(self, needle: str) -> None:
        self.desk.server_needle = needle

    def compose_body(self) -> Iterable[Widget]:
        """What is wrong with the engine, the table, the selected server."""
        ascii = self.desk.settings.ascii
        yield Lines(id="engine", ascii=ascii)
        yield LineTable((), id="table", ascii=ascii)
        yield Lines(id="about", ascii=ascii)

    def on_mount(self) -> None:
        """The table has the keys."""
        self.table.focus()

    def heading_lines(self, heading: Heading) -> list[Line]:
        """One line for all servers, since the table tells of each; then the GPUs."""
        snapshot, width, look = self.desk.shown, self.size.width, self.desk.look
        return [servers_heading(snapshot, heading, width, look), *gpu_lines(snapshot, width, look)]

    def server_of_line(self, line: int) -> Server | None:
        """The header is about none of them."""
        return None

    def show_body(self) -> None:
        """Paint table and panels."""
        snapshot, look = self.desk.shown, self.desk.look
        columns = server_columns(snapshot, look, self.size.width)
        self.show_columns(columns)
        self._servers = ordered_servers(keep_servers(snapshot.servers, self.needle), self.order, snapshot.at)
        self.filter_line.show_count(len(self._servers), len(snapshot.servers))
        self.table.set_empty(servers_empty_text(snapshot, self.needle))
        self.table.show(server_rows(self._servers, columns, snapshot, look))
        self._follow_selection()
        lines = engine_lines(snapshot, look)[: max(1, self.size.height // 8)]
        set_display(self.engine, bool(lines))
        self.engine.show(lines)
        self._show_about(len(lines))

    def _follow_selection(self) -> None:
        """Keep the cursor on the selected server; what is under the cursor then is what every key is for."""
        wanted = self.desk.wanted or self.desk.selection
        if wanted is not None and self.table.cursor_key != wanted[0]:
            self.table.move_to(wanted[0])
        self._select(self.table.cursor_key)

    def _select(self, name: object) -> None:
        server = next((one for one in self._servers if one.name == name), None)
        selection = self.desk.selection
        if server is not None and (selection is None or selection[0] != server.name):
            first = next(iter(server.models), None)
            self.desk.selection = (server.name, *(first.key if first is not None else ("", "")))

    def _show_about(self, above: int) -> None:
        """The selected server takes what the table leaves, where that is enough to say anything."""
        width, height = self.size
        header = min(self.header_height(), 1 + len(self.desk.shown.gpus))
        left = height - header - above - self.activity_height - (1 if height >= 8 else 0)
        table = min(len(self._servers) + 1, max(TABLE_LEAST, left // 2))
        room = left - table
        server = next((one for one in self._servers if one.name == self.table.cursor_key), None)
        shown = room >= ABOUT_LEAST and server is not None
        set_display(self.about, shown)
        if shown and server is not None:
            set_height(self.about, room)
            self.about.show(about_lines(self.desk.shown, server, width - 2, room, self.desk.look))

    @on(LineTable.CursorMoved, "#table")
    def _cursor_moved(self, event: LineTable.CursorMoved) -> None:
        server = next((one for one in self._servers if one.name == event.key), None)
        if server is None or event.key != self.table.cursor_key:  # an earlier move, which is not followed
            return
        if self.desk.selection is None or self.desk.selection[0] != server.name:
            self.desk.select_server(server)
            self.show_body()
            self.show_footer()

    @on(LineTable.Chosen, "#table")
    def _chosen(self, event: LineTable.Chosen) -> None:
        self.tritop.perform("server_detail")

    def target_servers(self) -> list[Server]:
        """The marked rows, or the selected one."""
        marked = self.table.marked
        return [server for server in self._servers if server.name in marked] or super().target_servers()

    def do_back(self) -> None:
        """Take the filter away, or return to the screen below."""
        if self.needle:
            self.do_clear_filter()
        else:
            super().do_back()
