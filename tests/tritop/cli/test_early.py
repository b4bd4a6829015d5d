"""A session that begins before its screen: nothing that it delivered is lost, and it is always stopped."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from tests.tui.samples import FakeSession, sample_series
from tritop.cli.early import EarlySession
from tritop.cli.serving import draw
from tritop.config import load
from tritop.model import Snapshot
from tritop.operation import ReadNow
from tritop.session import Session
from tritop.settings import Settings


def test_what_came_early_is_handed_over_in_order() -> None:
    inner = FakeSession(sample_series(5))
    early = EarlySession(inner)
    assert inner.started == 1
    inner.deliver_next(2)
    seen: list[int] = []
    early.start(lambda snapshot: seen.append(snapshot.seq))
    assert seen == [1, 2]
    inner.deliver_next(3)
    assert seen == [1, 2, 3, 4, 5]
    early.submit(ReadNow())
    early.stop()
    assert (inner.submitted, inner.started, inner.stopped) == ([ReadNow()], 1, 1)


def test_only_the_newest_are_kept_for_a_screen_that_does_not_come() -> None:
    inner = FakeSession(sample_series(100, models=1))
    early = EarlySession(inner)
    inner.deliver_next(100)
    seen: list[int] = []
    early.start(lambda snapshot: seen.append(snapshot.seq))
    assert seen[-1] == 100
    assert len(seen) < 100


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Stands in for the screen's module; notes the settings that it was run with."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    settings_seen: list[Settings] = []

    def run(session: Session, settings: Settings) -> int:
        delivered: list[Snapshot] = []
        session.start(delivered.append)
        settings_seen.append(settings)
        session.stop()
        return 7

    module = types.ModuleType("tui.app")
    module.run = run  # type: ignore[attr-defined]  # a module made by hand
    monkeypatch.setitem(sys.modules, "tui.app", module)
    return settings_seen


@pytest.mark.parametrize("early", [True, False])
def test_the_screen_gets_the_session_and_its_settings(screen: list[Settings], tmp_path: Path, early: bool) -> None:
    inner = FakeSession()
    configuration = load({"theme": "light", "interval": "2"}, {"HOME": str(tmp_path)}, tmp_path)
    assert draw(inner, configuration, "gpu-box", early=early) == 7
    assert (inner.started, inner.stopped) == (1, 1)
    assert screen == [Settings(interval_s=2.0, theme="light", title="gpu-box")]


def test_a_screen_that_cannot_be_imported_leaves_no_session_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "tui.app", None)
    inner = FakeSession()
    with pytest.raises(ImportError, match=r"tui\.app"):
        draw(inner, load({}, {"HOME": str(tmp_path)}, tmp_path), "", early=True)
    assert (inner.started, inner.stopped) == (1, 1)
