"""Keys turned into SetTraffic, and which traffic belongs to which row."""

from __future__ import annotations

from dataclasses import replace

from tritop.model import EMPTY_SNAPSHOT, ModelState, ModelVersion, Server, ServerState, Traffic, TrafficState
from tritop.operation import SetTraffic
from tui.present.interval import INTERVALS_S, next_interval
from tui.present.traffic import CONCURRENCIES, TrafficKnob, traffic_of

MODEL = ModelVersion("matrix", "2", ModelState.READY)
SERVER = Server("demo", "127.0.0.1:8001", ServerState.READY, models=(MODEL,))


def running(concurrency: int | None = 8, rate_per_s: float | None = None, version: str = "2") -> Traffic:
    return Traffic("demo", "matrix", version, TrafficState.RUNNING, concurrency, rate_per_s)


def test_traffic_starts_with_eight_in_flight() -> None:
    assert TrafficKnob().toggle(SERVER, MODEL, None) == SetTraffic("demo", "matrix", "2", concurrency=8)


def test_traffic_that_runs_is_stopped() -> None:
    assert TrafficKnob().toggle(SERVER, MODEL, running()) == SetTraffic("demo", "matrix", "2")


def test_traffic_starts_again_as_it_last_was() -> None:
    knob = TrafficKnob()
    knob.toggle(SERVER, MODEL, running(concurrency=32))
    assert knob.toggle(SERVER, MODEL, None) == SetTraffic("demo", "matrix", "2", concurrency=32)


def test_a_schedule_starts_again_as_it_last_was() -> None:
    knob = TrafficKnob()
    knob.toggle(SERVER, MODEL, replace(running(None, 200.0), poisson=True))
    again = knob.toggle(SERVER, MODEL, None)
    assert again == SetTraffic("demo", "matrix", "2", rate_per_s=200.0, poisson=True)


def test_steps_double_and_halve() -> None:
    up = [TrafficKnob().step(SERVER, MODEL, running(step), up=True) for step in CONCURRENCIES]
    assert [each.concurrency if each else None for each in up] == [2, 4, 8, 16, 32, 64, None]
    down = [TrafficKnob().step(SERVER, MODEL, running(step), up=False) for step in CONCURRENCIES]
    assert [each.concurrency if each else None for each in down] == [None, 1, 2, 4, 8, 16, 32]


def test_a_second_step_counts_from_what_was_asked_for() -> None:
    knob, traffic = TrafficKnob(), running(8)
    asked = [knob.step(SERVER, MODEL, traffic, up=True) for _ in range(3)]
    assert [each.concurrency if each else None for each in asked] == [16, 32, 64]
    back = knob.step(SERVER, MODEL, running(64), up=False)
    assert back is not None
    assert back.concurrency == 32


def test_a_number_between_steps_goes_to_the_next_one() -> None:
    up = TrafficKnob().step(SERVER, MODEL, running(12), up=True)
    down = TrafficKnob().step(SERVER, MODEL, running(100), up=False)
    assert (up and up.concurrency, down and down.concurrency) == (16, 64)


def test_a_schedule_keeps_its_kind() -> None:
    operation = TrafficKnob().step(SERVER, MODEL, replace(running(None, 100.0), poisson=True), up=True)
    assert operation == SetTraffic("demo", "matrix", "2", rate_per_s=200.0, poisson=True)
    assert TrafficKnob().step(SERVER, MODEL, running(None, 1.0), up=False) is None


def test_without_traffic_there_is_no_step() -> None:
    stopped = replace(running(), state=TrafficState.STOPPED)
    assert TrafficKnob().step(SERVER, MODEL, None, up=True) is None
    assert TrafficKnob().step(SERVER, MODEL, stopped, up=True) is None


def test_traffic_whose_version_the_server_chooses_is_steered_as_it_is() -> None:
    operation = TrafficKnob().toggle(SERVER, MODEL, running(version=""))
    assert operation == SetTraffic("demo", "matrix", "")


def test_a_row_is_given_its_own_traffic() -> None:
    def shown(*traffic: Traffic) -> Traffic | None:
        return traffic_of(replace(EMPTY_SNAPSHOT, servers=(SERVER,), traffic=traffic), "demo", MODEL)

    own, any_version, other = running(version="2"), running(version=""), running(version="1")
    assert shown(any_version, own) is own
    assert shown(any_version, other) is any_version
    assert shown(other) is None
    assert shown(replace(own, state=TrafficState.STOPPED), any_version) is any_version
    assert traffic_of(replace(EMPTY_SNAPSHOT, traffic=(own,)), "elsewhere", MODEL) is None


def test_intervals_go_step_by_step() -> None:
    assert [next_interval(step, longer=True) for step in INTERVALS_S] == [*INTERVALS_S[1:], INTERVALS_S[-1]]
    assert [next_interval(step, longer=False) for step in INTERVALS_S] == [INTERVALS_S[0], *INTERVALS_S[:-1]]
    assert next_interval(1.5, longer=True) == 2.0
    assert next_interval(1.5, longer=False) == 1.0
