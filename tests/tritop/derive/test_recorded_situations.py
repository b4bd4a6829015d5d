"""What is derived from a real Triton 2.51 in every situation in which its counters mislead.

The recordings are made by `tests/make_recordings.py`; what was done before a round is in its events.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from tests.tritop.derive.readings import CORE, FAILURE, RECORDINGS, only, row, scrape_span, scraped
from tests.tritop.derive.recorded import noticed, replay_without, requests, steps
from tritop.derive import ServerRound, derive
from tritop.model import EventKind, ModelState, ServerState, SourceState, VerdictKind
from tritop.reading import ApiReading, MetricsReading
from tritop.record import read_recording


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


def test_an_unload_followed_by_a_load_at_once_is_an_outage_and_no_reload() -> None:
    found = steps("unload_and_load_at_once")
    last = found[-1]
    assert noticed(last[2]) == [
        (EventKind.MODEL_UNLOADED, "work", "1"),
        (EventKind.MODEL_UNLOADED, "work", "2"),
        (EventKind.MODEL_LOADED, "work", "1"),
        (EventKind.MODEL_LOADED, "work", "2"),
    ]
    # The old series outlive their model for a while, then they begin again at 0; failures go on.
    assert scraped(found[0][1], CORE[0], model="work", version="2") == 9
    assert scraped(last[1], CORE[0], model="work", version="2") == 4
    assert scraped(last[1], FAILURE, model="work", version="2", reason="BACKEND") == 1
    shown = row(last[2], "work", "2")
    assert requests(found[-2], last, shown) == pytest.approx(4)
    assert shown.failures_per_s == 0.0


def test_a_dropped_version_goes_alone() -> None:
    found = steps("version_dropped")
    last = found[-1][2]
    assert row(last, "work", "1").state is ModelState.UNLOADED
    assert row(last, "work", "1").requests_per_s is None
    assert row(last, "work", "2").state is ModelState.READY
    assert requests(found[-2], found[-1], row(last, "work", "2")) == pytest.approx(3)
    assert noticed(last) == [(EventKind.MODEL_UNLOADED, "work", "1")]


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
