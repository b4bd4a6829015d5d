"""A trial as a state machine: what is measured before and after a change, and what the rails say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tritop.control.entry import Entry
from tritop.model import ModelState, ModelVersion, Snapshot, Traffic, TrafficState
from tritop.trial import Figures, Rails, RailState, RailStatus, TrialState, TrialStatus

SETTLE_S = 2.0
"""After a change is in force: the first executions of a new copy are slow, and the old copy is being taken down."""
JUDGED_S = 3.0
"""The rails look at the newest intervals that are together at least this long."""
JUDGED_REQUESTS = 20.0
"""And in which at least so many requests ended: less is not enough traffic to judge."""
_GAP = 5.0
"""Two Snapshots further apart than so many intervals are no interval: the machine slept."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What a model did between two Snapshots."""

    began: float
    ended: float
    """Monotonic time [s]."""
    answered: float
    failed: float
    inferences: float | None
    executions: float | None
    queue_us: float | None
    compute_us: float | None
    p99_us: float | None
    p99_origin: str
    busy_ratio: float | None
    client_errors: float | None
    """`None` while our own traffic does not run."""
    waiting: int | None

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.began

    @property
    def requests(self) -> float:
        """Requests that ended in it."""
        return self.answered + self.failed


def interval_of(before: Snapshot, now: Snapshot, server: str, model: str) -> Interval | None:
    """What a model did between two Snapshots; `None` where nothing fresh is known of it."""
    seconds = now.mono - before.mono
    if not 0.0 < seconds <= _GAP * max(now.interval_s, before.interval_s):
        return None
    rows = [
        row
        for one in now.servers
        for row in one.models
        if one.name == server and row.name == model and row.age_s is None and row.requests_per_s is not None
    ]
    if not rows:
        return None
    traffic = [
        one for one in now.traffic if (one.server, one.model) == (server, model) and one.state is TrafficState.RUNNING
    ]
    worst = max(rows, key=lambda row: row.p99_us or 0.0)
    return Interval(
        began=before.mono,
        ended=now.mono,
        answered=seconds * _sum(rows, lambda row: row.requests_per_s, 0.0),
        failed=seconds * _sum(rows, lambda row: row.failures_per_s, 0.0),
        inferences=_scaled(_total(rows, lambda row: row.inferences_per_s), seconds),
        executions=_scaled(_total(rows, lambda row: row.executions_per_s), seconds),
        queue_us=_mean(rows, lambda row: row.queue_us),
        compute_us=_mean(rows, _compute_us),
        p99_us=worst.p99_us,
        p99_origin=str(worst.p99_origin or ""),
        busy_ratio=max((row.busy_ratio for row in rows if row.busy_ratio is not None), default=None),
        client_errors=_scaled(_client_errors(traffic), seconds),
        waiting=_waiting(rows, traffic),
    )


def _sum(rows: Iterable[ModelVersion], value: Callable[[ModelVersion], float | None], unknown: float) -> float:
    return sum(value(row) or unknown for row in rows)


def _total(rows: Iterable[ModelVersion], value: Callable[[ModelVersion], float | None]) -> float | None:
    known = [one for row in rows if (one := value(row)) is not None]
    return sum(known) if known else None


def _scaled(per_s: float | None, seconds: float) -> float | None:
    return None if per_s is None else per_s * seconds


def _mean(rows: Iterable[ModelVersion], value: Callable[[ModelVersion], float | None]) -> float | None:
    """Mean over versions, by their requests."""
    known = [(one, row.requests_per_s or 0.0) for row in rows if (one := value(row)) is not None]
    weight = sum(per_s for _, per_s in known)
    return sum(one * per_s for one, per_s in known) / weight if weight > 0 else None


def _compute_us(row: ModelVersion) -> float | None:
    stages = (row.compute_input_us, row.compute_infer_us, row.compute_output_us)
    known = [stage for stage in stages if stage is not None]
    return sum(known) if known else None


def _client_errors(traffic: Sequence[Traffic]) -> float | None:
    known = [one.errors_per_s for one in traffic if one.errors_per_s is not None]
    return sum(known) if known else None


def _waiting(rows: Sequence[ModelVersion], traffic: Sequence[Traffic]) -> int | None:
    pending = [row.pending for row in rows if row.state is ModelState.READY and row.pending is not None]
    if pending:
        return sum(pending)
    in_flight = [one.in_flight for one in traffic if one.in_flight is not None]
    return sum(in_flight) if in_flight else None


