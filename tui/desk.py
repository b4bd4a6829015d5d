"""What every screen works on: the Snapshot in view, its history, the selection, and the Session."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from tritop.history import History
from tritop.logs import LogLine
from tritop.model import EMPTY_SNAPSHOT, ModelVersion, Server, Snapshot
from tritop.operation import Operation, OperationState, OperationStatus
from tritop.session import Session
from tritop.settings import Settings
from tritop.trial import TrialState, TrialStatus
from tui.present.activity import is_quiet
from tui.present.filtering import Order, RowKey
from tui.present.look import look_of
from tui.present.traffic import TrafficKnob, traffic_of
from tui.situation import Situation

__all__ = ["Desk"]


class Desk:
    """Shared by all screens of one App; touched on the App's thread only.

    Args:
        session: takes the operations.
        settings: how the screen is to look.
    """

    def __init__(self, session: Session, settings: Settings) -> None:
        self.settings = settings
        self.look = look_of(settings)
        self.history = History()
        self.latest: Snapshot = EMPTY_SNAPSHOT
        """The newest Snapshot, whether it is shown or not."""
        self.selection: RowKey | None = None
        """(server, model, version) under the cursor."""
        self.wanted: RowKey | None = None
        """What the operator selected last; it is selected again when it comes back."""
        self.order = Order()
        self.needle = ""
        """The filter of the table."""
        self.server_order = Order()
        self.server_needle = ""
        """The order and the filter of the table of servers."""
        self.knob = TrafficKnob()
        self.silent_s = 0.0
        """Time since the newest Snapshot came."""
        self._held: Snapshot | None = None
        self._session = session
        self._since_held = 0
        self._received = 0
        self._told: set[int] = set()
        self._told_trials: set[str] = set()
        self.dismissed = 0
        """Failures up to this number were read."""

    def receive(self, snapshot: Snapshot) -> None:
        """Take the next Snapshot; a held picture stays."""
        self.latest = snapshot
        self.silent_s = 0.0
        self.history.push(snapshot)
        self._received += 1
        if self._held is not None:
            self._since_held += 1

    def new_endings(self) -> list[OperationStatus]:
        """Operations that ended since the last call, well or not: each is told once."""
        ended = [
            status
            for status in self.latest.operations
            if status.state in (OperationState.FAILED, OperationState.DONE) and status.number not in self._told
        ]
        self._told |= {status.number for status in ended}
        return [status for status in ended if not is_quiet(status.operation)]

    def new_left_open(self) -> list[TrialStatus]:
        """Trials that nobody watches any more, each once."""
        waiting = [
            trial
            for trial in self.latest.trials
            if trial.state in (TrialState.LEFT_OPEN, TrialState.STUCK) and trial.trial_id not in self._told_trials
        ]
        self._told_trials |= {trial.trial_id for trial in waiting}
        return waiting

    @property
    def failures(self) -> bool:
        """Whether an operation failed that nobody has dismissed yet."""
        return any(
            status.state is OperationState.FAILED and status.number > self.dismissed and not is_quiet(status.operation)
            for status in self.latest.operations
        )

    def dismiss_failures(self) -> None:
        """Every failure so far was read."""
        self.dismissed = max((status.number for status in self.latest.operations), default=self.dismissed)

    def select(self, key: RowKey) -> None:
        """Select a row because the operator wants it."""
        self.selection = self.wanted = key

    def select_server(self, server: Server) -> None:
        """Select a server, and the model that is selected already if it is one of its models, else its first."""
        chosen = self.selection
        if chosen is None or chosen[0] != server.name:
            model = next(iter(server.models), None)
            chosen = (server.name, *(model.key if model is not None else ("", "")))
        self.select(chosen)

    def submit(self, operation: Operation) -> None:
        """Ask the Session for something."""
        self._session.submit(operation)

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """Follow the log of a server, see `tritop.session.Session.follow_log`."""
        return self._session.follow_log(server, deliver)

    @property
    def shown(self) -> Snapshot:
        """The Snapshot in view: the newest one, or the held one."""
        return self.latest if self._held is None else self._held

    @property
    def paused(self) -> bool:
        """Whether the picture is held."""
        return self._held is not None

    @property
    def held_s(self) -> float | None:
        """Age of the held picture, `None` while nothing is held."""
        return None if self._held is None else self.latest.mono - self._held.mono

    def toggle_pause(self) -> None:
        """Hold the picture, or show the newest again."""
        self._held = self.latest if self._held is None else None
        self._since_held = 0

    def subject(self) -> tuple[Server | None, ModelVersion | None]:
        """The selected server and model version as they are in the Snapshot in view."""
        servers = self.shown.servers
        if self.selection is None:
            return (servers[0] if servers else None), None
        name, model_name, version = self.selection
        server = next((server for server in servers if server.name == name), None)
        if server is None:
            return (servers[0] if servers else None), None
        key = (model_name, version)
        return server, next((model for model in server.models if model.key == key), None)

    def situation(self, target: tuple[Server | None, ModelVersion | None] | None = None) -> Situation:
        """What decides which actions are possible, for the selected model version or for another."""
        server, model = self.subject() if target is None else target
        traffic = traffic_of(self.shown, server.name, model) if server is not None and model is not None else None
        return Situation(
            snapshot=self.shown,
            server=server,
            model=model,
            traffic=traffic,
            read_only=self.settings.read_only,
            filtered=bool(self.needle),
            paused=self.paused,
            failures=self.failures,
        )

    @property
    def newest(self) -> int:
        """Number of the newest point in view, counted from the start of the session."""
        return self._received - self._since_held

    def series(self, server: str, model: ModelVersion, metric: str) -> Sequence[float]:
        """Ten minutes of one number of a model, oldest first, up to the Snapshot in view; NaN is unknown."""
        return self._in_view(self.history.series(server, model.name, model.version, metric))

    def recent(self, server: str, model: ModelVersion, metric: str, seconds: float) -> Sequence[float]:
        """The end of `series`: at least the last `seconds` of it."""
        behind_s = self._since_held * self.latest.interval_s
        return self._in_view(self.history.window(server, model.name, model.version, metric, seconds + behind_s))

    def _in_view(self, values: Sequence[float]) -> Sequence[float]:
        return values[: max(0, len(values) - self._since_held)] if self._since_held else values

    def span_s(self, points: int) -> float:
        """Time from the first of the last `points` points to the newest one in view."""
        times = self._in_view(self.history.times())
        return times[-1] - times[-min(points, len(times))] if points > 0 and times else 0.0

    def marks(self, server: str, model: ModelVersion, points: int) -> list[tuple[int, str]]:
        """(index into a series of `points` values, sign) of the events that concern a model."""
        times = self._in_view(self.history.times())
        indexes = set()
        for mark in self.history.marks(server):
            event = mark.event
            if event.model in ("", model.name) and event.version in ("", model.version):
                indexes.add(points - len(times) + bisect_left(times, mark.mono))
        return [(index, self.look.glyphs.event) for index in sorted(indexes) if 0 <= index < points]
