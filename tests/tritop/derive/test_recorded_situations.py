"""What is derived from a real Triton 2.51 in every situation in which its counters mislead.

The recordings are made by `tests/make_recordings.py`; what was done before a round is in its events.
"""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from math import isnan

import pytest

from tests.tritop.derive.readings import CORE, FAILURE, RECORDINGS, only, replay, row, scrape_span, scraped
from tritop.derive import Round, ServerRound, derive
from tritop.model import EventKind, ModelState, ModelVersion, Origin, ServerState, Snapshot, SourceState, VerdictKind
from tritop.reading import ApiReading, MetricsReading
from tritop.record import read_recording

Step = tuple[str, Round, Snapshot]


def steps(name: str) -> list[Step]:
    return list(replay(name))


def noticed(snapshot: Snapshot) -> list[tuple[EventKind, str, str]]:
    """Events that nobody but the derivation told of."""
    return [(one.kind, one.model, one.version) for one in snapshot.events if one.kind is not EventKind.OPERATION]


def requests(before: Step, now: Step, of: ModelVersion) -> float:
    """How many requests the row says there were between two rounds."""
    assert of.requests_per_s is not None
    return of.requests_per_s * scrape_span(before[1], now[1])


def without(now: Round, kind: type[object]) -> Round:
    """The round as it is where one of the two sources is off."""
    (server,) = now.servers
    sources = tuple(
        dataclasses.replace(one, reading=None, fault=None, off=True) if isinstance(one.reading, kind) else one
        for one in server.sources
    )
    return dataclasses.replace(now, servers=(dataclasses.replace(server, sources=sources),))


def replay_without(name: str, kind: type[object]) -> list[Step]:
    derivation, found = None, []
    for now in read_recording(RECORDINGS / f"{name}.jsonl.xz"):
        derivation = derive(derivation, without(now, kind))
        found.append((", ".join(event.text for event in now.events), now, derivation.snapshot))
    return found


def test_the_first_round_gives_no_rate_and_no_lifetime_average() -> None:
    _, now, snapshot = steps("in_place_update")[0]
    first = row(snapshot, "work", "2")
    assert scraped(now, CORE[0], model="work", version="2") == 10
    assert first.requests_per_s is None
    assert first.queue_us is None
    assert first.batch_avg is None
    assert first.busy_ratio is None
    assert first.batch_sizes == ()
    assert first.pending == 0


def test_rates_and_means_equal_those_computed_by_hand_from_two_scrapes() -> None:
    before, now = steps("plain_load")[:2]
    gained = [
        scraped(now[1], name, model="work", version="2") - scraped(before[1], name, model="work", version="2")
        for name in CORE
    ]
    span_s = scrape_span(before[1], now[1])
    success, inferences, executions, request, queue, compute_input, infer, output = gained
    found = row(now[2], "work", "2")
    assert success == 10
    assert found.requests_per_s == pytest.approx(success / span_s)
    assert found.inferences_per_s == pytest.approx(inferences / span_s)
    assert found.executions_per_s == pytest.approx(executions / span_s)
    assert found.batch_avg == pytest.approx(inferences / executions)
    assert found.request_us == pytest.approx(request / success)
    assert found.queue_us == pytest.approx(queue / success)
    assert found.compute_input_us == pytest.approx(compute_input / success)
    assert found.compute_infer_us == pytest.approx(infer / success)
    assert found.compute_output_us == pytest.approx(output / success)
    assert found.p99_us is None


def test_a_plain_load_that_changes_nothing_changes_no_number() -> None:
    found = steps("plain_load")
    (at,) = (place for place, step in enumerate(found) if step[0] == "loaded work again")
    loaded, after = row(found[at][2], "work", "2"), row(found[at + 1][2], "work", "2")
    assert loaded.requests_per_s == 0.0
    assert requests(found[at], found[at + 1], after) == pytest.approx(6)
    assert not any(row(snapshot, "work", "2").counters_restarted for _, _, snapshot in found)
    assert noticed(found[-1][2]) == []


def test_an_idle_model_has_zero_rates_and_unknown_means() -> None:
    idle = row(steps("plain_load")[-1][2], "work", "1")
    assert (idle.requests_per_s, idle.failures_per_s, idle.busy_ratio) == (0.0, 0.0, 0.0)
    assert (idle.queue_us, idle.batch_avg, idle.last_inference_at) == (None, None, None)


