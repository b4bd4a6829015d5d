from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.load.latencies import MAX_KINDS, OTHER_KINDS, WINDOW_S, Latencies, error_kind


def nearest_rank(latencies_us: list[int], percent: float) -> int:
    """perf_analyzer's percentile (inference_profiler.cc): the element at p * (n - 1), rounded."""
    return sorted(latencies_us)[int(percent / 100 * (len(latencies_us) - 1) + 0.5)]


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=300))
def test_percentiles_are_those_of_all_latencies_within_the_digits_kept(latencies_us: list[int]) -> None:
    latencies = Latencies(0.0)
    for latency_us in latencies_us:
        latencies.succeeded(0.5, latency_us, 1)
    figures = latencies.total(1.0)
    ordered = sorted(latencies_us)
    assert figures.requests == len(latencies_us)
    assert figures.max_us == ordered[-1]
    assert figures.mean_us == pytest.approx(sum(latencies_us) / len(latencies_us))
    for percent, value in ((50, figures.p50_us), (90, figures.p90_us), (95, figures.p95_us), (99, figures.p99_us)):
        # The library rounds the rank its own way, which may be one element off perf_analyzer's.
        rank = ordered.index(nearest_rank(latencies_us, percent))
        last = max(index for index, latency_us in enumerate(ordered) if latency_us == ordered[rank])
        assert value is not None
        assert ordered[max(0, rank - 1)] * 0.999 <= value <= ordered[min(last + 1, len(ordered) - 1)] * 1.001


def test_one_thousand_latencies_by_hand() -> None:
    latencies = Latencies(0.0)
    for latency_us in range(1, 1001):
        latencies.succeeded(0.1, latency_us, 2)
    figures = latencies.window(2.0)
    assert (figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us) == (500, 900, 990, 999)
    assert (figures.max_us, figures.mean_us, figures.requests, figures.inferences) == (1000, 500.5, 1000, 2000)
    assert figures.seconds == 2.0


def test_the_window_slides_and_the_total_does_not() -> None:
    latencies = Latencies(100.0)
    for second in range(30):
        latencies.succeeded(100.0 + second, 1000 * (second + 1), 1)
        if second % 2:
            latencies.failed(100.0 + second, "INTERNAL")
    window, total = latencies.window(130.0), latencies.total(130.0)
    assert window.seconds == WINDOW_S
    assert (window.requests, window.errors, window.max_us) == (10, 5, 30_000)
    assert window.p50_us is not None
    assert window.p50_us >= 21_000
    assert (total.seconds, total.requests, total.errors) == (30.0, 30, 15)


def test_nothing_is_known_before_something_succeeds() -> None:
    latencies = Latencies(0.0)
    latencies.failed(0.5, "UNAVAILABLE")
    figures = latencies.window(1.0)
    assert (figures.requests, figures.errors, figures.p50_us, figures.mean_us, figures.max_us) == (
        0,
        1,
        None,
        None,
        None,
    )


def test_a_silent_window_is_empty_and_not_old() -> None:
    latencies = Latencies(0.0)
    latencies.succeeded(0.5, 10, 1)
    figures = latencies.window(500.0)
    assert (figures.requests, figures.p99_us) == (0, None)
    assert figures.seconds <= WINDOW_S
    assert latencies.total(500.0).requests == 1


def test_a_new_window_begins_without_losing_the_total() -> None:
    latencies = Latencies(0.0)
    latencies.succeeded(1.0, 10, 1)
    latencies.failed(1.0, "A")
    latencies.restart_window(2.0)
    latencies.succeeded(3.0, 20, 1)
    assert (latencies.window(4.0).requests, latencies.window(4.0).seconds) == (1, 2.0)
    assert (latencies.total(4.0).requests, latencies.total(4.0).errors) == (2, 1)
    assert latencies.errors_by_kind() == (("A", 1),)


def test_a_measurement_begins_with_nothing() -> None:
    latencies = Latencies(0.0)
    latencies.succeeded(1.0, 10, 1)
    latencies.failed(1.0, "A")
    latencies.restart(5.0)
    assert latencies.errors_by_kind() == ()
    total = latencies.total(7.0)
    assert (total.requests, total.errors, total.seconds) == (0, 0, 2.0)


def test_absurd_latencies_are_kept_within_the_range() -> None:
    latencies = Latencies(0.0)
    latencies.succeeded(0.1, 0, 1)
    latencies.succeeded(0.1, 10**15, 1)
    figures = latencies.total(1.0)
    assert figures.requests == 2
    assert figures.max_us == 3_600_000_000


def test_only_so_many_kinds_of_errors_are_kept_apart() -> None:
    latencies = Latencies(0.0)
    for number in range(MAX_KINDS + 10):
        latencies.failed(0.1, f"kind {number}")
    latencies.failed(0.1, "kind 0")
    kinds = dict(latencies.errors_by_kind())
    assert len(kinds) == MAX_KINDS + 1
    assert kinds["kind 0"] == 2
    assert kinds[OTHER_KINDS] == 10
    assert sum(kinds.values()) == latencies.total(1.0).errors == MAX_KINDS + 11


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("", "INTERNAL"),
        ("  \n\n", "INTERNAL"),
        ("Exceeds maximum queue size\nat x.cc:12", "INTERNAL: Exceeds maximum queue size"),
        (
            "[request id: 17] batch-size must be <= 32 for 'resnet50'",
            "INTERNAL: [request id: #] batch-size must be <= # for 'resnet50'",
        ),
        ("ipv4:127.0.0.1:8001: refused (111)", "INTERNAL: ipv4:#: refused (#)"),
        ("\x1b[31mred\x07", "INTERNAL: [31mred"),
    ],
)
def test_errors_of_one_kind_read_the_same(details: str, kind: str) -> None:
    assert error_kind("INTERNAL", details) == kind


@given(st.text(max_size=2000))
def test_kinds_are_short_and_harmless(details: str) -> None:
    kind = error_kind("UNKNOWN", details)
    assert len(kind) <= 140
    assert not any(unicodedata.category(char).startswith("C") for char in kind)
