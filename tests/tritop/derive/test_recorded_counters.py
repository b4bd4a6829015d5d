"""What is derived from a real Triton 2.51 with frozen counters, summaries, a cache, ensembles, batches.

The recordings are made by `tests/make_recordings.py`; what was done before a round is in its events.
"""

from __future__ import annotations

from itertools import pairwise
from math import isnan

import pytest

from tests.tritop.derive.readings import CORE, only, row, scrape_span, scraped
from tests.tritop.derive.recorded import after, replay_without, requests, steps
from tritop.model import Origin, VerdictKind
from tritop.reading import ApiReading


@pytest.mark.parametrize("name", ["counters_frozen", "counters_frozen_with_summaries"])
def test_counters_that_stand_still_by_configuration_are_found_out_and_statistics_serve(name: str) -> None:
    found = steps(name)
    for before, now in pairwise(found):
        assert only(now[2]).counters_frozen
        work = row(now[2], "work", "2")
        assert scraped(now[1], CORE[0], model="work", version="2") == 0
        # The statistics are read at the same time as the metrics, give or take milliseconds.
        assert requests(before, now, work) == pytest.approx(10, rel=0.1)
        assert work.queue_us is not None
        assert work.batch_sizes
    assert not only(steps("plain_load")[-1][2]).counters_frozen


def test_frozen_counters_without_statistics_are_unknown_and_never_zero() -> None:
    for _, _, snapshot in replay_without("counters_frozen", ApiReading)[1:]:
        work = row(snapshot, "work", "2")
        assert (work.requests_per_s, work.failures_per_s, work.executions_per_s) == (None, None, None)
        assert work.pending is not None


def test_frozen_counters_without_statistics_leave_the_counts_of_the_summaries() -> None:
    found = replay_without("counters_frozen_with_summaries", ApiReading)
    for before, now in pairwise(found):
        work = row(now[2], "work", "2")
        assert requests(before, now, work) == pytest.approx(10)
        assert work.request_us is not None
        assert work.failures_per_s is None


def test_quantiles_are_shown_only_while_their_count_moves() -> None:
    found = steps("summaries")
    frozen = vanished = 0
    for said, now, snapshot in found[1:]:
        work = row(snapshot, "work", "2")
        given = scraped(now, "nv_inference_request_summary_us", model="work", version="2", quantile="0.99")
        if said == "10 requests":
            assert work.p99_us == given
            assert work.p99_origin is Origin.QUANTILE_60S
            assert {quantile.stage for quantile in work.quantiles} >= {"request", "queue", "compute_infer"}
        else:
            assert (work.quantiles, work.p99_us, work.p99_origin) == ((), None, None)
            frozen += not isnan(given)
            vanished += isnan(given)
    # The server itself goes on giving the old quantiles for most of a minute, and then NaN.
    assert frozen > 5
    assert vanished > 0


def test_the_response_cache_is_seen_in_its_hit_rate_and_hits_have_no_compute_time() -> None:
    _, first, second = steps("cache")
    hits, misses = row(first[2], "cached"), row(second[2], "cached")
    assert hits.cache_hit_ratio == pytest.approx(0.9)
    assert misses.cache_hit_ratio == 0.0
    assert requests(steps("cache")[0], first, hits) == pytest.approx(10)
    assert hits.inferences_per_s is not None
    assert hits.requests_per_s is not None
    assert hits.inferences_per_s == pytest.approx(hits.requests_per_s / 10)
    infer = [
        scraped(now[1], "nv_inference_compute_infer_duration_us", model="cached") for now in (steps("cache")[0], first)
    ]
    assert hits.compute_infer_us == pytest.approx(infer[1] - infer[0])


def test_a_failed_request_counts_twice_in_an_ensemble_and_its_pending_says_nothing() -> None:
    before, now = after(steps("ensemble"), "fail in the first step")
    both, span_s = row(now[2], "both"), scrape_span(before[1], now[1])
    assert now[0].startswith("3 requests")
    assert dict(both.failures_by_reason) == pytest.approx({"OTHER": 2 * 3 / span_s})
    assert both.busy_ratio is None
    assert all(row(snapshot, "both").pending == 0 for _, _, snapshot in steps("ensemble"))


def test_an_ensemble_and_its_steps_count_the_same_requests() -> None:
    before, now = after(steps("ensemble"), "8 requests to both")
    assert requests(before, now, row(now[2], "both")) == pytest.approx(8)
    assert requests(before, now, row(now[2], "work", "2")) == pytest.approx(16)


def test_the_spectrum_shows_the_sizes_that_ran_and_that_larger_ones_cost_less() -> None:
    found = steps("spectrum")
    single = [row(snapshot, "work", "2") for said, _, snapshot in found if said == "1 clients"]
    many = [row(snapshot, "work", "2") for said, _, snapshot in found if said == "24 clients"]
    assert all([one.size for one in shown.batch_sizes] == [1] for shown in single)
    assert [one.size for one in many[-1].batch_sizes][-1] == 8
    by_size = {one.size: one for one in many[-1].batch_sizes}
    one, eight = by_size[1].us_per_inference, by_size[8].us_per_inference
    assert one is not None
    assert eight is not None
    assert eight < one / 4
    assert sum(size.share for size in many[-1].batch_sizes) == pytest.approx(1)
    # A full load on one instance: at most as busy as one instance can be, but for sampling.
    assert many[-1].busy_ratio == pytest.approx(1.0, abs=0.15)


def test_the_spectrum_is_what_the_statistics_gained_within_its_window() -> None:
    found = steps("spectrum")
    reading = [
        next(one.reading for one in now.servers[0].sources if isinstance(one.reading, ApiReading))
        for _, now, _ in found
    ]
    first, last = (
        next(version for version in one.statistics or () if version.version == "2") for one in (reading[0], reading[-1])
    )
    gained = {
        one.size: one.count - next((old.count for old in first.batches if old.size == one.size), 0)
        for one in last.batches
    }
    shown = row(found[-1][2], "work", "2")
    window_s = reading[-1].mono - reading[0].mono
    assert shown.batch_window_s == pytest.approx(window_s)
    assert {one.size: round(one.executions_per_s * window_s) for one in shown.batch_sizes} == {
        size: count for size, count in gained.items() if count
    }


def test_a_saturated_instance_is_named_after_a_while_and_not_at_once() -> None:
    verdicts = [row(snapshot, "work", "2").verdict for said, _, snapshot in steps("spectrum") if said == "24 clients"]
    assert verdicts[0] is None
    assert verdicts[-1] is not None
    assert verdicts[-1].kind in {VerdictKind.CAPACITY, VerdictKind.INSTANCES}
    assert dict(verdicts[-1].evidence)["busy_ratio"] > 0.85


def test_streams_of_a_decoupled_model_are_counted_at_once_and_then_run_unseen() -> None:
    """Triton counts a decoupled request when `execute` returns: while it streams, nothing shows it."""
    found = steps("decoupled")
    assert found[-1][0] == "3 streams gave 15 responses"
    streaming = [(before, now) for before, now in pairwise(found) if now[0] == "streaming"]
    first, *rest = streaming
    assert requests(first[0], first[1], row(first[1][2], "stream")) == pytest.approx(3)
    assert rest
    for _, now in rest:
        shown = row(now[2], "stream")
        assert (shown.requests_per_s, shown.pending, shown.busy_ratio) == (0.0, 0, 0.0)