def test_everything_continues_over_an_in_place_update() -> None:
    found = steps("in_place_update")
    assert not any(row(snapshot, "work", "2").counters_restarted for _, _, snapshot in found)
    assert noticed(found[-1][2]) == []
    assert requests(found[-2], found[-1], row(found[-1][2], "work", "2")) == pytest.approx(7)


def test_prometheus_counters_continue_over_a_full_reload_and_statistics_restart() -> None:
    found = steps("full_reload")
    rows = [row(snapshot, "work", "2") for _, _, snapshot in found]
    (at,) = (place for place, one in enumerate(rows) if one.counters_restarted)
    assert all(one.requests_per_s is not None and one.requests_per_s > 0 for one in rows[1:])
    # Counted by hand over the whole recording, the reload included.
    first, last = found[0][1], found[-1][1]
    truth = sum(scraped(now, CORE[0], model="work", version="2") * sign for now, sign in ((last, 1), (first, -1)))
    derived = sum(requests(before, now, row(now[2], "work", "2")) for before, now in pairwise(found))
    assert derived == pytest.approx(truth)
    # How busy the instances were across the reload nobody knows: the old model took its executions along.
    assert rows[at].busy_ratio is None
    assert rows[at + 1].busy_ratio is not None
    assert noticed(found[-1][2]) == [(EventKind.MODEL_RELOADED, "work", "2")]


def test_after_a_reload_the_spectrum_is_that_of_the_new_configuration() -> None:
    found = steps("full_reload")
    rows = [row(snapshot, "work", "2") for _, _, snapshot in found]
    (at,) = (place for place, one in enumerate(rows) if one.counters_restarted)
    assert rows[at - 1].batch_window_s == pytest.approx(scrape_span(found[0][1], found[at - 1][1]), abs=0.05)
    assert rows[at].batch_window_s == pytest.approx(scrape_span(found[at - 1][1], found[at][1]), abs=0.05)


def test_without_metrics_statistics_serve_and_a_reload_never_gives_a_negative_rate() -> None:
    found = replay_without("full_reload", MetricsReading)
    rows = [row(snapshot, "work", "2") for _, _, snapshot in found]
    assert all(one.requests_per_s is not None and one.requests_per_s >= 0 for one in rows[1:])
    with_metrics = [row(snapshot, "work", "2") for _, _, snapshot in steps("full_reload")]
    steady = [(one, other) for one, other in zip(rows, with_metrics, strict=True) if not one.counters_restarted]
    for by_statistics, by_counters in steady[1:]:
        assert by_statistics.requests_per_s == pytest.approx(by_counters.requests_per_s, rel=0.1)
        assert by_statistics.pending is None
    metrics, _ = only(found[-1][2]).sources
    assert metrics.state is SourceState.OFF


def test_an_unloaded_model_keeps_its_failure_series_and_is_not_taken_for_loaded() -> None:
    found = steps("unload_and_load")
    (at,) = (place for place, step in enumerate(found) if step[0] == "unloaded")
    _, now, snapshot = found[at]
    assert scraped(now, FAILURE, model="work", version="2", reason="BACKEND") == 2
    gone = row(snapshot, "work", "2")
    assert gone.state is ModelState.UNLOADED
    assert gone.reason == "unloaded"
    assert (gone.requests_per_s, gone.failures_per_s, gone.pending, gone.busy_ratio) == (None, None, None, None)


def test_a_failure_series_alone_makes_no_row_when_only_the_metrics_can_be_read() -> None:
    found = replay_without("unload_and_load", ApiReading)
    (at,) = (place for place, step in enumerate(found) if step[0] == "unloaded")
    assert only(found[0][2]).models[0].state is ModelState.UNKNOWN
    assert only(found[at][2]).models == ()


def test_unload_and_load_restart_at_zero_while_failures_continue() -> None:
    found = steps("unload_and_load")
    before, now = found[-2], found[-1]
    assert scraped(now[1], FAILURE, model="work", version="2", reason="BACKEND") == 3
    last = row(now[2], "work", "2")
    span_s = scrape_span(before[1], now[1])
    assert requests(before, now, last) == pytest.approx(4)
    assert dict(last.failures_by_reason) == pytest.approx({"BACKEND": 1 / span_s})
    assert noticed(now[2]) == [
        (EventKind.MODEL_UNLOADED, "work", "1"),
        (EventKind.MODEL_UNLOADED, "work", "2"),
        (EventKind.MODEL_LOADED, "work", "1"),
        (EventKind.MODEL_LOADED, "work", "2"),
    ]


