"""Ten minutes of every row: bounded, aligned with its times, with gaps where nothing is known."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.history import History, Metric
from tritop.model import Event, EventKind, ModelConfig, ModelState, ModelVersion, Scheduling, Server, Snapshot

WALL = 1e9


def model(name: str = "m", requests: float | None = 1.0, **fields: object) -> ModelVersion:
    return ModelVersion(name, "1", ModelState.READY, requests_per_s=requests, **fields)  # type: ignore[arg-type]  # fields by name


def snapshot(mono: float, *models: ModelVersion, events: tuple[Event, ...] = ()) -> Snapshot:
    server = Server("s", "127.0.0.1:8001", models=models)
    return Snapshot(1, WALL + mono, mono, 1.0, (server,), events=events)


def requests(history: History, name: str = "m", seconds: float | None = None) -> list[float]:
    """Requests/s with -1 for unknown, to compare with."""
    found = history.series("s", name, "1", Metric.REQUESTS_PER_S)
    if seconds is not None:
        found = history.window("s", name, "1", "requests_per_s", seconds)
    return [-1.0 if isnan(value) else value for value in found]


def test_series_are_newest_last_and_belong_to_the_last_times() -> None:
    history = History()
    for second in range(5):
        rows = (model(requests=float(second)),) if second < 2 else (model(requests=float(second)), model("late", 9.0))
        history.push(snapshot(second, *rows))
    assert requests(history) == [0, 1, 2, 3, 4]
    assert requests(history, "late") == [9, 9, 9]
    assert list(history.times()) == [0, 1, 2, 3, 4]
    assert list(history.times(1.0)) == [3, 4]
    assert requests(history, seconds=1.0) == [3, 4]
    assert requests(history, "late", seconds=100.0) == [9, 9, 9]
    assert requests(history, "unknown") == []


def test_what_is_kept_of_a_row() -> None:
    row = model(
        requests=10.0,
        failures_per_s=1.0,
        queue_us=20.0,
        compute_input_us=1.0,
        compute_infer_us=2.0,
        compute_output_us=3.0,
        batch_avg=4.0,
        busy_ratio=0.5,
        pending=7,
        p99_us=99.0,
    )
    history = History()
    history.push(snapshot(0, row))
    kept = {metric: list(history.series("s", "m", "1", metric)) for metric in Metric}
    assert kept == {
        Metric.REQUESTS_PER_S: [10.0],
        Metric.FAILURES_PER_S: [1.0],
        Metric.QUEUE_US: [20.0],
        Metric.COMPUTE_US: [6.0],
        Metric.BATCH_AVG: [4.0],
        Metric.BUSY_RATIO: [0.5],
        Metric.PENDING: [7.0],
        Metric.P99_US: [99.0],
    }


def test_a_number_that_is_old_or_unknown_or_rubbish_leaves_a_gap() -> None:
    history = History()
    for second, row in enumerate((model(), model(age_s=5.0), model(requests=None), model(requests=1e300), model())):
        history.push(snapshot(second, row))
    assert requests(history) == [1, -1, -1, -1, 1]


def test_a_row_that_is_missing_for_a_while_has_a_gap() -> None:
    history = History()
    for second in range(5):
        history.push(snapshot(second, *(() if second == 2 else (model(requests=float(second)),))))
    assert requests(history) == [0, 1, -1, 3, 4]


def test_a_model_that_never_had_a_number_costs_nothing() -> None:
    history = History()
    history.push(snapshot(0, *(model(f"m{number}", None) for number in range(100))))
    assert history.rows == 0


@pytest.mark.parametrize("interval_s", [0.25, 1.0, 7.0, 60.0])
def test_ten_minutes_are_kept_and_no_more(interval_s: float) -> None:
    history = History()
    points = int(1500 / interval_s)
    for point in range(points):
        history.push(snapshot(point * interval_s, model(requests=float(point))))
    times = history.times()
    assert times[-1] - times[0] <= 600
    assert times[-1] - times[0] > 600 - interval_s
    assert requests(history) == [float(point) for point in range(points - len(times), points)]


def test_the_interval_may_change() -> None:
    history, mono = History(), 0.0
    for step in [1.0] * 10 + [0.25] * 8 + [60.0] * 3:
        mono += step
        history.push(snapshot(mono, model()))
    assert list(history.times(60.0)) == [mono - 60.0, mono]
    assert len(history.times()) == 21


def test_a_vanished_row_is_forgotten_once_it_has_left_the_span() -> None:
    history = History()
    for second in range(1400):
        rows = (model(), model("gone")) if second < 100 else (model(),)
        history.push(snapshot(second, *rows))
        if second < 700:
            assert history.series("s", "gone", "1", "pending") or second < 1
    assert requests(history, "gone") == []
    assert history.rows == 2


def test_time_that_goes_back_begins_a_new_history() -> None:
    history = History()
    for mono in (10.0, 11.0, 5.0, 6.0):
        history.push(snapshot(mono, model(requests=mono)))
    assert requests(history) == [5, 6]


@given(st.lists(st.floats(0.01, 120), min_size=1, max_size=200), st.floats(0, 700))
def test_a_window_holds_exactly_the_points_that_are_young_enough(steps: list[float], seconds: float) -> None:
    history, mono, truth = History(), 0.0, []
    for number, step in enumerate(steps):
        mono += step
        truth.append((mono, float(number)))
        history.push(snapshot(mono, model(requests=float(number))))
    young = [value for at, value in truth if at >= mono - min(seconds, 600.0)]
    assert requests(history, seconds=min(seconds, 600.0)) == young
    assert len(history.times(min(seconds, 600.0))) == len(young)


def test_a_server_sums_what_can_be_summed_and_weighs_what_cannot() -> None:
    history = History()
    history.push(
        snapshot(
            0,
            model("a", 30.0, queue_us=10.0, compute_infer_us=1.0, busy_ratio=0.2, pending=3, p99_us=5.0),
            model("b", 10.0, queue_us=50.0, busy_ratio=0.9, inferences_per_s=40.0, executions_per_s=10.0, pending=1),
            model("steps", 5.0, queue_us=1e6, config=ModelConfig(scheduling=Scheduling.ENSEMBLE), pending=100),
            model("old", 1000.0, age_s=3.0),
        )
    )
    kept = {metric: history.series("s", "", "", metric)[-1] for metric in Metric}
    assert kept[Metric.REQUESTS_PER_S] == 40.0
    assert kept[Metric.QUEUE_US] == 20.0
    assert kept[Metric.COMPUTE_US] == 1.0
    assert kept[Metric.BATCH_AVG] == 4.0
    assert kept[Metric.BUSY_RATIO] == pytest.approx(0.9)
    assert kept[Metric.PENDING] == 4.0
    assert isnan(kept[Metric.P99_US])


def test_events_stand_where_they_happened() -> None:
    early = Event(WALL - 30.0, EventKind.OPERATION, "s", "m", who="me@here")
    history = History()
    history.push(snapshot(0, model(), events=(early,)))
    between = Event(WALL + 0.4, EventKind.MODEL_RELOADED, "s", "m", "1")
    other = Event(WALL + 1.0, EventKind.SERVER_LOST, "t")
    history.push(snapshot(1, model(), events=(early, between, other)))
    history.push(snapshot(2, model(), events=(early, between, other)))
    assert [mark.event for mark in history.marks(seconds=600)] == [early, between, other]
    assert [mark.mono for mark in history.marks()] == pytest.approx([-30.0, 0.4, 1.0], abs=1e-6)
    assert [mark.event for mark in history.marks("s")] == [early, between]
    assert [mark.event for mark in history.marks(seconds=1.7)] == [between, other]


def test_a_wall_clock_that_steps_moves_no_event_out_of_its_interval() -> None:
    history = History()
    history.push(snapshot(0, model()))
    wrong = Event(WALL - 7200.0, EventKind.MODEL_LOADED, "s")
    ahead = Event(WALL + 7200.0, EventKind.MODEL_LOADED, "s", "m")
    history.push(snapshot(1, model(), events=(wrong, ahead)))
    assert [mark.mono for mark in history.marks()] == [0.0, 1.0]


def test_marks_leave_with_the_span() -> None:
    history = History()
    event = Event(WALL, EventKind.MODEL_LOADED, "s")
    for second in range(700):
        history.push(snapshot(second, model(), events=(event,)))
    assert history.marks() == ()


def test_an_empty_history_has_nothing() -> None:
    history = History()
    assert list(history.times()) == []
    assert history.marks() == ()
    history.push(Snapshot(1, WALL, 0.0, 1.0))
    assert list(history.times()) == [0.0]


def test_a_model_for_ten_minutes_fits_into_25_kilobytes() -> None:
    models = 100
    rows = tuple(
        replace(
            model(f"m{number}"),
            queue_us=nan,
            failures_per_s=0.0,
            compute_infer_us=5.0,
            batch_avg=2.0,
            busy_ratio=0.5,
            pending=1,
            p99_us=9.0,
        )
        for number in range(models)
    )
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        history = History()
        for second in range(700):
            history.push(snapshot(second, *rows))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(history.times()) == 601
    assert used / models <= 25e3, f"{used / models / 1e3:.1f} kB"
