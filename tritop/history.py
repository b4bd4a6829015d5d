"""Ten minutes of every row at full resolution, kept compactly, with the events on the same time line."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan

from tritop.model import Event, ModelVersion, Scheduling, Server, Snapshot

SPAN_S = 600.0
_TRIM = 64
"""Points beyond the span are dropped this many at a time, since dropping moves all of the rest."""
_LARGEST = 3e38
"""About what fits into a float of 32 bits; beyond it is rubbish that would flatten a chart."""
_NOTHING = array("f")


class Metric(StrEnum):
    """What is kept of each row. Units are in the names; a p99 is in microseconds too."""

    REQUESTS_PER_S = "requests_per_s"
    FAILURES_PER_S = "failures_per_s"
    QUEUE_US = "queue_us"
    COMPUTE_US = "compute_us"
    """Input, infer and output together."""
    BATCH_AVG = "batch_avg"
    BUSY_RATIO = "busy_ratio"
    PENDING = "pending"
    P99_US = "p99_us"


_METRICS = tuple(Metric)
Values = tuple[float | None, ...]
"""One value for each Metric, in their order."""
_UNKNOWN: Values = (None,) * len(_METRICS)


@dataclass(frozen=True, slots=True)
class Mark:
    """An event and its place on the time line."""

    mono: float
    event: Event


class _Row:
    """The series of one row; they end at the newest point and may begin later than the time line."""

    __slots__ = ("last_seen", "series")

    def __init__(self) -> None:
        self.series: tuple[array[float], ...] = tuple(array("f") for _ in _METRICS)
        self.last_seen = 0.0
        """Monotonic time of its last known value."""


class History:
    """Bounded series for each row and each server, fed with Snapshots.

    A series is `array('f')` with NaN for unknown: 32 bytes for each row and Snapshot. Rows whose
    numbers are older than the interval get NaN, so that a dead source leaves a gap and no flat line.
    A row without any number (never loaded) costs nothing, and one that vanished is forgotten when
    its last number has left the span.

    Args:
        span_s: how much time is kept.
    """

    def __init__(self, span_s: float = SPAN_S) -> None:
        self._span_s = span_s
        self._times: array[float] = array("d")
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._marks: deque[Mark] = deque()
        self._newest_event: Event | None = None

    def push(self, snapshot: Snapshot) -> None:
        """Append a Snapshot. One that is not later than the last one begins a new history."""
        last = self._times[-1] if self._times else None
        if last is not None and snapshot.mono <= last:
            self.clear()
            last = None
        self._mark(snapshot, last)
        self._times.append(snapshot.mono)
        missing = set(self._rows)
        for server in snapshot.servers:
            self._append(missing, (server.name, "", ""), server_values(server), snapshot.mono)
            for row in server.models:
                self._append(missing, (server.name, row.name, row.version), row_values(row), snapshot.mono)
        for key in missing:
            self._extend(self._rows[key], _UNKNOWN)
        self._trim(snapshot.mono - self._span_s)

    def clear(self) -> None:
        """Forget everything."""
        self._times = array("d")
        self._rows.clear()
        self._marks.clear()
        self._newest_event = None

    @property
    def rows(self) -> int:
        """How many rows and servers are remembered."""
        return len(self._rows)

    def times(self, seconds: float | None = None) -> Sequence[float]:
        """Monotonic times of the points within the last `seconds`, newest last, [points]."""
        return self._times[self._first(seconds) :]

    def series(self, server: str, model: str, version: str, metric: Metric | str) -> Sequence[float]:
        """All points of a row within the span; see `window`."""
        return self.window(server, model, version, metric, self._span_s)

    def window(self, server: str, model: str, version: str, metric: Metric | str, seconds: float) -> Sequence[float]:
        """The points of a row within the last `seconds`.

        Args:
            server: its name.
            model: its name, "" for the whole server.
            version: "" for the whole server.
            metric: one of Metric.
            seconds: counted back from the newest point.

        Returns:
            Values, newest last, NaN for unknown, [points]; they belong to the last so many of `times`.
            Empty for a row that is not remembered.
        """
        row = self._rows.get((server, model, version))
        if row is None:
            return _NOTHING
        points = len(self._times) - self._first(seconds)
        series = row.series[_METRICS.index(Metric(metric))]
        return series[max(0, len(series) - points) :]

    def marks(self, server: str | None = None, seconds: float | None = None) -> tuple[Mark, ...]:
        """Events within the last `seconds`, oldest first; of one server, or of all of them."""
        if not self._times:
            return ()
        oldest = self._times[-1] - (self._span_s if seconds is None else seconds)
        return tuple(
            mark for mark in self._marks if mark.mono >= oldest and (server is None or mark.event.server == server)
        )

    def _first(self, seconds: float | None) -> int:
        if not self._times:
            return 0
        return bisect_left(self._times, self._times[-1] - (self._span_s if seconds is None else seconds))

    def _append(
        self, missing: set[tuple[str, str, str]], key: tuple[str, str, str], values: Values, mono: float
    ) -> None:
        row = self._rows.get(key)
        if row is None:
            if values == _UNKNOWN:
                return
            row = self._rows[key] = _Row()
        elif key in missing:
            missing.remove(key)
        else:
            return  # The same row twice in one Snapshot: the first one counts.
        if values != _UNKNOWN:
            row.last_seen = mono
        self._extend(row, values)

    @staticmethod
    def _extend(row: _Row, values: Values) -> None:
        for series, value in zip(row.series, values, strict=True):
            series.append(value if value is not None and value < _LARGEST else nan)

    def _mark(self, snapshot: Snapshot, last: float | None) -> None:
        """Place the events that are new; wall time is trusted only where nothing bounds it."""
        new: list[Event] = []
        for event in reversed(snapshot.events):
            if event is self._newest_event:
                break
            new.append(event)
        for event in reversed(new):
            mono = snapshot.mono - max(0.0, snapshot.at - event.at)
            self._marks.append(Mark(mono if last is None else max(last, mono), event))
        if new:
            self._newest_event = new[0]

    def _trim(self, oldest: float) -> None:
        drop = bisect_left(self._times, oldest)
        while self._marks and self._marks[0].mono < oldest:
            self._marks.popleft()
        if drop < _TRIM:
            return
        keep = len(self._times) - drop
        del self._times[:drop]
        for key, row in list(self._rows.items()):
            if row.last_seen < oldest:
                del self._rows[key]
            else:
                for series in row.series:
                    del series[: max(0, len(series) - keep)]


def row_values(row: ModelVersion) -> Values:
    """What is kept of a row; nothing where its numbers are not of this interval."""
    if row.age_s is not None:
        return _UNKNOWN
    return (
        row.requests_per_s,
        row.failures_per_s,
        row.queue_us,
        _compute_us(row),
        row.batch_avg,
        row.busy_ratio,
        row.pending,
        row.p99_us,
    )


def _compute_us(row: ModelVersion) -> float | None:
    infer = row.compute_infer_us
    if infer is None:
        return None
    return infer + (row.compute_input_us or 0.0) + (row.compute_output_us or 0.0)


def server_values(server: Server) -> Values:
    """What is kept of a server.

    Requests, failures and pending requests are sums, times are means over requests, the batch is
    inferences over executions, BUSY is that of the busiest model. Ensembles are left out, because
    their requests are counted again in their steps. There is no p99: quantiles cannot be added up.
    """
    rows = [row for row in server.models if row.age_s is None and row.requests_per_s is not None]
    rows = [row for row in rows if row.config is None or row.config.scheduling is not Scheduling.ENSEMBLE]
    if not rows:
        return _UNKNOWN
    busy = [row.busy_ratio for row in rows if row.busy_ratio is not None]
    executions = _sum(row.executions_per_s for row in rows)
    inferences = _sum(row.inferences_per_s for row in rows)
    return (
        _sum(row.requests_per_s for row in rows),
        _sum(row.failures_per_s for row in rows),
        _mean((row.queue_us, row.requests_per_s) for row in rows),
        _mean((_compute_us(row), row.requests_per_s) for row in rows),
        inferences / executions if inferences and executions else None,
        max(busy) if busy else None,
        _sum(row.pending for row in rows),
        None,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean(pairs: Iterable[tuple[float | None, float | None]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight]
    weight = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / weight if weight else None
