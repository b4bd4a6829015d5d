"""Events that nobody told of; readings made by hand, the usual ones are in the recordings."""

from __future__ import annotations

from tests.tritop.derive.readings import FAULT, SERVER, Exposition, api, make_round, run, source, statistics
from tritop.derive import Derivation, Round, derive
from tritop.derive.derivation import MAX_EVENTS
from tritop.model import ControlMode, Event, EventKind
from tritop.reading import IndexEntry


def listing(mono: float, *entries: tuple[str, str, str]) -> Round:
    index = tuple(IndexEntry(name, "1", state, reason) for name, state, reason in entries)
    return make_round(mono, source("api", api(mono, index=index)))


def kinds(derivation: Derivation) -> list[tuple[EventKind, str]]:
    return [(event.kind, event.model) for event in derivation.snapshot.events]


def test_what_is_there_at_first_is_no_event() -> None:
    assert kinds(run(listing(1.0, ("a", "READY", ""), ("b", "UNAVAILABLE", "no such file")))) == []


def test_a_load_is_noticed_also_where_its_loading_was_not_seen() -> None:
    found = run(listing(1.0), listing(2.0, ("a", "READY", "")), listing(3.0, ("a", "READY", "")))
    assert kinds(found) == [(EventKind.MODEL_LOADED, "a")]
    assert found.snapshot.events[0].at == 2.0 + 1e9
    assert found.snapshot.events[0].server == SERVER
    assert found.snapshot.events[0].who == ""


def test_steps_on_the_way_are_no_events() -> None:
    found = run(
        listing(1.0, ("a", "", "")),
        listing(2.0, ("a", "LOADING", "")),
        listing(3.0, ("a", "READY", "")),
        listing(4.0, ("a", "UNLOADING", "")),
        listing(5.0, ("a", "UNAVAILABLE", "unloaded")),
    )
    assert kinds(found) == [(EventKind.MODEL_LOADED, "a"), (EventKind.MODEL_UNLOADED, "a")]


def test_a_model_that_vanishes_while_it_serves_was_unloaded() -> None:
    found = run(listing(1.0, ("a", "READY", ""), ("b", "", "")), listing(2.0))
    assert kinds(found) == [(EventKind.MODEL_UNLOADED, "a")]


def test_each_new_reason_of_a_failure_is_told_once() -> None:
    found = run(
        listing(1.0),
        listing(2.0, ("a", "UNAVAILABLE", "no such file")),
        listing(3.0, ("a", "UNAVAILABLE", "no such file")),
        listing(4.0, ("a", "UNAVAILABLE", "out of memory")),
        listing(5.0, ("a", "UNAVAILABLE", "unloaded")),
    )
    assert [(event.kind, event.text) for event in found.snapshot.events] == [
        (EventKind.MODEL_FAILED, "no such file"),
        (EventKind.MODEL_FAILED, "out of memory"),
    ]


def test_a_failed_load_after_an_outage_of_the_index_is_still_told() -> None:
    found = run(
        listing(1.0, ("a", "READY", "")),
        make_round(2.0, source("api", api(1.0), FAULT)),
        listing(3.0, ("a", "UNAVAILABLE", "no such file")),
    )
    assert kinds(found)[-1] == (EventKind.MODEL_FAILED, "a")


def counted(mono: float, requests: int, failures: int) -> Round:
    exposition = Exposition()
    exposition.core("m", "1", *[float(requests)] * 8)
    exposition.set("nv_inference_request_failure", failures, model="m", version="1", reason="BACKEND")
    versions = api(mono, statistics("m", requests=requests))
    return make_round(mono, source("metrics", exposition.at(mono)), source("api", versions))


def test_failures_that_went_back_are_a_restart_without_any_outage() -> None:
    """No living server takes a failure series back; not even its unloaded models do."""
    found = run(counted(1.0, 10, 2), counted(2.0, 3, 0), counted(3.0, 4, 0))
    assert kinds(found) == [(EventKind.SERVER_RESTARTED, "")]


def test_a_reload_is_not_taken_for_a_restart() -> None:
    def now(mono: float, requests: int) -> Round:
        exposition = Exposition()
        exposition.core("m", "1", *[100.0 + mono] * 8)
        exposition.set("nv_inference_request_failure", 2, model="m", version="1", reason="BACKEND")
        versions = api(mono, statistics("m", requests=requests))
        return make_round(mono, source("metrics", exposition.at(mono)), source("api", versions))

    assert kinds(run(now(1.0, 50), now(2.0, 3), now(3.0, 9))) == [(EventKind.MODEL_RELOADED, "m")]


def test_an_outage_of_the_network_alone_is_no_restart() -> None:
    last = counted(2.0, 20, 2)
    lost = make_round(3.0, *[source(one.name, one.reading, FAULT) for one in last.servers[0].sources])
    found = run(counted(1.0, 10, 2), last, lost, counted(4.0, 30, 2))
    assert kinds(found) == [(EventKind.SERVER_LOST, ""), (EventKind.SERVER_BACK, "")]


def test_a_restart_seen_by_the_statistics_alone() -> None:
    def now(mono: float, requests: int) -> Round:
        return make_round(mono, source("api", api(mono, statistics("m", requests=requests))))

    before = now(1.0, 10)
    lost = make_round(2.0, source("api", before.servers[0].sources[0].reading, FAULT))
    found = run(before, lost, now(3.0, 4), now(4.0, 6))
    assert kinds(found) == [
        (EventKind.SERVER_LOST, ""),
        (EventKind.SERVER_BACK, ""),
        (EventKind.SERVER_RESTARTED, ""),
    ]


def test_events_of_the_session_come_first_and_the_list_is_bounded() -> None:
    own = Event(5.0, EventKind.OPERATION, SERVER, "a", who="me@here", text="load a")
    derivation = derive(run(listing(1.0)), make_round(2.0, source("api", api(2.0, statistics("a"))), events=[own]))
    assert [event.kind for event in derivation.snapshot.events] == [EventKind.OPERATION, EventKind.MODEL_LOADED]
    many = [Event(float(number), EventKind.OPERATION, SERVER) for number in range(MAX_EVENTS + 20)]
    derivation = derive(derivation, make_round(3.0, events=many))
    assert len(derivation.snapshot.events) == MAX_EVENTS
    assert derivation.snapshot.events[-1] is many[-1]


def test_another_control_mode_is_told_also_over_a_restart() -> None:
    modes = [ControlMode.UNKNOWN, ControlMode.EXPLICIT, ControlMode.UNKNOWN, ControlMode.NONE_OR_POLL]
    rounds = [make_round(float(at), source("api", api(float(at), control_mode=mode))) for at, mode in enumerate(modes)]
    found = run(*rounds, make_round(4.0, source("api", api(4.0, control_mode=ControlMode.NONE_OR_POLL))))
    told = [(event.kind, event.text) for event in found.snapshot.events]
    assert told == [(EventKind.CONTROL_MODE, "explicit -> none or poll")]
