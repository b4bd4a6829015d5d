"""The App: takes Snapshots from the Session, hands the newest to the screen in front, and ends well."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections import deque
from typing import ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.events import Event, Key, Resize
from textual.message import Message
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender

from tritop.model import Snapshot
from tritop.operation import EditConfig, OperationState, SetTraffic
from tritop.session import Session
from tritop.settings import Settings
from tui.commands import ActionCommands, ModelCommands
from tui.desk import Desk
from tui.driver import terminal_driver, terminal_size
from tui.keys import Place, action_named, bindings_for
from tui.keys_in_turn import KeysInTurn
from tui.model_actions import ModelActions
from tui.present.servers import shown_first
from tui.screens.base import SnapshotScreen
from tui.screens.config_text import ConfigScreen
from tui.screens.events import EventsScreen
from tui.screens.gpus import GpuScreen
from tui.screens.help import HelpScreen
from tui.screens.live_dialog import LiveDialog
from tui.screens.logs import LogScreen
from tui.screens.model import ModelScreen
from tui.screens.overview import OverviewScreen
from tui.screens.server import ServerScreen
from tui.screens.servers import ServersScreen
from tui.screens.trials import TrialsScreen
from tui.server_actions import ServerActions
from tui.themes import THEMES, theme_name
from tui.widgets.pace import Pace, terminal_backlog

__all__ = ["TritopApp", "run"]

SLOW_PAINT_S = 2.0
"""Least time between two painted Snapshots on a slow link."""
BEAT_S = 1.0
"""How often the App looks whether Snapshots still come."""
STOPPING_SHOWN_AFTER_S = 0.3

_VIEWS: dict[Place, type[SnapshotScreen]] = {
    Place.OVERVIEW: OverviewScreen,
    Place.SERVERS: ServersScreen,
    Place.SERVER: ServerScreen,
    Place.MODEL: ModelScreen,
    Place.CONFIG: ConfigScreen,
    Place.EVENTS: EventsScreen,
    Place.GPUS: GpuScreen,
    Place.LOGS: LogScreen,
    Place.TRIALS: TrialsScreen,
    Place.HELP: HelpScreen,
}


class SnapshotsArrived(Message):
    """The mailbox holds Snapshots; several of these become one."""

    def can_replace(self, message: Message) -> bool:
        """The mailbox is emptied at once, so one message stands for all that wait."""
        return isinstance(message, SnapshotsArrived)


class PlainScrollBar(ScrollBarRender):
    """A scrollbar of spaces: its ends are on whole cells, and no character is beyond ASCII."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


