"""Two readings of ModelStatistics -> increments, the batch-size spectrum and BUSY of every version.

Triton keeps these numbers in the model object (core `InferenceStatsAggregator`), so every full reload
restarts them at 0 while the Prometheus counters of the same model continue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple

from tritop.derive.counters import MIN_SPAN_S, increments
from tritop.derive.exposition import GAP_PERIODS
from tritop.derive.layout import Key
from tritop.model import BatchSize
from tritop.reading import ApiReading, BatchStatistics, VersionStatistics

WINDOW_S = 10.0
"""Span of the batch-size spectrum."""

POINT_SPACING_S = 0.5
"""Points of the window closer together than this are not kept, which bounds them at short intervals."""

LONG_EXECUTION = 0.2
"""An execution that lasts this share of the interval makes the interval's BUSY jump: it ends in one
interval and was running in another. BUSY is then taken over the window of the spectrum."""

(
    SUCCESSES,
    FAILURES,
    INFERENCES,
    EXECUTIONS,
    REQUEST_NS,
    QUEUE_COUNT,
    QUEUE_NS,
    INPUT_COUNT,
    INPUT_NS,
    INFER_COUNT,
    INFER_NS,
    OUTPUT_COUNT,
    OUTPUT_NS,
    HITS,
    MISSES,
) = range(15)
"""Places in `VersionTally.totals` and `VersionTally.gained`."""


class BatchPoint(NamedTuple):
    """The cumulative batch statistics at one instant of the window."""

    mono: float
    sizes: tuple[int, ...]
    executions: tuple[int, ...]
    """For each size."""
    compute_ns: tuple[int, ...]
    """For each size: input, infer and output together."""
    total_ns: int
    """Sum of `compute_ns`."""


class VersionTally(NamedTuple):
    """One model version in one reading of the statistics, against the reading before.

    It is the same object as for the reading before where nothing moved.
    """

    statistics: VersionStatistics
    totals: tuple[int, ...]
    gained: Sequence[float] | None
    """As `VersionSample.gained`."""
    restarted: bool
    quiet: bool
    window: tuple[BatchPoint, ...]
    """Newest last; the first one is the base that the spectrum is counted from."""
    batch_sizes: tuple[BatchSize, ...]
    window_s: float | None
    busy_s: float | None
    """Seconds of execution per second, over all instances."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """The newest ModelStatistics of one server, against those before."""

    reading: ApiReading
    span_s: float | None
    versions: dict[Key, VersionTally]


def next_statistics(before: Statistics | None, reading: ApiReading, period_s: float) -> Statistics | None:
    """Compare statistics with those before; returns `before` if it is the same reading or has none."""
    if reading.statistics is None or (before is not None and reading is before.reading):
        return before
    span_s = reading.mono - before.reading.mono if before is not None else None
    if before is None or span_s is None or not span_s >= MIN_SPAN_S:
        return Statistics(reading, None, _first(reading.mono, reading.statistics))
    known = before.versions
    gap = span_s > GAP_PERIODS * period_s
    versions: dict[Key, VersionTally] = {}
    for statistics in reading.statistics:
        key = (statistics.name, statistics.version)
        last = known.get(key)
        if last is None:
            versions[key] = _first_tally(reading.mono, statistics)
        elif last.quiet and not last.batch_sizes and (statistics is last.statistics or statistics == last.statistics):
            versions[key] = last
        else:
            versions[key] = _compare(last, statistics, before.reading.mono, reading.mono, gap)
    return Statistics(reading, span_s, versions)


def _first(mono: float, statistics: Iterable[VersionStatistics]) -> dict[Key, VersionTally]:
    return {(version.name, version.version): _first_tally(mono, version) for version in statistics}


def _first_tally(mono: float, statistics: VersionStatistics) -> VersionTally:
    window = (_point(mono, statistics.batches),)
    return VersionTally(statistics, _totals(statistics), None, False, False, window, (), None, None)


def _point(mono: float, batches: tuple[BatchStatistics, ...]) -> BatchPoint:
    compute_ns = tuple([batch.compute_input_ns + batch.compute_infer_ns + batch.compute_output_ns for batch in batches])
    sizes, executions = tuple([batch.size for batch in batches]), tuple([batch.count for batch in batches])
    return BatchPoint(mono, sizes, executions, compute_ns, sum(compute_ns))


def _totals(statistics: VersionStatistics) -> tuple[int, ...]:
    """The counters in the order of SUCCESSES..MISSES."""
    success, queue, compute_input = statistics.success, statistics.queue, statistics.compute_input
    infer, output = statistics.compute_infer, statistics.compute_output
    return (
        success.count,
        statistics.fail.count,
        statistics.inference_count,
        statistics.execution_count,
        success.ns,
        queue.count,
        queue.ns,
        compute_input.count,
        compute_input.ns,
        infer.count,
        infer.ns,
        output.count,
        output.ns,
        statistics.cache_hit.count,
        statistics.cache_miss.count,
    )


def _compare(
    last: VersionTally, statistics: VersionStatistics, last_mono: float, mono: float, gap: bool
) -> VersionTally:
    moved = statistics is not last.statistics
    totals = _totals(statistics) if moved else last.totals
    gained, restarted = increments(totals, last.totals)
    before = last.window[-1]._replace(mono=last_mono)
    newest = _point(mono, statistics.batches) if moved else before._replace(mono=mono)
    if restarted:
        # What ran before belongs to a model object, perhaps to a configuration, that is gone.
        before = BatchPoint(last_mono, (), (), (), 0)
        window: tuple[BatchPoint, ...] = (before, newest)
    else:
        window = _slide(last.window, before, newest)
    known = gained if not (restarted and gap) else None
    spectrum, window_s, busy_s = _spectrum(window, before) if known is not None else ((), None, None)
    # The object that was replaced took the rest of its executions with it.
    busy_s = None if restarted else busy_s
    quiet = not restarted and not any(gained)
    return VersionTally(statistics, totals, known, restarted, quiet, window, spectrum, window_s, busy_s)


def _slide(window: tuple[BatchPoint, ...], before: BatchPoint, newest: BatchPoint) -> tuple[BatchPoint, ...]:
    """Append a point and drop the ones that the window no longer needs as its base."""
    if window[-1].mono < before.mono:
        # It was kept as it is while nothing moved, so all of its points say what `before` says.
        return before, newest
    points = list(window)
    if len(points) > 1 and points[-1].mono - points[-2].mono < POINT_SPACING_S:
        points.pop()
    oldest = newest.mono - WINDOW_S
    first = 0
    while first + 1 < len(points) and points[first + 1].mono <= oldest:
        first += 1
    return (*points[first:], newest)


def _spectrum(window: tuple[BatchPoint, ...], before: BatchPoint) -> tuple[tuple[BatchSize, ...], float, float]:
    """The batch sizes that ran within the window, its length, and BUSY over the interval or the window."""
    newest = window[-1]
    window_s = newest.mono - window[0].mono
    counts, times_ns = _ran(window[0], newest)
    executions = sum(counts)
    if executions <= 0:
        return (), window_s, 0.0
    sizes = tuple(
        [
            BatchSize(size, count / window_s, ns / 1e3 / (count * size) if size > 0 else None, count / executions)
            for size, count, ns in zip(newest.sizes, counts, times_ns, strict=True)
            if count > 0
        ]
    )
    window_ns, span_s = sum(times_ns), newest.mono - before.mono
    if window_ns / executions > LONG_EXECUTION * span_s * 1e9:
        return sizes, window_s, window_ns / 1e9 / window_s
    return sizes, window_s, max(0, newest.total_ns - before.total_ns) / 1e9 / span_s


def _ran(base: BatchPoint, newest: BatchPoint) -> tuple[list[int], list[int]]:
    """(executions, compute time [ns]) since `base` for each of `newest.sizes`."""
    old_counts, old_ns = base.executions, base.compute_ns
    if base.sizes != newest.sizes:
        past = {size: (count, ns) for size, count, ns in zip(base.sizes, old_counts, old_ns, strict=True)}
        old = [past.get(size, (0, 0)) for size in newest.sizes]
        old_counts, old_ns = tuple([count for count, _ in old]), tuple([ns for _, ns in old])
    counts, times_ns = list(map(sub, newest.executions, old_counts)), list(map(sub, newest.compute_ns, old_ns))
    if counts and (min(counts) < 0 or min(times_ns) < 0):
        return [max(0, count) for count in counts], [max(0, ns) for ns in times_ns]
    return counts, times_ns
