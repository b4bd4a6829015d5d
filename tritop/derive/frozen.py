"""Whether a server's Prometheus counters stand still by configuration.

`--metrics-config counter_latencies=false` keeps every counter at 0, those of requests included, because
Triton's IncrementCounter returns early; the gauges, the summaries and ModelStatistics go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from tritop.derive.exposition import Exposition, VersionSample
from tritop.derive.layout import QUEUE_US
from tritop.derive.statistics import SUCCESSES, Statistics


@dataclass(frozen=True, slots=True)
class FrozenTrack:
    """The finding, and how many scrapes in a row spoke for it."""

    frozen: bool = False
    suspicions: int = 0


NOT_FROZEN = FrozenTrack()


def next_frozen(
    track: FrozenTrack, before: Exposition | None, now: Exposition | None, statistics: Statistics | None
) -> FrozenTrack:
    """Judge a new scrape by itself and against the statistics read before it.

    Counters that work are never behind statistics that were read earlier, except when a model was
    unloaded and loaded between the two; so it takes two scrapes in a row.
    """
    if now is None or now is before:
        return track
    if any(sample.successes > 0 for sample in now.versions.values()):
        return NOT_FROZEN
    if any(_summary_moved_alone(sample) for sample in now.versions.values()):
        return FrozenTrack(True, track.suspicions)
    if statistics is None or statistics.reading.mono >= now.reading.mono:
        return track
    behind = any(
        tally.totals[SUCCESSES] > 0 and (sample := now.versions.get(key)) is not None and sample.columns.loaded
        for key, tally in statistics.versions.items()
    )
    suspicions = track.suspicions + 1 if behind else 0
    return FrozenTrack(track.frozen or suspicions >= 2, suspicions)


def _summary_moved_alone(sample: VersionSample) -> bool:
    """A summary counts requests while the counters of the same scrape have none."""
    return (
        not sample.successes > 0
        and bool(sample.columns.roles[QUEUE_US])
        and any(sample.values[summary.count_at] > 0 for summary in sample.columns.summaries)
    )
