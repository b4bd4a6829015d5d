from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.errors import UsageError
from tritop.load.schedule import Aim, Arrivals

RATES = st.floats(0.01, 100_000)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "either"),
        ({"concurrency": 1, "rate_per_s": 1.0}, "either"),
        ({"concurrency": 0}, "between 1"),
        ({"concurrency": 5000}, "between 1"),
        ({"rate_per_s": 0.0}, "above 0"),
        ({"rate_per_s": math.nan}, "above 0"),
        ({"rate_per_s": math.inf}, "above 0"),
        ({"concurrency": 1, "poisson": True}, "Poisson"),
    ],
)
def test_an_aim_that_cannot_be_is_refused_with_a_sentence(arguments: dict[str, float], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Aim(**arguments)  # type: ignore[arg-type]  # one dict for fields of several types


@given(RATES, st.integers(0, 10**6))
def test_a_constant_rate_does_not_drift(rate_per_s: float, count: int) -> None:
    arrivals = Arrivals(rate_per_s, poisson=False, start_s=1000.0)
    arrivals._count = count - 1
    arrivals.advance()
    assert arrivals.next_s == 1000.0 + count / rate_per_s


@given(RATES, st.booleans(), st.integers(0, 2**32))
def test_arrivals_never_go_back_and_repeat_with_their_seed(rate_per_s: float, poisson: bool, seed: int) -> None:
    one, two = (Arrivals(rate_per_s, poisson=poisson, start_s=5.0, seed=seed) for _ in range(2))
    for _ in range(100):
        before_s = one.next_s
        assert one.next_s == two.next_s >= 5.0
        one.advance()
        two.advance()
        assert one.next_s >= before_s


def test_poisson_gaps_are_exponential_with_the_mean_that_was_asked_for() -> None:
    arrivals = Arrivals(50.0, poisson=True, start_s=0.0, seed=7)
    times = []
    for _ in range(20_000):
        times.append(arrivals.next_s)
        arrivals.advance()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.03)
    # Of an exponential distribution exp(-1) is above the mean, and its deviation is its mean.
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.01)
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(mean, rel=0.03)


def test_what_is_skipped_is_counted() -> None:
    arrivals = Arrivals(10.0, poisson=False, start_s=0.0)
    assert arrivals.skip_until(0.95) == 10
    assert arrivals.next_s == 1.0
    assert arrivals.skip_until(1.0) == 0


@pytest.mark.parametrize("rate_per_s", [0.0, -1.0, math.nan, math.inf])
def test_no_schedule_without_a_rate(rate_per_s: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        Arrivals(rate_per_s, poisson=False, start_s=0.0)
