"""Increments of counters that may restart, and the rates and means made from them.

An unknown increment is NaN here, so that it spreads through a sum by itself; `rate` and `mean`
turn it into `None`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from operator import sub

MIN_SPAN_S = 1e-3
"""Two readings closer together than this are one: no rate is made of them."""

_ABSURD = 1e200
"""No counter of a real server comes near; above it, quotients could overflow."""


def increments(new: Sequence[float], old: Sequence[float]) -> tuple[Sequence[float], bool]:
    """What each counter gained between two readings.

    A counter that went back has restarted at 0 in between, so it gained at least its new value:
    the increments never exceed what was really counted.

    Args:
        new: the later values, [counters].
        old: the earlier values of the same counters, [counters].

    Returns:
        The increments, [counters], each >= 0 or NaN where either value is NaN, infinite,
        negative or absurdly large; and whether any counter went back.
    """
    gained = list(map(sub, new, old))
    # One pass in C for the usual case; NaN fails the second comparison, whatever min() made of it.
    if not gained or (min(gained) >= 0 and sum(gained) < _ABSURD and min(old) >= 0):
        return gained, False
    checked = [_increment(after, before) for after, before in zip(new, old, strict=True)]
    went_back = any(0 <= after < before < _ABSURD for after, before in zip(new, old, strict=True))
    return checked, went_back


def _increment(new: float, old: float) -> float:
    if not (0 <= new < _ABSURD and 0 <= old < _ABSURD):
        return nan
    return new - old if new >= old else new


def rate(gained: float, span_s: float | None) -> float | None:
    """Events per second, or `None` where the increment or the span is unknown."""
    if span_s is not None and span_s >= MIN_SPAN_S and gained >= 0:
        return gained / span_s
    return None


def mean(gained: float, events: float) -> float | None:
    """`gained` for each of `events`, or `None` where there was no event or either is unknown."""
    if events >= 1 and gained >= 0:
        return gained / events
    return None


def gauge(value: float) -> float | None:
    """A gauge that cannot be negative, or `None` for NaN, an infinity or a negative value."""
    return value if isfinite(value) and value >= 0 else None


def count(value: float) -> int | None:
    """A gauge that counts things or bytes, or `None` as in `gauge`."""
    return int(value) if isfinite(value) and value >= 0 else None


def ratio(value: float) -> float | None:
    """A gauge between 0 and 1, or `None` for anything else."""
    return value if 0 <= value <= 1 else None
