"""Sources that are late, faulty, off or absent, and servers that come and go; readings made by hand."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.derive.readings import (
    FAULT,
    PENDING,
    SERVER,
    SILENCE,
    Exposition,
    api,
    make_round,
    only,
    row,
    run,
    source,
    statistics,
)
from tritop.derive import Round, ServerRound, SourceRound, derive
from tritop.errors import AccessDenied, NotTriton, Stopping, Unavailable
from tritop.model import (
    EventKind,
    Fault,
    Launch,
    ModelState,
    ServerState,
    SourceState,
)
from tritop.reading import LaunchReading, MetricsReading


def scrape(mono: float, requests: float, pending: float = 0.0) -> MetricsReading:
    """A scrape of a model with so many requests, of 1 ms each in the queue and in the model."""
    exposition = Exposition()
    us = requests * 1000
    exposition.core("m", "1", requests, requests, requests, 2 * us, us, 0, us, 0)
    exposition.set(PENDING, pending, "gauge", model="m", version="1")
    return exposition.at(mono)


def both(mono: float, requests: int) -> Round:
    return make_round(
        mono, source("metrics", scrape(mono, requests)), source("api", api(mono, statistics("m", requests=requests)))
    )


def test_a_layout_that_is_another_object_with_the_same_series_continues() -> None:
    first, second = scrape(1.0, 10), scrape(2.0, 15)
    assert first.layout is not second.layout
    found = run(make_round(1.0, source("metrics", first)), make_round(2.0, source("metrics", second)))
    assert row(found.snapshot, "m").requests_per_s == 5.0


def test_the_same_reading_again_keeps_the_last_values_and_becomes_stale() -> None:
    old, new = scrape(1.0, 10), scrape(2.0, 15)
    derivation = run(make_round(1.0, source("metrics", old)), make_round(2.0, source("metrics", new)))
    for mono, state, age in ((2.4, SourceState.OK, None), (4.5, SourceState.OK, 2.5), (5.5, SourceState.STALE, 3.5)):
        derivation = derive(derivation, make_round(mono, source("metrics", new)))
        (shown,) = only(derivation.snapshot).sources
        assert shown.state is state
        assert shown.age_s == pytest.approx(mono - 2.0)
        held = row(derivation.snapshot, "m")
        assert (held.requests_per_s, held.queue_us) == (5.0, 1000.0)
        assert held.age_s == (age if age is None else pytest.approx(age))


def test_a_wall_clock_that_steps_changes_no_rate() -> None:
    rounds = [both(1.0, 10), both(2.0, 15), both(3.0, 20)]
    stepped = []
    for now, step in zip(rounds, (0.0, -7200.0, 3600.0), strict=True):
        sources = tuple(
            dataclasses.replace(one, reading=dataclasses.replace(one.reading, at=one.reading.at + step))
            for one in now.servers[0].sources
            if one.reading is not None
        )
        server = dataclasses.replace(now.servers[0], sources=sources)
        stepped.append(dataclasses.replace(now, at=now.at + step, servers=(server,)))
    assert row(run(*stepped).snapshot, "m").requests_per_s == row(run(*rounds).snapshot, "m").requests_per_s == 5.0


def test_a_reading_that_is_not_later_begins_anew() -> None:
    found = run(both(5.0, 10), both(4.0, 30))
    assert row(found.snapshot, "m").requests_per_s is None


def test_statistics_take_over_while_the_metrics_fail_and_hand_back() -> None:
    last = scrape(2.0, 15)
    derivation = run(
        both(1.0, 10), make_round(2.0, source("metrics", last), source("api", api(2.0, statistics("m", requests=15))))
    )
    derivation = derive(
        derivation,
        make_round(3.0, source("metrics", last, FAULT), source("api", api(3.0, statistics("m", requests=22)))),
    )
    failing = row(derivation.snapshot, "m")
    assert (failing.requests_per_s, failing.age_s) == (7.0, None)
    derivation = derive(derivation, both(4.0, 30))
    # The scrape before the gap is two seconds old, and so is the difference.
    assert row(derivation.snapshot, "m").requests_per_s == 7.5


def test_what_only_the_metrics_say_is_unknown_once_they_are_stale() -> None:
    last = scrape(1.0, 10, pending=3)
    derivation = run(make_round(1.0, source("metrics", last), source("api", api(1.0, statistics("m", requests=10)))))
    for mono in (2.0, 3.0, 4.0, 5.0):
        now = make_round(mono, source("metrics", last, FAULT), source("api", api(mono, statistics("m", requests=10))))
        derivation = derive(derivation, now)
        assert row(derivation.snapshot, "m").pending == (3 if mono <= 4.0 else None)


def test_metrics_alone_make_rows_of_unknown_state() -> None:
    found = run(
        make_round(1.0, source("metrics", scrape(1.0, 10)), source("api", fault=FAULT)),
        make_round(2.0, source("metrics", scrape(2.0, 15)), source("api", fault=FAULT)),
    )
    only_row = row(found.snapshot, "m")
    assert (only_row.state, only_row.requests_per_s) == (ModelState.UNKNOWN, 5.0)
    assert only(found.snapshot).state is ServerState.NOT_READY


def test_a_state_older_than_the_numbers_beside_it_is_unknown() -> None:
    listed = api(1.0, statistics("m", requests=10))
    derivation = run(make_round(1.0, source("metrics", scrape(1.0, 10)), source("api", listed)))
    states = []
    for mono in (2.0, 3.0, 4.0, 5.0):
        now = make_round(mono, source("metrics", scrape(mono, 10 + mono)), source("api", listed, FAULT))
        derivation = derive(derivation, now)
        states.append(row(derivation.snapshot, "m").state)
        assert row(derivation.snapshot, "m").age_s is None
    assert states == [ModelState.READY] * 3 + [ModelState.UNKNOWN]
    # BUSY and the spectrum are the statistics', so they go as well.
    assert row(derivation.snapshot, "m").busy_ratio is None


def test_when_nothing_is_current_everything_is_kept_with_its_age() -> None:
    last = both(2.0, 15)
    derivation = run(both(1.0, 10), last)
    sources = tuple(dataclasses.replace(one, fault=FAULT) for one in last.servers[0].sources)
    derivation = derive(derivation, make_round(60.0, *sources))
    held = row(derivation.snapshot, "m")
    assert (held.state, held.requests_per_s, held.pending, held.age_s) == (ModelState.READY, 5.0, 0, 58.0)
    assert [one.state for one in only(derivation.snapshot).sources] == [SourceState.FAULT] * 2


def test_sources_opened_anew_do_not_make_old_numbers_look_fresh() -> None:
    derivation = derive(run(both(1.0, 10), both(2.0, 15)), make_round(9.0, source("metrics"), source("api")))
    assert row(derivation.snapshot, "m").age_s == 7.0
    assert only(derivation.snapshot).state is ServerState.CONNECTING
    assert [one.state for one in only(derivation.snapshot).sources] == [SourceState.WAITING] * 2


def test_a_part_of_the_api_that_fails_keeps_what_it_said_before() -> None:
    first = both(1.0, 10)
    partly = api(2.0, index=None, statistics=None, part_faults=(FAULT,))
    found = run(first, make_round(2.0, source("metrics", scrape(2.0, 15)), source("api", partly)))
    assert row(found.snapshot, "m").state is ModelState.READY
    assert row(found.snapshot, "m").requests_per_s == 5.0
    _, shown = only(found.snapshot).sources
    assert (shown.state, shown.fault) == (SourceState.OK, FAULT)
    assert found.snapshot.events == ()


def test_a_restricted_index_leaves_the_rows_of_the_statistics() -> None:
    found = run(make_round(1.0, source("api", api(1.0, statistics("m"), index=None))))
    assert row(found.snapshot, "m").state is ModelState.READY


def test_restricted_statistics_leave_the_states_of_the_index() -> None:
    reading = api(1.0, statistics("m"), statistics=None)
    found = run(make_round(1.0, source("metrics", scrape(1.0, 1)), source("api", reading)))
    shown = row(found.snapshot, "m")
    assert (shown.state, shown.busy_ratio, shown.batch_sizes) == (ModelState.READY, None, ())


def test_a_long_gap_without_a_restart_is_an_average_over_the_gap() -> None:
    assert row(run(both(1.0, 10), both(11.0, 30)).snapshot, "m").requests_per_s == 2.0


def test_a_long_gap_with_a_restart_is_unknown() -> None:
    found = run(both(1.0, 10), both(11.0, 4))
    shown = row(found.snapshot, "m")
    assert (shown.requests_per_s, shown.counters_restarted) == (None, True)
    assert row(derive(found, both(12.0, 6)).snapshot, "m").requests_per_s == 2.0


def test_a_restart_between_two_scrapes_counts_from_zero() -> None:
    shown = row(run(both(1.0, 10), both(2.0, 4)).snapshot, "m")
    assert (shown.requests_per_s, shown.counters_restarted) == (4.0, True)


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (FAULT, ServerState.UNREACHABLE),
        (SILENCE, ServerState.UNRESPONSIVE),
        (Fault(NotTriton.title, "", "", 0.0), ServerState.NOT_TRITON),
        (Fault(Stopping.title, "", "", 0.0), ServerState.STOPPING),
        (Fault(AccessDenied.title, "", "", 0.0), ServerState.NOT_READY),
    ],
)
def test_what_the_api_met_says_what_the_server_does(fault: Fault, state: ServerState) -> None:
    assert only(run(make_round(1.0, source("api", fault=fault))).snapshot).state is state


def test_one_late_answer_does_not_make_a_server_unresponsive() -> None:
    reading = api(1.0, statistics("m"))
    derivation = run(make_round(1.0, source("api", reading)))
    states = []
    for mono in (2.0, 3.0, 4.5):
        derivation = derive(derivation, make_round(mono, source("api", reading, SILENCE)))
        states.append(only(derivation.snapshot).state)
    assert states == [ServerState.READY, ServerState.READY, ServerState.UNRESPONSIVE]
    assert [event.kind for event in derivation.snapshot.events] == [EventKind.SERVER_LOST]


def test_the_health_of_a_server_that_does_not_answer_is_unknown() -> None:
    reading = api(1.0, statistics("m"), ready=False)
    derivation = run(make_round(1.0, source("api", reading)))
    assert (only(derivation.snapshot).live, only(derivation.snapshot).ready) == (True, False)
    derivation = derive(derivation, make_round(2.0, source("api", reading, FAULT)))
    assert (only(derivation.snapshot).live, only(derivation.snapshot).ready) == (None, None)
    derivation = derive(derivation, make_round(3.0, source("api", api(3.0, statistics("m")))))
    assert (only(derivation.snapshot).live, only(derivation.snapshot).ready) == (True, True)


def test_a_server_read_by_its_metrics_alone() -> None:
    off = Fault(Unavailable.title, "", "", 0.0)
    found = run(make_round(1.0, source("metrics", scrape(1.0, 1)), source("api", fault=off, off=True)))
    assert only(found.snapshot).state is ServerState.READY
    found = derive(found, make_round(2.0, source("metrics", scrape(1.0, 1), FAULT), source("api", off=True)))
    assert only(found.snapshot).state is ServerState.UNREACHABLE


def launch(mono: float, state: str, pid: int | None = 7) -> LaunchReading:
    return LaunchReading(mono + 1e9, mono, Launch("local", state, pid=pid))


@pytest.mark.parametrize(
    ("launched", "fault", "state"),
    [
        ("STARTING", FAULT, ServerState.STARTING),
        ("STARTING", None, ServerState.STARTING),
        ("STOPPING", None, ServerState.STOPPING),
        ("STOPPED", FAULT, ServerState.STOPPED),
        ("CRASHED", FAULT, ServerState.CRASHED),
        ("BACKOFF", FAULT, ServerState.CRASHED),
        ("FAILED", FAULT, ServerState.FAILED),
        ("WAITING", FAULT, ServerState.STARTING),
        ("CREATING", FAULT, ServerState.STARTING),
        ("ABSENT", FAULT, ServerState.STOPPED),
        ("PAUSED", FAULT, ServerState.UNRESPONSIVE),
        ("NOT_READY", FAULT, ServerState.UNREACHABLE),
        ("UNKNOWN", None, ServerState.CONNECTING),
        ("READY", FAULT, ServerState.UNREACHABLE),
    ],
)
def test_the_runtime_knows_why_nobody_answers(launched: str, fault: Fault | None, state: ServerState) -> None:
    now = make_round(1.0, source("runtime", launch(1.0, launched)), source("api", fault=fault))
    server = only(run(now).snapshot)
    assert server.state is state
    assert server.launch is not None
    assert server.launch.state == launched


def test_another_process_is_a_restart_even_without_any_counter() -> None:
    rounds = [
        make_round(mono, source("runtime", launch(mono, "READY", pid)), source("api", api(mono)))
        for mono, pid in ((1.0, 7), (2.0, 7), (3.0, 8), (4.0, 8))
    ]
    assert [event.kind for event in run(*rounds).snapshot.events] == [EventKind.SERVER_RESTARTED]


def test_a_server_that_was_told_to_stop_is_not_lost() -> None:
    states = ("READY", "STOPPING", "STOPPED", "STARTING")
    rounds = [
        make_round(
            mono,
            source("runtime", launch(mono, state)),
            source("api", api(1.0), None if state == "READY" else FAULT),
        )
        for mono, state in enumerate(states, start=1)
    ]
    assert run(*rounds).snapshot.events == ()


def test_a_server_that_announces_its_end_is_lost_when_it_is_gone() -> None:
    stopping = Fault(Stopping.title, "The server is stopping.", "", 0.0)
    rounds = [
        make_round(mono, source("api", api(1.0), fault)) for mono, fault in ((1.0, None), (2.0, stopping), (3.0, FAULT))
    ]
    events = run(*rounds).snapshot.events
    assert [(event.kind, event.text) for event in events] == [(EventKind.SERVER_LOST, FAULT.sentence)]


def test_a_server_that_leaves_the_session_is_forgotten() -> None:
    derivation = derive(run(both(1.0, 10), both(2.0, 15)), Round(1e9, 3.0, 1.0))
    assert derivation.snapshot.servers == ()
    assert row(derive(derivation, both(4.0, 20)).snapshot, "m").requests_per_s is None


def test_two_servers_with_the_same_models_stay_apart() -> None:
    def pair(mono: float, first: int, second: int) -> Round:
        one, two = both(mono, first).servers[0], both(mono, second).servers[0]
        return dataclasses.replace(both(mono, 0), servers=(one, dataclasses.replace(two, name="two")))

    derivation = derive(derive(None, pair(1.0, 0, 100)), pair(2.0, 5, 140))
    rates = {server.name: server.models[0].requests_per_s for server in derivation.snapshot.servers}
    assert rates == {SERVER: 5.0, "two": 40.0}


def test_an_empty_round_and_a_server_without_sources() -> None:
    assert derive(None, Round(0.0, 0.0, 1.0)).snapshot.servers == ()
    bare = derive(None, Round(0.0, 0.0, 1.0, (ServerRound("bare", "host:8001"),)))
    assert only(bare.snapshot).state is ServerState.CONNECTING
    assert only(bare.snapshot).models == ()


def test_snapshots_count_up_and_rows_that_do_not_change_stay_the_same_objects() -> None:
    first = run(both(1.0, 10), both(2.0, 10), both(3.0, 10))
    second = derive(first, both(4.0, 10))
    assert second.snapshot.seq == first.snapshot.seq + 1
    assert only(second.snapshot).models is only(first.snapshot).models


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1000), st.floats(0.1, 2.9)), min_size=1, max_size=12),
    st.sampled_from(["metrics", "api"]),
)
def test_what_is_derived_adds_up_to_what_was_counted(steps: list[tuple[bool, int, float]], by: str) -> None:
    """Each step counts so many requests, perhaps after a restart at 0, in so many seconds."""
    counted, mono, truth, derived, restarted = 5, 1.0, 0, 0.0, False
    derivation = run(make_round(mono, *counting(by, mono, counted)))
    for restart, requests, span_s in steps:
        restarted = restarted or restart
        counted, mono, truth = (0 if restart else counted) + requests, mono + span_s, truth + requests
        derivation = derive(derivation, make_round(mono, *counting(by, mono, counted)))
        shown = row(derivation.snapshot, "m").requests_per_s
        assert shown is not None
        assert shown >= 0
        derived += shown * span_s
    if restarted:
        assert derived <= truth + 1e-6
    else:
        assert derived == pytest.approx(truth)


def counting(by: str, mono: float, requests: int) -> tuple[SourceRound, ...]:
    if by == "metrics":
        return (source("metrics", scrape(mono, requests)),)
    return (source("api", api(mono, statistics("m", requests=requests))),)