def test_states_follow_unloading_and_loading() -> None:
    states = [row(snapshot, "work", "2").state for _, _, snapshot in steps("unload_and_load")]
    seen = [state for place, state in enumerate(states) if place == 0 or states[place - 1] is not state]
    assert seen == [
        ModelState.READY,
        ModelState.UNLOADING,
        ModelState.UNLOADED,
        ModelState.LOADING,
        ModelState.READY,
    ]


def test_a_dropped_version_goes_alone() -> None:
    found = steps("version_dropped")
    last = found[-1][2]
    assert row(last, "work", "1").state is ModelState.UNLOADED
    assert row(last, "work", "1").requests_per_s is None
    assert row(last, "work", "2").state is ModelState.READY
    assert requests(found[-2], found[-1], row(last, "work", "2")) == pytest.approx(3)
    assert noticed(last) == [(EventKind.MODEL_UNLOADED, "work", "1")]


def after(found: list[Step], text: str) -> tuple[Step, Step]:
    """The round that ends with what was done, and the one before it."""
    (at,) = (place for place, step in enumerate(found) if text in step[0])
    return found[at - 1], found[at]


def test_an_error_response_of_the_python_backend_counts_as_success() -> None:
    before, now = after(steps("failures"), "3 error responses")
    found = row(now[2], "work", "2")
    assert requests(before, now, found) == pytest.approx(3)
    assert found.failures_per_s == 0.0


def test_an_exception_counts_as_a_failure_by_the_backend_and_as_an_execution_without_inference() -> None:
    before, now = after(steps("failures"), "2 exceptions")
    found, span_s = row(now[2], "work", "2"), scrape_span(before[1], now[1])
    assert dict(found.failures_by_reason) == pytest.approx({"BACKEND": 2 / span_s})
    assert found.requests_per_s == 0.0
    assert found.executions_per_s == pytest.approx(2 / span_s)
    assert found.inferences_per_s == 0.0
    assert found.batch_avg is None


def test_a_rejection_by_max_queue_size_is_in_no_counter() -> None:
    before, now = after(steps("failures"), "refused by max_queue_size")
    sent = re.match(r"(\d+) requests to full, (\d+) refused", now[0])
    assert sent is not None
    found = row(now[2], "full")
    assert int(sent[2]) > 0
    assert requests(before, now, found) == pytest.approx(int(sent[1]) - int(sent[2]))
    assert found.failures_per_s == 0.0


def test_a_timeout_in_the_queue_counts_as_rejected() -> None:
    before, now = after(steps("failures"), "expired in the queue")
    sent = re.match(r"(\d+) requests to timed, (\d+) expired", now[0])
    assert sent is not None
    found, span_s = row(now[2], "timed"), scrape_span(before[1], now[1])
    assert int(sent[2]) > 0
    assert dict(found.failures_by_reason) == pytest.approx({"REJECTED": int(sent[2]) / span_s})
    # The requests that expired are not in the mean queue time: it is that of the survivors.
    assert found.queue_us is not None
    assert found.queue_us < 20_000


def test_a_request_that_its_client_gave_up_in_the_queue_counts_as_canceled() -> None:
    found = steps("failures")
    canceled = 0.0
    for before, now in pairwise(found):
        by_reason = dict(row(now[2], "full").failures_by_reason)
        canceled += by_reason.get("CANCELED", 0.0) * scrape_span(before[1], now[1])
    assert canceled == pytest.approx(scraped(found[-1][1], FAILURE, model="full", reason="CANCELED"))
    assert canceled >= 1


def test_a_request_to_a_version_that_does_not_exist_is_in_no_counter() -> None:
    _, now = after(steps("failures"), "version that does not exist")
    assert now[0].startswith("2 requests")
    found = row(now[2], "work", "2")
    assert (found.requests_per_s, found.failures_per_s) == (0.0, 0.0)


