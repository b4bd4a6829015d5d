"""Increments of counters that may restart."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tritop.derive.counters import count, gauge, increments, mean, rate, ratio

STEPS = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(STEPS)
def test_increments_add_up_to_what_was_counted(steps: list[int]) -> None:
    total, seen = 0, 0.0
    for step in steps:
        (gained,), restarted = increments((total + step,), (total,))
        assert not restarted
        total, seen = total + step, seen + gained
    assert seen == sum(steps)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_under_resets_increments_are_at_most_what_was_counted(steps: list[tuple[bool, int, int]]) -> None:
    """Each step counts, then perhaps restarts at 0 and counts on, all between two readings."""
    value, seen, truth = 0, 0.0, 0
    for reset, before, after in steps:
        last = value
        value = after if reset else value + before + after
        (gained,), restarted = increments((value,), (last,))
        assert gained >= 0
        assert restarted == (value < last)
        seen, truth = seen + gained, truth + before + after
    assert seen <= truth


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=12))
def test_any_numbers_at_all_give_finite_increments_or_nan(pairs: list[tuple[float, float]]) -> None:
    gained, _ = increments([new for new, _ in pairs], [old for _, old in pairs])
    assert len(gained) == len(pairs)
    for one, (new, old) in zip(gained, pairs, strict=True):
        assert math.isnan(one) or 0 <= one < math.inf
        if not (math.isfinite(new) and math.isfinite(old)) or new < 0 or old < 0:
            assert math.isnan(one)


@given(st.floats(), st.floats(allow_nan=False), st.floats())
def test_rates_and_means_are_none_rather_than_wrong(gained: float, span_s: float, events: float) -> None:
    for value in (rate(min(gained, 1e200), span_s), mean(min(gained, 1e200), events)):
        assert value is None or (value >= 0 and math.isfinite(value))


def test_a_rate_needs_time() -> None:
    assert rate(5.0, None) is None
    assert rate(5.0, 0.0) is None
    assert rate(5.0, -1.0) is None
    assert rate(5.0, 2.0) == 2.5


def test_a_mean_needs_an_event() -> None:
    assert mean(100.0, 0.0) is None
    assert mean(100.0, 4.0) == 25.0


@given(st.floats())
def test_gauges_are_none_where_they_make_no_sense(value: float) -> None:
    usable = math.isfinite(value) and value >= 0
    assert gauge(value) == (value if usable else None)
    assert count(value) == (int(value) if usable else None)
    assert ratio(value) == (value if 0 <= value <= 1 else None)
