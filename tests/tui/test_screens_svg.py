"""Pictures of the screens, compared with those that somebody looked at.

Look at the report before you accept new ones with `pytest --snapshot-update`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tritop.logs.samples import DEFAULT, read
from tests.tui.samples import HOSTILE_NAMES, FakeSession, sample_series
from tritop.settings import Settings
from tui.app import TritopApp
from tui.screens.logs import LogScreen

WIDE, MIDDLE, NARROW, TINY = (160, 45), (120, 36), (80, 24), (20, 5)
POINTS = 90

SnapCompare = Callable[..., bool]


@dataclass(frozen=True)
class Case:
    """One picture."""

    name: str
    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    sample: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("overview", WIDE, sample={"gpus": 1}),
    Case("overview", MIDDLE),
    Case("overview", NARROW),
    Case("overview", TINY),
    Case("light", MIDDLE, settings={"theme": "light"}),
    Case("sixteen colours", NARROW, settings={"theme": "ansi"}),
    Case("ascii", NARROW, settings={"ascii": True}),
    Case("batching off", MIDDLE, sample={"batching": False}),
    Case("first reading", NARROW, sample={"condition": "first"}),
    Case("failed model", MIDDLE, keys=("j", "j")),
    Case("several servers", MIDDLE, sample={"servers": 3, "condition": "unreachable"}),
    Case("starting", NARROW, sample={"condition": "starting"}),
    Case("crashed", NARROW, sample={"condition": "crashed"}),
    Case("stale", NARROW, sample={"condition": "stale"}),
    Case("metrics off", NARROW, sample={"condition": "metrics off"}),
    Case("hostile names", MIDDLE, sample={"names": HOSTILE_NAMES, "models": 12}),
    Case("model", WIDE, keys=("d",)),
    Case("model", NARROW, keys=("d",)),
    Case("server", MIDDLE, keys=("2",), sample={"gpus": 2}),
    Case("config", NARROW, keys=("y",)),
    Case("gpus", MIDDLE, keys=("6",), sample={"gpus": 2}),
    Case("events", NARROW, keys=("5",)),
    Case("log", MIDDLE, keys=("l", "slash", *"model", "enter")),
    Case("log", NARROW, keys=("l", "w", "E", "E", "E")),
    Case("help", WIDE, keys=("question_mark",)),
    Case("sort dialog", MIDDLE, keys=("s", "j", "j")),
    Case("filter", NARROW, keys=("slash", "m", "a")),
    Case("paused", NARROW, keys=("p",)),
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the screen is the local one."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def settled(session: FakeSession, keys: tuple[str, ...]) -> Callable[[Pilot[object]], Awaitable[None]]:
    """Deliver everything, press the keys, and hold what blinks."""

    async def run(pilot: Pilot[object]) -> None:
        session.deliver_next(POINTS)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            if isinstance(pilot.app.screen, LogScreen):
                pilot.app.screen.take()
            await pilot.pause()
        for field_ in pilot.app.screen.query(Input):
            field_.cursor_blink = False
        await pilot.pause()

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.size[0]}x{case.size[1]}")
def test_picture(case: Case, snap_compare: SnapCompare) -> None:
    session = FakeSession(sample_series(POINTS, **case.sample))
    session.log = read(DEFAULT)
    app = TritopApp(session, Settings(**{"title": "demo", "theme": "dark", **case.settings}), beat_s=0)
    assert snap_compare(app, terminal_size=case.size, run_before=settled(session, case.keys))