def figures(intervals: Sequence[Interval]) -> Figures:
    """What a model did in several intervals together."""
    seconds = sum(one.seconds for one in intervals)
    if not seconds:
        return Figures()
    answered, failed = sum(one.answered for one in intervals), sum(one.failed for one in intervals)
    inferences = sum(one.inferences or 0.0 for one in intervals)
    executions = sum(one.executions or 0.0 for one in intervals)
    origin = next((one.p99_origin for one in reversed(intervals) if one.p99_us is not None), "")
    errors = [one for one in intervals if one.client_errors is not None]
    return Figures(
        window_s=seconds,
        requests=answered + failed,
        requests_per_s=answered / seconds,
        failures_per_s=failed / seconds,
        failure_ratio=failed / (answered + failed) if answered + failed > 0 else None,
        batch_avg=inferences / executions if executions > 0 else None,
        queue_us=_weighted(intervals, lambda one: one.queue_us, lambda one: one.answered),
        compute_us=_weighted(intervals, lambda one: one.compute_us, lambda one: one.answered),
        p99_us=_weighted(
            [one for one in intervals if one.p99_origin == origin], lambda one: one.p99_us, lambda one: one.seconds
        ),
        p99_origin=origin,
        busy_ratio=_weighted(intervals, lambda one: one.busy_ratio, lambda one: one.seconds),
        client_errors_per_s=sum(one.client_errors or 0.0 for one in errors) / sum(one.seconds for one in errors)
        if errors
        else None,
        stalled_s=_stalled_s(intervals),
    )


def _weighted(
    intervals: Iterable[Interval], value: Callable[[Interval], float | None], weight: Callable[[Interval], float]
) -> float | None:
    known = [(one_value, weight(one)) for one in intervals if (one_value := value(one)) is not None]
    total = sum(share for _, share in known)
    return sum(one_value * share for one_value, share in known) / total if total > 0 else None


def _stalled_s(intervals: Sequence[Interval]) -> float:
    """Seconds at the end in which requests waited and none was answered."""
    seconds = 0.0
    for one in reversed(intervals):
        if one.requests > 0 or not one.waiting:
            break
        seconds += one.seconds
    return seconds


def judged_part(intervals: Sequence[Interval]) -> Sequence[Interval]:
    """The newest intervals that are long enough, and have requests enough, to judge by; all of them if none are."""
    seconds = requests = 0.0
    for at in range(len(intervals) - 1, -1, -1):
        seconds += intervals[at].seconds
        requests += intervals[at].requests
        # Half of the shortest interval is allowed for: seconds are sums of floating-point differences.
        if seconds >= JUDGED_S - 0.05 and requests >= JUDGED_REQUESTS:
            return intervals[at:]
    return intervals


def judge(before: Figures, after: Sequence[Interval], rails: Rails) -> tuple[RailStatus, ...]:
    """What each rail says of the newest part of what came after a change."""
    part = judged_part(after)
    now = figures(part)
    enough = now.window_s >= JUDGED_S - 0.05 and now.requests >= JUDGED_REQUESTS
    statuses = []
    if rails.failure_ratio is not None:
        was = before.failure_ratio or 0.0
        statuses.append(_rail("failure_ratio", rails.failure_ratio, was, now.failure_ratio, enough=enough))
    if rails.queue_us is not None:
        statuses.append(_rail("queue_us", rails.queue_us, before.queue_us, now.queue_us, enough=enough))
    if rails.p99_us is not None:
        same_origin = before.p99_origin == now.p99_origin
        was_p99 = before.p99_us if same_origin else None
        statuses.append(_rail("p99_us", rails.p99_us, was_p99, now.p99_us, enough=enough))
    if rails.client_errors_per_s is not None:
        was = before.client_errors_per_s or 0.0
        long_enough = now.window_s >= JUDGED_S - 0.05
        statuses.append(
            _rail("client_errors_per_s", rails.client_errors_per_s, was, now.client_errors_per_s, enough=long_enough)
        )
    if rails.stalled_s is not None:
        stalled_s = _stalled_s(after)
        state = RailState.CROSSED if stalled_s >= rails.stalled_s else RailState.HELD
        waits = bool(after) and after[-1].waiting is not None
        statuses.append(
            RailStatus("stalled_s", state if waits else RailState.UNKNOWN, None, stalled_s, rails.stalled_s)
        )
    return tuple(statuses)


