"""Quantiles that the server gives: its summaries over 60 s, and its histograms over one interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite, nan

from tritop.derive.exposition import VersionSample
from tritop.derive.layout import HistogramColumns
from tritop.model import Origin, Quantile

HISTOGRAM_QUANTILES = (0.5, 0.9, 0.95, 0.99)


def quantiles(sample: VersionSample, exposition: Sequence[float]) -> tuple[Quantile, ...]:
    """The quantiles of every stage whose count moved since the scrape before.

    Triton's summaries keep their last quantiles for up to 60 s after the last request and then
    become NaN (prometheus-cpp, sliding window of 60 s), so a count that stands still makes them history.
    """
    gained = sample.gained
    columns = sample.columns
    if gained is None or not (columns.summaries or columns.histograms):
        return ()
    found: list[Quantile] = []
    moving = [summary for summary in columns.summaries if gained[summary.count_at] > 0]
    stages = [summary.stage for summary in moving]
    for summary in moving:
        # Quantiles of two summaries cannot be put together.
        if stages.count(summary.stage) == 1:
            for q, column in summary.quantiles:
                us = exposition[column]
                if isfinite(us) and us >= 0:
                    found.append(Quantile(summary.stage, q, us))
    for histogram in columns.histograms:
        if histogram.stage not in stages:
            found.extend(_histogram_quantiles(histogram, gained))
    return tuple(found)


def p99(sample: VersionSample, found: tuple[Quantile, ...]) -> tuple[float | None, Origin | None]:
    """The 99th percentile of the whole request among `quantiles`, and where it is from."""
    for quantile in found:
        if quantile.stage == "request" and quantile.q == 0.99:
            summaries = {summary.stage for summary in sample.columns.summaries}
            return quantile.us, Origin.QUANTILE_60S if "request" in summaries else Origin.HISTOGRAM
    return None, None


def _histogram_quantiles(histogram: HistogramColumns, gained: Sequence[float]) -> list[Quantile]:
    cumulative = [sum(gained[place] for place in places) for places in histogram.buckets_at]
    found = []
    for q in HISTOGRAM_QUANTILES:
        us = histogram_quantile(q, histogram.bounds, cumulative) * histogram.us_per_unit
        if isfinite(us) and us >= 0:
            found.append(Quantile(histogram.stage, q, us))
    return found


def histogram_quantile(q: float, bounds: Sequence[float], cumulative: Sequence[float]) -> float:
    """Interpolate a quantile within its bucket, as PromQL's `histogram_quantile` does.

    Args:
        q: 0..1.
        bounds: upper bounds, ascending, the last one infinite, [buckets].
        cumulative: how many observations were at most each bound, [buckets].

    Returns:
        The quantile in the unit of the bounds. NaN where there is no observation, where the counts do not
        ascend, and where the quantile lies above the last finite bound: nobody measured how far above.
    """
    total = cumulative[-1]
    if not 0 < total < inf or any(not low <= high for low, high in pairwise(cumulative)):
        return nan
    rank = q * total
    below, start = 0.0, 0.0
    for bound, count in zip(bounds, cumulative, strict=True):
        if count >= rank and count > below:
            if bound == inf:
                return nan
            start = min(start, bound)
            return start + (bound - start) * (rank - below) / (count - below)
        below, start = count, bound
    return nan
