"""What every screen has: the header, the footer, the actions that work everywhere, and painting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import events, getters, on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from tritop.model import ModelVersion, Server
from tritop.operation import ReadNow, SetInterval
from tui.desk import Desk
from tui.keys import Place, Situation, action_named
from tui.present.activity import activity_lines
from tui.present.footer import footer_line
from tui.present.header import Heading, header_lines, server_at
from tui.present.interval import next_interval
from tui.present.traffic import traffic_of
from tui.screens.painting import leave_old_size, set_display
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from tui.app import TritopApp

__all__ = ["SnapshotScreen"]


class SnapshotScreen(Screen[None]):
    """A screen that shows the Snapshot in view between the header and the footer."""

    place: ClassVar[Place] = Place.EVERYWHERE
    header_share: ClassVar[int] = 4
    """The header takes at most this part of the height."""

    header = getters.query_one("#header", Lines)
    footer = getters.query_one("#footer", Lines)
    activity = getters.query_one("#activity", Lines)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.activity_height = 0
        """Lines that are taken above the footer."""

    @property
    def tritop(self) -> TritopApp:
        """The App, by its own type."""
        from tui.app import TritopApp

        assert isinstance(self.app, TritopApp)
        return self.app

    def compose(self) -> ComposeResult:
        """Header, body, footer."""
        ascii = self.desk.settings.ascii
        yield Lines(id="header", ascii=ascii)
        yield from self.compose_body()
        yield Lines(id="activity", ascii=ascii)
        yield Lines(id="footer", ascii=ascii)
        yield from self.compose_over()

    def compose_over(self) -> Iterable[Widget]:
        """Widgets that lie over the footer while they are open."""
        return ()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between header and footer."""
        return ()

    def show_body(self) -> None:
        """Paint the Snapshot in view between header and footer."""

    def show(self) -> None:
        """Paint the Snapshot in view; the widgets repaint only what changed.

        Does nothing behind another screen: a call that was put off may come when this one has
        been left and its widgets are gone, and a screen that comes to the front paints itself.
        """
        if not self.is_current or not self.is_mounted or self.size.width == 0:
            return
        self.show_header()
        self.show_activity()
        self.show_body()
        self.show_footer()

    def header_height(self) -> int:
        """Lines that the header may take."""
        return max(1, self.size.height // self.header_share)

    def show_header(self) -> None:
        """Paint the header, which goes on counting while the picture is held."""
        desk = self.desk
        heading = Heading(
            title=desk.settings.title,
            paused_s=desk.held_s,
            silent_s=desk.silent_s,
            read_only=desk.settings.read_only,
            coarse_clock=desk.settings.low_bandwidth,
        )
        self.header.show(self.heading_lines(heading)[: self.header_height()])

    def heading_lines(self, heading: Heading) -> list[Line]:
        """A line for each server and each GPU."""
        return header_lines(self.desk.shown, heading, self.size.width, self.desk.look)

    def server_of_line(self, line: int) -> Server | None:
        """The server that a line of the header is about."""
        return server_at(self.desk.shown, line)

    @property
    def activity_room(self) -> int:
        """Lines that there are above the footer for what goes on."""
        return max(0, (self.size.height - 8) // 4)

    def show_activity(self) -> None:
        """Paint what goes on and what failed, above the footer."""
        desk = self.desk
        lines = activity_lines(desk.latest, desk.dismissed, self.size.width, desk.look)
        self.activity_height = min(len(lines), self.activity_room)
        set_display(self.activity, self.activity_height > 0)
        self.activity.show(lines[: self.activity_height])

    def show_footer(self) -> None:
        """Paint the keys that are valid now."""
        self.footer.display = self.size.height >= 8
        if self.footer.display:
            self.footer.show([footer_line(self.place, self.situation(), self.size.width)])

    def on_screen_resume(self) -> None:
        """Catch up with what came while another screen was in front."""
        self.call_after_refresh(self.show)

    def on_resize(self, event: events.Resize) -> None:
        """Paint for the new size."""
        if not leave_old_size(self, event):
            self.call_after_refresh(self.show)

    @on(events.Click, "#header")
    def _server_line_clicked(self, event: events.Click) -> None:
        """Show the page of the server whose line it was."""
        server, (shown, _) = self.server_of_line(event.y), self.desk.subject()
        if server is not None and server is not shown:
            self.desk.select_server(server)
        self.tritop.perform("view_server")

    def action_do(self, name: str) -> None:
        """Bound to every key of the action table."""
        self.tritop.perform(name)

    def targets(self) -> list[tuple[Server, ModelVersion]]:
        """What an action is for: the selected model version."""
        server, model = self.desk.subject()
        return [(server, model)] if server is not None and model is not None else []

    def target_servers(self) -> list[Server]:
        """What an action on servers is for: the selected one."""
        server, _ = self.desk.subject()
        return [server] if server is not None else []

    def situation(self) -> Situation:
        """What decides which actions are possible: that of the first of the targets."""
        return self.desk.situation(next(iter(self.targets()), None))

    def _targets_for(self, name: str) -> list[tuple[Server, ModelVersion]]:
        """The targets for which an action is possible."""
        action = action_named(name)
        return [target for target in self.targets() if not action.enabled(self.desk.situation(target))]

    def do_back(self) -> None:
        """Return to the screen below."""
        self.tritop.close_view()

    def do_pause(self) -> None:
        """Hold the picture, or show the newest again."""
        self.desk.toggle_pause()
        self.show()

    def do_slower(self) -> None:
        """Longer interval."""
        self.desk.submit(SetInterval(next_interval(self.desk.latest.interval_s, longer=True)))

    def do_faster(self) -> None:
        """Shorter interval."""
        self.desk.submit(SetInterval(next_interval(self.desk.latest.interval_s, longer=False)))

    def do_read_now(self) -> None:
        """Read every source at once."""
        self.desk.submit(ReadNow())

    def do_traffic(self) -> None:
        """Start or stop our traffic to the selected models."""
        for server, model in self._targets_for("traffic"):
            traffic = traffic_of(self.desk.shown, server.name, model)
            self.desk.submit(self.desk.knob.toggle(server, model, traffic))

    def do_traffic_less(self) -> None:
        """Half the traffic."""
        self._step_traffic(up=False)

    def do_traffic_more(self) -> None:
        """Twice the traffic."""
        self._step_traffic(up=True)

    def _step_traffic(self, up: bool) -> None:
        for server, model in self._targets_for("traffic_more" if up else "traffic_less"):
            traffic = traffic_of(self.desk.shown, server.name, model)
            operation = self.desk.knob.step(server, model, traffic, up)
            if operation is not None:
                self.desk.submit(operation)