class TritopApp(App[object]):
    """One Session on one terminal.

    Args:
        session: where Snapshots come from and operations go.
        settings: how it is to look.
        beat_s: how often to look whether Snapshots still come; 0 is never.
    """

    CSS_PATH = "app.tcss"
    TITLE = "tritop"
    COMMANDS = {ActionCommands, ModelCommands}  # noqa: RUF012  Textual declares it as a plain class attribute
    COMMAND_PALETTE_BINDING = "ctrl+p"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(Place.EVERYWHERE),
        Binding("ctrl+c", "interrupt", show=False, priority=True, system=True),
    ]

    def __init__(self, session: Session, settings: Settings, *, beat_s: float = BEAT_S) -> None:
        super().__init__()
        self.desk = Desk(session, settings)
        self.model_actions = ModelActions(self)
        self.server_actions = ServerActions(self)
        self.pace = Pace(lambda: terminal_backlog(self))
        self._session = session
        self._settings = settings
        self._beat_s = beat_s
        self._mailbox: deque[Snapshot] = deque()
        self._listening = threading.Event()
        self._begun = False
        self._painted_mono: float | None = None
        self._begun_with: Place | None = None
        """The view that was shown first."""
        self._keys = KeysInTurn(self, super().on_event)
        ScrollBar.renderer = PlainScrollBar if settings.ascii else ScrollBarRender

    def begin(self) -> None:
        """Start the Session; done before the terminal is touched, so that its errors are plain ones."""
        if not self._begun:
            self._begun = True
            self._session.start(self._deliver)

    def _deliver(self, snapshot: Snapshot) -> None:
        """Called on the Session's thread."""
        self._mailbox.append(snapshot)
        if self._listening.is_set():
            with contextlib.suppress(RuntimeError):  # the loop closed in between: nobody is left to read it
                self.post_message(SnapshotsArrived())

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver, made to send fewer bytes and to let go of a terminal that is gone."""
        return terminal_driver(super().get_driver_class())

    def get_default_screen(self) -> Screen[None]:
        """The overview is below every other screen."""
        return OverviewScreen(self.desk)

    async def on_event(self, event: Event) -> None:
        """Keys that were just typed wait for their turn."""
        if isinstance(event, Key) and not event.is_forwarded:
            await self._keys.typed(event)
        else:
            await super().on_event(event)

    def on_mount(self) -> None:
        """Choose the colours, listen for signals and for Snapshots."""
        for theme in THEMES:
            self.register_theme(theme)
        colors = self.console.color_system
        self.theme = theme_name(self._settings.theme, set(self.available_themes), colors)
        if not self.is_headless:
            self._end_on_signals()
            # What is imported by now stays: a full collection, which a busy log brings about again and
            # again, then takes 10 ms instead of 60 (measured).
            gc.freeze()
            # A round makes thousands of objects and leaves no cycle behind, so that looking for cycles
            # after every 700 finds nothing: it took 6 % of all processor time with 100 models, 10 % with 1000.
            gc.set_threshold(10_000, 20, 20)
        self.begin()
        self._listening.set()
        self.post_message(SnapshotsArrived())
        if self._beat_s:
            self.set_interval(self._beat_s, self._beat)

    def _end_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._end, 128 + number)

    def _end(self, code: int) -> None:
        self._listening.clear()
        self.exit(return_code=code)

    def on_snapshots_arrived(self) -> None:
        """Take everything that waits into the history and paint the newest."""
        arrived = False
        while self._mailbox:
            self.desk.receive(self._mailbox.popleft())
            arrived = True
        if arrived:
            self._choose_first_view()
            self._tell_endings()
            self._paint()

    def _choose_first_view(self) -> None:
        """Begin with the view that has something to say, unless the operator has gone elsewhere by then."""
        if self._begun_with is None:
            self._begun_with = shown_first(self.desk.latest)
            if self._begun_with is not None and isinstance(self.screen, OverviewScreen):
                self.open_view(self._begun_with)

    def _tell_endings(self) -> None:
        """Say what was done, and what failed where there is no room for it above the footer."""
        screen = self.screen
        shows_failures = isinstance(screen, SnapshotScreen) and screen.activity_room > 0
        for ended in self.desk.new_endings():
            failed = ended.state is OperationState.FAILED
            # What went well is in the events at length, and hides what lies below it only briefly.
            text = self.desk.look.clean(ended.text, 400 if failed else 120) or ("it failed" if failed else "done")
            if failed and shows_failures:
                continue
            if failed:
                self.notify(text, title="not done", severity="error", timeout=10, markup=False)
            elif not isinstance(ended.operation, SetTraffic):
                on_trial = isinstance(ended.operation, EditConfig) and ended.operation.trial_s is not None
                self.notify(text, title="on trial" if on_trial else "done", timeout=4, markup=False)
        for trial in self.desk.new_left_open():
            text = (
                f"The trial of {self.desk.look.clean(trial.model, 60)} is {trial.state}: Z takes it back, K keeps it."
            )
            self.notify(text, title="trial", severity="warning", timeout=20, markup=False)

    def _paint(self) -> None:
        screen = self.screen
        if not isinstance(screen, SnapshotScreen | LiveDialog) or not self._due() or not self.pace.may_paint():
            return
        self._painted_mono = self.desk.latest.mono
        if self.desk.paused and isinstance(screen, SnapshotScreen):
            screen.show_header()
            screen.show_activity()
        else:
            screen.show()

    def _due(self) -> bool:
        """Whether enough time has passed for a slow link; the first pictures come at once."""
        if not self._settings.low_bandwidth or self._painted_mono is None or self.desk.latest.seq <= 3:
            return True
        return self.desk.latest.mono - self._painted_mono >= SLOW_PAINT_S - 0.1

    def _follow_the_terminal(self) -> None:
        """Notice a size that no signal told of: one can be lost while the App comes back from the shell."""
        if self.is_headless:
            return
        size = terminal_size()
        if size != self.size:
            self.post_message(Resize(size, size))

    def _beat(self) -> None:
        """Count the time without a Snapshot; a Session that fell silent must not look alive."""
        self._follow_the_terminal()
        self.desk.silent_s += BEAT_S
        screen = self.screen
        if self.desk.silent_s > 2 * BEAT_S and isinstance(screen, SnapshotScreen) and self.pace.may_paint():
            screen.show_header()

    def _fatal_error(self) -> None:
        """Leave with a plain traceback: Textual's own prints the locals of every frame, Snapshots among them."""
        self.panic(Text(traceback.format_exc().rstrip()))

    def action_do(self, name: str) -> None:
        """Bound to the keys that work everywhere."""
        self.perform(name)

    def perform(self, name: str) -> None:
        """Do an action of the table, or say why it cannot be done now."""
        action = action_named(name)
        screen = self.screen
        situation = screen.situation() if isinstance(screen, SnapshotScreen) else self.desk.situation()
        reason = action.enabled(situation)
        if reason:
            self.notify(
                f"{self.desk.look.clean(reason, 300)}.", title=action.label, severity="warning", timeout=4, markup=False
            )
            return
        if action.opens is not None:
            self.open_view(action.opens, on_top=action.on_top)
            return
        method = f"do_{name}"
        for owner in (self.screen, self, self.model_actions, self.server_actions):
            if hasattr(owner, method):
                getattr(owner, method)()
                return

    def open_view(self, place: Place, *, on_top: bool = False) -> None:
        """Show a screen over the overview, or over the one in front, to which Esc returns."""
        if isinstance(self.screen, SnapshotScreen) and self.screen.place is place:
            return
        while not on_top and len(self.screen_stack) > 1:
            self.pop_screen()
        if place is not Place.OVERVIEW:
            self.push_screen(_VIEWS[place](self.desk))

    def do_earlier_log(self) -> None:
        """The log of the run before this one."""
        screen = LogScreen(self.desk)
        self.push_screen(screen)
        self.call_after_refresh(screen.do_previous_log)

    def close_view(self) -> None:
        """Return to the screen below; the overview stays."""
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def do_palette(self) -> None:
        """Every action and every model, by typing."""
        self.action_command_palette()

    def do_theme(self) -> None:
        """Choose the colours."""
        self.search_themes()

    def do_suspend(self) -> None:
        """To the shell."""
        self.action_suspend_process()

    def do_quit(self) -> None:
        """End."""
        self._end(0)

    def action_interrupt(self) -> None:
        """Ctrl-C ends, wherever the focus is."""
        self._end(128 + signal.SIGINT)


def run(session: Session, settings: Settings) -> int:
    """Show a Session until the operator quits; the Session is stopped in every case.

    Returns:
        Exit code: 0 after `q`, 130 after Ctrl-C, 128 + n after signal n, 1 after a crash, whose
        traceback is on stderr by then.
    """
    app = TritopApp(session, settings)
    try:
        app.begin()
        app.run(mouse=settings.mouse)
    finally:
        _stop(session)
        _let_go_of_a_gone_terminal()
    return app.return_code or 0


def _let_go_of_a_gone_terminal() -> None:
    """Drop what can no longer be written: Python would try once more at its end and exit with 120 for it."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _stop(session: Session) -> None:
    """Stop the Session; say so where it takes time. A second Ctrl-C or SIGTERM does not wait."""
    with contextlib.suppress(ValueError):  # not on the main thread: signals are somebody else's
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def say() -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("tritop: stopping …", file=sys.stderr, flush=True)

    timer = threading.Timer(STOPPING_SHOWN_AFTER_S, say)
    timer.daemon = True
    timer.start()
    try:
        session.stop()
    finally:
        timer.cancel()
