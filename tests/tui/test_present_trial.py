"""A trial as a card, the lines above the footer, and what K, Z, z and w ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from tests.tui.changing_session import FakeChangingSession
from tests.tui.driving import drive, on, until
from tests.tui.samples import SAMPLE_AT, sample_snapshot
from tests.tui.test_app import text_on
from tritop.change import ConfigEdit, Drift, DriftState, FieldChange
from tritop.model import Event, EventKind, Snapshot
from tritop.operation import (
    EditConfig,
    KeepTrial,
    LoadModel,
    Operation,
    OperationState,
    OperationStatus,
    PreviewEdit,
    SaveConfig,
    SetTraffic,
    TakeBackTrial,
    Undo,
)
from tritop.trial import Figures, RailState, RailStatus, TrialState, TrialStatus
from tui.app import TritopApp
from tui.keys import Place
from tui.present.activity import activity_lines
from tui.present.look import Look
from tui.present.trial import trial_lines, trial_page
from tui.screens.base import SnapshotScreen
from tui.widgets.text_lines import text_of

LOOK = Look()
DIFF = (FieldChange("dynamic_batching.max_queue_delay_microseconds", "", "2000"),)
BEFORE = Figures(
    window_s=10.0,
    requests=1600,
    requests_per_s=160.0,
    failures_per_s=0.0,
    batch_avg=1.0,
    queue_us=186_000.0,
    compute_us=6_700.0,
    p99_us=214_000.0,
    p99_origin="60 s quantile",
    busy_ratio=0.98,
)
AFTER = replace(BEFORE, window_s=6.0, requests_per_s=700.0, batch_avg=17.5, queue_us=16_900.0, p99_us=60_000.0)


def trial_of(state: TrialState, **changes: object) -> TrialStatus:
    status = TrialStatus(
        "trial-1",
        "demo",
        "matrix",
        state,
        began_at=SAMPLE_AT - 6.0,
        trial_s=30.0,
        ends_in_s=24.0 if state is TrialState.WATCHING else None,
        before=BEFORE,
        after=AFTER,
        rails=(
            RailStatus("queue_us", RailState.HELD, 186_000.0, 16_900.0, 558_000.0),
            RailStatus("failure_ratio", RailState.CROSSED, 0.0, 0.3, 0.01),
            RailStatus("p99_us", RailState.UNKNOWN),
        ),
        diff=DIFF,
        who="ada@gpu-box",
    )
    change: Callable[..., TrialStatus] = replace
    return change(status, **changes)


def card(trial: TrialStatus, width: int = 90) -> str:
    return "\n".join(text_of(line) for line in trial_lines(trial, SAMPLE_AT, width, LOOK))


def test_a_trial_shows_before_and_after_with_their_windows() -> None:
    text = card(trial_of(TrialState.WATCHING))
    assert "watching" in text
    assert "24 s left" in text
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert rows["over"].split() == ["over", "10", "s", "6.0", "s"]
    assert rows["requests/s"].split() == ["requests/s", "160.0", "700.0", "×4.38"]
    assert rows["queue"].split()[:3] == ["queue", "186ms", "16.9ms"]
    assert "● queue" in text
    assert "✖ failed requests" in text
    assert "○ p99" in text
    assert "K keep it" in text


def test_too_little_traffic_is_said() -> None:
    rails = (RailStatus("queue_us", RailState.TOO_LITTLE_TRAFFIC),)
    assert "Not enough traffic to judge" in card(trial_of(TrialState.WATCHING, rails=rails))


def test_quantiles_of_two_sources_are_not_compared_silently() -> None:
    assert "cannot be compared" in card(trial_of(TrialState.WATCHING, after=replace(AFTER, p99_origin="client")))


@pytest.mark.parametrize("state", [TrialState.LEFT_OPEN, TrialState.STUCK])
def test_a_trial_that_nobody_watches_says_what_to_do(state: TrialState) -> None:
    text = card(trial_of(state, text="tritop of ada@gpu-box has ended without a word."))
    assert str(state) in text
    assert "has ended without a word" in text
    assert "still runs with the configuration on trial" in text
    assert "Z take it back" in text


@given(st.sampled_from(TrialState), st.text(), st.text(), st.integers(20, 160))
def test_a_hostile_trial_reaches_no_terminal(state: TrialState, one: str, two: str, width: int) -> None:
    trial = trial_of(state, model=one, who=two, text=one, diff=(FieldChange(one, two, one),))
    snapshot = replace(sample_snapshot(1), trials=(trial,))
    lines = [*trial_page(snapshot, width, LOOK), *activity_lines(snapshot, 0, width, LOOK)]
    assert all(text_of(line).isprintable() for line in lines)


def status(
    number: int, operation: Operation, state: OperationState, text: str = "", age_s: float = 0
) -> OperationStatus:
    return OperationStatus(number, operation, state, SAMPLE_AT + 1.0 - age_s, None, text)


def activity(snapshot: Snapshot, dismissed: int = 0) -> list[str]:
    return [text_of(line) for line in activity_lines(snapshot, dismissed, 100, LOOK)]


def test_only_what_takes_over_a_second_has_a_line() -> None:
    edit = EditConfig("demo", "matrix", ConfigEdit(batching=True))
    running = OperationState.RUNNING
    snapshot = replace(
        sample_snapshot(1),
        operations=(
            status(1, LoadModel("demo", "quick"), running, age_s=0.4),
            status(2, edit, running, "loading matrix: 2.5 s", age_s=2.5),
            status(3, LoadModel("demo", "later"), OperationState.QUEUED, age_s=3.0),
            status(4, PreviewEdit("demo", "matrix", ConfigEdit()), running, age_s=9.0),
        ),
    )
    assert activity(snapshot) == [
        "◐ edit matrix  2.5 s  loading matrix: 2.5 s",
        "◐ load later  3.0 s  waits for another change",
    ]


def test_failures_stay_until_they_are_dismissed_the_newest_in_full() -> None:
    failed = OperationState.FAILED
    snapshot = replace(
        sample_snapshot(1),
        operations=(
            status(1, LoadModel("demo", "one"), failed, "reason " * 40),
            status(2, SetTraffic("demo", "two"), failed, "no such model"),
            status(3, PreviewEdit("demo", "matrix", ConfigEdit()), failed, "gone"),
        ),
    )
    lines = activity(snapshot)
    assert lines[0] == "✖ Bksp dismiss  traffic to two: no such model"
    assert lines[1].startswith("✖ Bksp dismiss  load one: reason")
    assert len(lines) == 2
    assert activity(snapshot, dismissed=2) == []


def on_trial(state: TrialState) -> FakeChangingSession:
    return FakeChangingSession(replace(sample_snapshot(1), trials=(trial_of(state),)))


@pytest.mark.parametrize(
    ("key", "operation"),
    [("K", KeepTrial("demo", "trial-1")), ("Z", TakeBackTrial("demo", "trial-1"))],
)
def test_a_watched_trial_is_decided_with_one_key(key: str, operation: Operation) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "trial of matrix: watching, 24 s left" in text_on(app)
        await pilot.press(key)
        await pilot.pause()
        assert session.submitted == [operation]

    drive(steps, on_trial(TrialState.WATCHING))


def test_a_trial_that_was_left_open_is_announced_and_taken_back_after_a_question() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "trial of matrix: left open" in text_on(app)
        [note] = app._notifications
        assert "left open" in note.message
        await pilot.press("Z")
        await until(pilot, on(app, "Take the trial of matrix back?"))
        await pilot.press("shift+tab", "space", "y")
        await until(pilot, lambda: bool(session.submitted))
        assert session.submitted == [TakeBackTrial("demo", "trial-1", confirmed=True)]

    drive(steps, on_trial(TrialState.LEFT_OPEN))


def test_the_page_of_trials_goes_on_while_the_picture_is_held() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("t")
        await until(pilot, on(app, "TRIAL of matrix"))
        assert isinstance(app.screen, SnapshotScreen)
        assert app.screen.place is Place.TRIALS
        session.snapshot = replace(session.snapshot, trials=(trial_of(TrialState.TAKEN_BACK, text="p99 rose"),))
        session.deliver_next()
        await until(pilot, on(app, "p99 rose"))
        await pilot.press("escape")
        await pilot.pause()
        assert "trial of matrix:" not in text_on(app)

    drive(steps, on_trial(TrialState.WATCHING))


def test_keeping_is_not_possible_without_a_trial() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("K", "Z")
        await pilot.pause()
        assert session.submitted == []
        assert all("no trial waits" in note.message for note in app._notifications)

    drive(steps)


def test_undo_names_what_it_takes_back() -> None:
    event = Event(
        SAMPLE_AT - 30.0,
        EventKind.OPERATION,
        "demo",
        "embed",
        who="ada@gpu-box",
        id="event-7",
        diff=DIFF,
        outcome="embed: max_queue_delay, full reload",
        succeeded=True,
    )
    session = FakeChangingSession(replace(sample_snapshot(1), events=(event,)))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("z")
        await until(pilot, on(app, "Undo the last change of embed?"))
        for part in ("ada@gpu-box", "(not set) → 2000", "full reload"):
            assert part in text_on(app)
        await pilot.press("enter")
        await pilot.pause()
        assert session.submitted == []
        await pilot.press("z")
        await until(pilot, on(app, "Undo the last change of embed?"))
        await pilot.press("y")
        await until(pilot, lambda: bool(session.submitted))
        assert session.submitted == [Undo("demo", "embed")]

    drive(steps, session)


def test_saving_names_the_file_and_the_fields() -> None:
    drift = Drift("demo", "matrix", DriftState.DRIFTED, DIFF, "models/matrix/config.pbtxt", "it differs.")
    session = FakeChangingSession(replace(sample_snapshot(1), drifts=(drift,)))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("w")
        await until(pilot, on(app, "models/matrix/config.pbtxt"))
        assert "→ 2000" in text_on(app)
        await pilot.press("y")
        await until(pilot, lambda: bool(session.submitted))
        assert session.submitted == [SaveConfig("demo", "matrix")]

    drive(steps, session)


def test_saving_says_why_not() -> None:
    same = Drift("demo", "matrix", DriftState.SAME, (), "models/matrix/config.pbtxt", "matrix runs as its file says.")

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("w")
        await pilot.pause()
        assert session.submitted == []
        [note] = app._notifications
        assert "as its file says" in note.message

    drive(steps, FakeChangingSession(replace(sample_snapshot(1), drifts=(same,))))
