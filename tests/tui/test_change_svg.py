"""Pictures of what changes models, compared with those that somebody looked at.

Look at the report before you accept new ones with `pytest --snapshot-update`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.changing_session import FakeChangingSession, preview_of
from tests.tui.driving import until
from tests.tui.samples import sample_snapshot
from tests.tui.test_present_trial import DIFF, trial_of
from tritop.change import Drift, DriftState, Preview
from tritop.operation import LoadModel, OperationState, PreviewChange, PreviewEdit
from tritop.settings import Settings
from tritop.trial import TrialState
from tui.app import TritopApp

WIDE, NARROW = (140, 45), (80, 24)
SnapCompare = Callable[..., bool]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the screen is the local one."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def losing(question: PreviewEdit | PreviewChange) -> Preview:
    """A change that loses something and takes an ensemble down."""
    warnings = ("the ensemble pipeline goes down: it calls matrix.",)
    return replace(preview_of(question), lost_fields=("input", "ensemble pipeline"), warnings=warnings)


def after(*keys: str, wait_for: Callable[[FakeChangingSession], bool], session: FakeChangingSession) -> object:
    """Press the keys, wait for what they bring, and hold what blinks."""

    async def run(pilot: Pilot[object]) -> None:
        app = pilot.app
        assert isinstance(app, TritopApp)
        session.deliver_next()
        await pilot.pause()
        app.desk.select(("demo", "matrix", "2"))
        await pilot.press(*keys)
        await until(pilot, lambda: wait_for(session))
        await pilot.pause()
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    steps: Callable[[Pilot[object]], Awaitable[None]] = run
    return steps


def answered(session: FakeChangingSession) -> bool:
    return bool(session.questions()) and len(session.statuses) == len(session.questions())


def picture(
    snap_compare: SnapCompare,
    session: FakeChangingSession,
    size: tuple[int, int],
    *keys: str,
    wait_for: Callable[[FakeChangingSession], bool] = lambda session: True,
    **settings: object,
) -> bool:
    made: Callable[..., Settings] = Settings
    app = TritopApp(session, made(**{"title": "demo", "theme": "dark", **settings}), beat_s=0)
    run_before = after(*keys, wait_for=wait_for, session=session)
    return snap_compare(app, terminal_size=size, run_before=run_before)


EDIT = ("e", "space", "tab", "2", "m", "s")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=str)
def test_editor(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    session = FakeChangingSession()

    def typed(session: FakeChangingSession) -> bool:
        last = session.questions()[-1] if session.questions() else None
        return isinstance(last, PreviewEdit) and last.edit.max_queue_delay_us == 2000

    assert picture(snap_compare, session, size, *EDIT, wait_for=typed)


def test_editor_without_colours_in_ascii(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, FakeChangingSession(), NARROW, "e", ascii=True, theme="ansi")


def test_losses_are_given_up_by_name(snap_compare: SnapCompare) -> None:
    session = FakeChangingSession(answer=losing)
    assert picture(snap_compare, session, NARROW, "e", "space", "ctrl+s", wait_for=answered)


def test_unload(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, FakeChangingSession(), NARROW, "u", "j", "enter", wait_for=answered)


def test_versions(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, FakeChangingSession(), NARROW, "v", "space", wait_for=answered)


def test_terms_of_a_trial(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, FakeChangingSession(), NARROW, "e", "space", "ctrl+t", wait_for=answered)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=str)
def test_a_trial_is_watched(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    drift = Drift("demo", "matrix", DriftState.DRIFTED, DIFF, "models/matrix/config.pbtxt", "a restart loses it.")
    snapshot = replace(sample_snapshot(1), trials=(trial_of(TrialState.WATCHING),), drifts=(drift,))
    assert picture(snap_compare, FakeChangingSession(snapshot), size)


def test_a_failure_stays(snap_compare: SnapCompare) -> None:
    session = FakeChangingSession()

    def failed(session: FakeChangingSession) -> bool:
        if not session.statuses:
            session.submit(LoadModel("demo", "ranker"))
            session.end(OperationState.FAILED, "demo refused: no such file weights.npz. ranker is not loaded.")
        return True

    assert picture(snap_compare, session, NARROW, wait_for=failed)