def test_a_model_that_failed_to_load_says_why() -> None:
    found = steps("load_failed")
    broken = row(found[-1][2], "broken")
    assert broken.state is ModelState.FAILED
    assert "FileNotFoundError: weights.npz" in broken.reason
    assert broken.verdict is not None
    assert broken.verdict.kind is VerdictKind.LOAD_FAILED
    assert broken.verdict.text == broken.reason
    assert ModelState.LOADING in [row(snapshot, "broken").state for _, _, snapshot in found[1:]]
    # A first load that failed leaves the server not ready for good, with everything else serving.
    assert only(found[-1][2]).state is ServerState.NOT_READY
    assert row(found[-1][2], "work", "2").state is ModelState.READY


def test_a_refused_update_leaves_a_serving_version_with_a_reason() -> None:
    _, _, last = steps("load_failed")[-1]
    work = row(last, "work", "2")
    assert work.state is ModelState.READY
    assert "gpu id 0" in work.reason
    assert work.verdict is not None
    assert work.verdict.kind is VerdictKind.LOAD_FAILED
    failed = [one for one in last.events if one.kind is EventKind.MODEL_FAILED]
    assert [(one.model, one.version) for one in failed] == [("broken", "1"), ("work", "1"), ("work", "2")]
    assert "gpu id 0" in failed[-1].text
    assert failed[-1].who == ""


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


def test_a_killed_server_keeps_its_last_numbers_with_their_age() -> None:
    found = steps("restarted")
    before = row(next(step for step in found if "12 requests" in step[0])[2], "work", "2")
    dead = [snapshot for said, _, snapshot in found if said == "killed"]
    for snapshot in dead:
        assert only(snapshot).state is ServerState.UNREACHABLE
        assert all(one.state is SourceState.FAULT for one in only(snapshot).sources)
        held = row(snapshot, "work", "2")
        assert (held.requests_per_s, held.failures_by_reason) == (before.requests_per_s, before.failures_by_reason)
    ages = [row(snapshot, "work", "2").age_s for snapshot in dead]
    assert ages[-1] is not None
    assert ages[-1] == pytest.approx(only(dead[-1]).sources[0].age_s)


def test_a_restarted_server_is_noticed_once_and_its_old_counters_give_no_rate() -> None:
    found = steps("restarted")
    kinds = noticed(found[-1][2])
    assert kinds == [
        (EventKind.SERVER_LOST, "", ""),
        (EventKind.SERVER_BACK, "", ""),
        (EventKind.SERVER_RESTARTED, "", ""),
        (EventKind.MODEL_LOADED, "work", "1"),
        (EventKind.MODEL_LOADED, "work", "2"),
    ]
    assert requests(found[-2], found[-1], row(found[-1][2], "work", "2")) == pytest.approx(5)
    (back,) = (snapshot for said, _, snapshot in found if said == "started again")
    assert row(back, "work", "").state is ModelState.UNLOADED
    lost = next(one for one in found[-1][2].events if one.kind is EventKind.SERVER_LOST)
    assert "127.0.0.1:8001" in lost.text


def test_a_server_lost_is_told_in_any_source_and_never_blanks_the_other() -> None:
    """The API is refused while the metrics still answer, as while Triton shuts down the other way round."""
    found = list(read_recording(RECORDINGS / "spectrum.jsonl.xz"))
    derivation = None
    for now in found[:4]:
        derivation = derive(derivation, now)
    fault = next(
        one.fault
        for now in read_recording(RECORDINGS / "restarted.jsonl.xz")
        for one in now.servers[0].sources
        if one.fault
    )
    for now in found[4:7]:
        (server,) = now.servers
        sources = tuple(
            dataclasses.replace(one, reading=found[3].servers[0].sources[1].reading, fault=fault)
            if isinstance(one.reading, ApiReading)
            else one
            for one in server.sources
        )
        broken = dataclasses.replace(server, sources=sources)
        derivation = derive(derivation, dataclasses.replace(now, servers=(broken,)))
        work = row(derivation.snapshot, "work", "2")
        assert work.requests_per_s is not None
        assert work.requests_per_s > 0
        assert work.age_s is None
        assert only(derivation.snapshot).state is ServerState.NOT_READY
    assert isinstance(broken, ServerRound)


def test_deriving_twice_from_the_same_state_gives_the_same() -> None:
    derivation = None
    for now in read_recording(RECORDINGS / "full_reload.jsonl.xz"):
        once, again = derive(derivation, now), derive(derivation, now)
        assert once.snapshot.servers == again.snapshot.servers
        assert once.snapshot.events == again.snapshot.events
        derivation = once