def _rail(
    name: str, rail: tuple[float, float], before: float | None, after: float | None, *, enough: bool
) -> RailStatus:
    limit = None if before is None else max(before * rail[0], before + rail[1])
    if not enough:
        state = RailState.TOO_LITTLE_TRAFFIC
    elif after is None or limit is None:
        state = RailState.UNKNOWN
    else:
        state = RailState.CROSSED if after > limit else RailState.HELD
    return RailStatus(name, state, before, after, limit)


class Trial:
    """One trial from its begin to its end. It decides; who drives it acts.

    Args:
        entry: its begin in the ledger.
        rails: what takes it back.
        before: what the model did before the change.
    """

    def __init__(self, entry: Entry, rails: Rails, before: Sequence[Interval] = ()) -> None:
        self.entry = entry
        self.state = TrialState.BEFORE
        self.text = ""
        self._rails = rails
        self._before = figures(before)
        self._after: list[Interval] = []
        self._applied_at: float | None = None
        self._ends_at: float | None = None

    def applied(self, mono: float) -> None:
        """The change is in force since `mono` [monotonic s]; the countdown begins."""
        self.state = TrialState.WATCHING
        self._applied_at = mono
        self._ends_at = mono + (self.entry.trial_s or 0.0)

    def observe(self, interval: Interval) -> None:
        """Take what the model did; what began before the change had settled does not count."""
        if self._applied_at is not None and interval.began >= self._applied_at + self._settle_s:
            self._after.append(interval)

    @property
    def _settle_s(self) -> float:
        return min(SETTLE_S, (self.entry.trial_s or 0.0) / 4)

    def ended(self, state: TrialState, text: str) -> None:
        """What became of it."""
        self.state, self.text = state, text

    def left_s(self, mono: float) -> float | None:
        """Seconds until it is taken back by itself, `None` unless it is being watched."""
        return None if self.state is not TrialState.WATCHING or self._ends_at is None else self._ends_at - mono

    def reason_to_take_back(self, mono: float) -> str:
        """Why it must be taken back now, "" while it must not."""
        left_s = self.left_s(mono)
        if left_s is None:
            return ""
        for rail in self.rails():
            if rail.state is RailState.CROSSED:
                return _crossing(rail)
        if left_s <= 0:
            judged = any(rail.state is RailState.HELD for rail in self.rails() if rail.name != "stalled_s")
            return "its time ran out" + ("" if judged else ", and there was not enough traffic to judge it")
        return ""

    def rails(self) -> tuple[RailStatus, ...]:
        """Every rail as it stands."""
        return judge(self._before, self._after, self._rails)

    def status(self, mono: float) -> TrialStatus:
        """What the screen is told."""
        left_s = self.left_s(mono)
        entry = self.entry
        return TrialStatus(
            trial_id=entry.id,
            server=entry.server,
            model=entry.model,
            state=self.state,
            began_at=entry.at,
            trial_s=entry.trial_s or 0.0,
            ends_in_s=None if left_s is None else max(0.0, left_s),
            before=self._before,
            after=figures(self._after),
            rails=self.rails(),
            diff=entry.diff,
            who=str(entry.author or ""),
            text=self.text,
        )


_UNITS = {"failure_ratio": (100.0, "%"), "queue_us": (1e-3, " ms"), "p99_us": (1e-3, " ms")}
_NAMES = {
    "failure_ratio": "failed requests",
    "queue_us": "the time in the queue",
    "p99_us": "the p99",
    "client_errors_per_s": "errors of our own traffic",
}


def _crossing(rail: RailStatus) -> str:
    if rail.name == "stalled_s":
        return f"requests waited and none was answered for {rail.after or 0.0:.0f} s"
    factor, unit = _UNITS.get(rail.name, (1.0, "/s"))
    before, after, limit = ((value or 0.0) * factor for value in (rail.before, rail.after, rail.limit))
    return f"{_NAMES[rail.name]} rose from {before:.3g} to {after:.3g}{unit}, and the rail is {limit:.3g}{unit}"
