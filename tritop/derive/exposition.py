"""Two scrapes of /metrics -> increments of every model version, with resets and gaps told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

from tritop.derive.counters import MIN_SPAN_S, increments
from tritop.derive.layout import Columns, Key, Labels, VersionColumns, read_layout
from tritop.reading import MetricsReading

GAP_PERIODS = 3
"""Over a longer gap than this many periods, a restarted counter says nothing about a rate."""


class VersionSample(NamedTuple):
    """One model version in one scrape, against the scrape before.

    It is the same object as for the scrape before where neither its values nor its increments differ.
    """

    columns: VersionColumns
    values: tuple[float, ...]
    """What `columns.take` picked."""
    gained: Sequence[float] | None
    """Increments of its counters; `None` for the first sample and across a gap with a restart."""
    restarted: bool
    quiet: bool
    """Its counters were read twice and none of them moved."""

    @property
    def pending(self) -> float:
        """Sum of the pending gauges, NaN where there are none."""
        gauges = self.values[self.columns.counters : self.columns.pending_end]
        return sum(gauges) if gauges else nan

    @property
    def load_duration_s(self) -> float:
        """The longest of the load durations, NaN where there is none."""
        gauges = self.values[self.columns.pending_end :]
        return max(gauges) if gauges else nan


@dataclass(frozen=True, slots=True, eq=False)
class Exposition:
    """The newest scrape of one server, against the scrape before."""

    reading: MetricsReading
    columns: Columns
    span_s: float | None
    """Time between the two scrapes; `None` for the first."""
    versions: dict[Key, VersionSample]
    restarted: bool = False
    """A failure series went back or vanished, which no living server does (it never removes one)."""

    @property
    def frozen(self) -> bool:
        """The counters stand still by configuration, as far as all series are known."""
        return self.columns.frozen and not self.reading.dropped_series


def next_exposition(before: Exposition | None, reading: MetricsReading, period_s: float) -> Exposition:
    """Compare a scrape with the one before; returns `before` itself if it is the same scrape."""
    if before is None:
        return _first(reading)
    if reading is before.reading:
        return before
    span_s = reading.mono - before.reading.mono
    if not span_s >= MIN_SPAN_S:
        return _first(reading)
    same_layout = reading.layout is before.reading.layout
    columns = before.columns if same_layout else read_layout(reading.layout)
    known, values = before.versions, reading.values
    gap = span_s > GAP_PERIODS * period_s
    # A series that was cut off by a bound is not new, so its past is unknown, not 0.
    unseen = nan if before.reading.dropped_series else 0.0
    versions: dict[Key, VersionSample] = {}
    for key, version in columns.versions.items():
        taken = version.take(values)
        last = known.get(key)
        if last is None or (version.loaded and not last.columns.loaded):
            versions[key] = VersionSample(version, taken, None, False, False)
        elif last.quiet and taken == last.values and version is last.columns:
            versions[key] = last
        else:
            versions[key] = _compare(last, version, taken, gap, unseen)
    return Exposition(reading, columns, span_s, versions, _server_restarted(before, reading, versions))


def _first(reading: MetricsReading) -> Exposition:
    columns = read_layout(reading.layout)
    versions = {
        key: VersionSample(version, version.take(reading.values), None, False, False)
        for key, version in columns.versions.items()
    }
    return Exposition(reading, columns, None, versions)


def _compare(
    last: VersionSample, version: VersionColumns, taken: tuple[float, ...], gap: bool, unseen: float
) -> VersionSample:
    size = version.counters
    if version is last.columns or version.identity == last.columns.identity:
        old: Sequence[float] = last.values[:size]
    else:
        past = dict(zip(last.columns.identity, last.values[: last.columns.counters], strict=True))
        old = [past.get(name, unseen) for name in version.identity]
    gained, restarted = increments(taken[:size], old)
    quiet = not restarted and not any(gained)
    return VersionSample(version, taken, None if restarted and gap else gained, restarted, quiet)


def _server_restarted(before: Exposition, reading: MetricsReading, versions: dict[Key, VersionSample]) -> bool:
    if before.reading.dropped_series or reading.dropped_series:
        return False
    return any(_failures_went_back(last, versions.get(key)) for key, last in before.versions.items())


def _failures_went_back(last: VersionSample, now: VersionSample | None) -> bool:
    if now is last or not last.columns.failures:
        return False
    if now is None:
        return True
    if not now.restarted and (now.columns is last.columns or now.columns.identity == last.columns.identity):
        return False
    return any(
        now_count < count for count, now_count in zip(_failures(last).values(), _matching(last, now), strict=True)
    )


def _failures(sample: VersionSample) -> dict[Labels, float]:
    return {sample.columns.identity[place][2]: sample.values[place] for _, place in sample.columns.failures}


def _matching(last: VersionSample, now: VersionSample) -> list[float]:
    """Failure counts of `now` in the order of those of `last`; a vanished one is -1."""
    counts = _failures(now)
    return [counts.get(labels, -1.0) for labels in _failures(last)]
