"""Rates and means of one model version, from either of the two sources that count requests.

Both give the same numbers by different counters: a mean stage time is the stage's time divided by the
requests that had the stage (docs/user_guide/metrics.md and the statistics extension of the v2 protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

from tritop.derive import layout
from tritop.derive import statistics as tally
from tritop.derive.counters import mean, rate
from tritop.derive.exposition import VersionSample
from tritop.derive.statistics import VersionTally


class Rates(NamedTuple):
    """Requests, failures, inferences and executions per second, and mean times [us]."""

    requests_per_s: float | None = None
    failures_per_s: float | None = None
    failures_by_reason: tuple[tuple[str, float], ...] = ()
    inferences_per_s: float | None = None
    executions_per_s: float | None = None
    batch_avg: float | None = None
    request_us: float | None = None
    queue_us: float | None = None
    compute_input_us: float | None = None
    compute_infer_us: float | None = None
    compute_output_us: float | None = None
    cache_hit_ratio: float | None = None
    gpu_requests_per_s: tuple[tuple[str, float], ...] = ()


NO_RATES = Rates()


def rates_of_sample(sample: VersionSample, span_s: float | None) -> Rates:
    """Rates from the Prometheus counters; all unknown for a first sample."""
    gained = sample.gained
    if gained is None or span_s is None:
        return NO_RATES
    columns = sample.columns
    if columns.simple:
        success, inferences, executions, request, queue, compute_input, infer, output = gained[: layout.HITS]
    else:
        success, inferences, executions, request, queue, compute_input, infer, output = (
            _total(gained, places) for places in columns.roles[: layout.HITS]
        )
    hits_at, misses_at = columns.roles[layout.HITS], columns.roles[layout.MISSES]
    hits = _total(gained, hits_at) if hits_at else 0.0
    lookups = hits + _total(gained, misses_at) if misses_at else 0.0
    # A hit has no compute time, yet it is a success.
    computed = success - hits if success >= hits else success
    failures, by_reason = _failures(sample, gained, span_s)
    return Rates(
        rate(success, span_s),
        failures,
        by_reason,
        rate(inferences, span_s),
        rate(executions, span_s),
        batch_average(inferences, executions),
        mean(request, success),
        mean(queue, success),
        mean(compute_input, computed),
        mean(infer, computed),
        mean(output, computed),
        mean(hits, lookups) if hits_at else None,
        _by_gpu(sample, gained, span_s) if columns.gpus else (),
    )


def batch_average(inferences: float, executions: float) -> float | None:
    """Inferences in an execution; an execution that failed counts as one without any inference."""
    return mean(inferences, executions) or None


def rates_of_summaries(sample: VersionSample, span_s: float | None) -> Rates:
    """What the summaries tell where the counters stand still: requests and mean times, no failures."""
    gained = sample.gained
    if gained is None or span_s is None:
        return NO_RATES
    counts = {summary.stage: gained[summary.count_at] for summary in sample.columns.summaries}
    means = {
        summary.stage: mean(gained[summary.sum_at], gained[summary.count_at])
        for summary in sample.columns.summaries
        if summary.sum_at is not None
    }
    # A model with a response cache has no summary of whole requests; every request has a queue time.
    requests = counts.get("request", counts.get("queue"))
    return Rates(
        requests_per_s=rate(requests, span_s) if requests is not None else None,
        request_us=means.get("request"),
        queue_us=means.get("queue"),
        compute_input_us=means.get("compute_input"),
        compute_infer_us=means.get("compute_infer"),
        compute_output_us=means.get("compute_output"),
    )


def _total(gained: Sequence[float], places: tuple[int, ...]) -> float:
    return sum([gained[place] for place in places]) if places else nan


def _failures(
    sample: VersionSample, gained: Sequence[float], span_s: float
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    failures = sample.columns.failures
    if not failures:
        return None, ()
    total = sum([gained[place] for _, place in failures])
    if total == 0:
        return 0.0, ()
    by_reason: dict[str, float] = {}
    for reason, place in failures:
        if gained[place] > 0:
            by_reason[reason] = by_reason.get(reason, 0.0) + gained[place] / span_s
    return rate(total, span_s), tuple(by_reason.items())


def _by_gpu(sample: VersionSample, gained: Sequence[float], span_s: float) -> tuple[tuple[str, float], ...]:
    by_gpu: dict[str, float] = {}
    for uuid, place in sample.columns.gpus:
        if gained[place] >= 0:
            by_gpu[uuid] = by_gpu.get(uuid, 0.0) + gained[place] / span_s
    return tuple(by_gpu.items())


def rates_of_tally(version: VersionTally, span_s: float | None) -> Rates:
    """Rates from ModelStatistics, which name no reason for a failure; all unknown for a first reading."""
    gained = version.gained
    if gained is None or span_s is None:
        return NO_RATES
    success = gained[tally.SUCCESSES]
    hits, misses = gained[tally.HITS], gained[tally.MISSES]
    cached = version.totals[tally.HITS] or version.totals[tally.MISSES]
    return Rates(
        requests_per_s=rate(success, span_s),
        failures_per_s=rate(gained[tally.FAILURES], span_s),
        inferences_per_s=rate(gained[tally.INFERENCES], span_s),
        executions_per_s=rate(gained[tally.EXECUTIONS], span_s),
        batch_avg=batch_average(gained[tally.INFERENCES], gained[tally.EXECUTIONS]),
        request_us=mean(gained[tally.REQUEST_NS] / 1e3, success),
        queue_us=mean(gained[tally.QUEUE_NS] / 1e3, gained[tally.QUEUE_COUNT]),
        compute_input_us=mean(gained[tally.INPUT_NS] / 1e3, gained[tally.INPUT_COUNT]),
        compute_infer_us=mean(gained[tally.INFER_NS] / 1e3, gained[tally.INFER_COUNT]),
        compute_output_us=mean(gained[tally.OUTPUT_NS] / 1e3, gained[tally.OUTPUT_COUNT]),
        cache_hit_ratio=mean(hits, hits + misses) if cached else None,
    )
