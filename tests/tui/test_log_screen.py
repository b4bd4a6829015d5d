"""The log on the screen, driven by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.tritop.logs.samples import DEFAULT, read
from tests.tui.samples import FakeSession, sample_series
from tests.tui.test_app import line_with, text_on
from tritop.logs import LogLevel, LogLine
from tritop.settings import Settings
from tui.app import TritopApp
from tui.screens.logs import LogScreen
from tui.widgets.log_view import LogView


class Stage:
    """The log screen of the server `demo`, and what a test does with it."""

    def __init__(self, pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        self.pilot = pilot
        self.app = app
        self.session = session

    @property
    def screen(self) -> LogScreen:
        screen = self.app.screen
        assert isinstance(screen, LogScreen)
        return screen

    @property
    def view(self) -> LogView:
        return self.screen.view

    async def log(self, lines: list[LogLine]) -> None:
        """Lines come, and are taken over."""
        self.session.deliver_log("demo", lines)
        self.screen.take()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    @property
    def text(self) -> str:
        return text_on(self.app)

    @property
    def told(self) -> list[str]:
        """What was notified."""
        return [note.message for note in self.app._notifications]

    @property
    def shown(self) -> list[str]:
        """What is in view of the log."""
        return [self.view.render_line(y).text.rstrip() for y in range(self.view.size.height)]


Steps = Callable[[Stage], Awaitable[None]]


def drive(steps: Steps, size: tuple[int, int] = (100, 24), settings: Settings | None = None, key: str = "l") -> None:
    async def run() -> None:
        session = FakeSession(sample_series(20))
        app = TritopApp(session, settings or Settings(title="demo"))
        async with app.run_test(size=size) as pilot:
            session.deliver_next()
            await pilot.pause()
            stage = Stage(pilot, app, session)
            await stage.press(key)
            await steps(stage)

    asyncio.run(run())


def numbered(count: int, first: int = 1, run: int = 1) -> list[LogLine]:
    return [LogLine(number, run, LogLevel.INFO, f"line {number} ends") for number in range(first, first + count)]


def test_the_log_is_followed_to_its_end() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(read(DEFAULT))
        assert "Signal (15) received." in stage.shown[-1]
        await stage.log(numbered(100, first=200))
        assert "line 299 ends" in stage.shown[-1]
        assert "following" in stage.text

    drive(steps)


def test_scrolling_up_holds_the_lines_in_view_and_l_follows_again() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(100))
        await stage.press("pageup")
        held = stage.shown
        await stage.log(numbered(50, first=101))
        assert stage.shown == held
        assert "below, l follows" in stage.text
        await stage.press("l")
        assert "line 150 ends" in stage.shown[-1]
        assert "following" in stage.text
        await stage.press("g")
        assert "line 1 ends" in stage.shown[0]
        await stage.press("G")
        assert "following" in stage.text

    drive(steps)


def test_lines_in_view_stay_while_the_oldest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(stage: Stage) -> None:
        stage.view.rows._limit = 1000
        await stage.log(numbered(1100))
        await stage.press("pageup")
        held = stage.shown
        await stage.log(numbered(1, first=1101))
        assert stage.view.rows.total == 1000
        assert stage.shown == held

    drive(steps)


def test_a_search_marks_and_steps_down_and_up() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(100))
        await stage.press("slash", *"line 1", "enter")
        assert "line 100 ends" in stage.shown[-1]
        await stage.press("N")
        assert any("line 19 ends" in line for line in stage.shown)
        await stage.press("n", "n")
        assert any("line 1 ends" in line for line in stage.shown), "it goes round"

    drive(steps)


def test_the_search_says_how_many_lines_hold_the_text() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(100))
        await stage.press("slash", *"line 1")
        assert "12 lines" in stage.text
        await stage.press("escape")
        assert "12 lines" not in stage.text

    drive(steps)


@pytest.mark.parametrize("key", ["f", "ampersand"])
def test_a_filter_shows_entries_and_an_inverse_one_hides_them(key: str) -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(read(DEFAULT))
        await stage.press(key, *"zerodiv")
        assert "5 of 35" in stage.text
        await stage.press("enter")
        assert "filter zerodiv" in stage.text
        assert "Traceback" in stage.text
        await stage.press(key, *(["backspace"] * 7), *"!zerodiv", "enter")
        assert "Traceback" not in stage.text
        assert "30 of 35 lines" in stage.text
        await stage.press(key, "escape")
        assert "35 lines" in stage.text
        assert "filter !" not in stage.text

    drive(steps)


def test_only_the_entries_of_one_model() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(read(DEFAULT))
        await stage.press("m")
        options = stage.app.screen.query_one(OptionList)
        assert [str(option.prompt) for option in options.options] == ["every model", "bad", "broken", "matrix", "noisy"]
        options.highlighted = 3
        await stage.press("enter")
        assert "3 of 35 lines" in stage.text
        assert "model matrix" in stage.text

    drive(steps)


def test_e_goes_to_the_newest_error_and_then_from_error_to_error() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log([*read(DEFAULT), *numbered(100, first=100)])
        await stage.press("e")
        assert any("ERROR:x:python logging" in line for line in stage.shown)
        assert stage.view._hit is not None
        await stage.press("E", "E")
        hit = list(stage.view.rows.lines())[stage.view._hit]
        assert "failed to load 'broken'" in hit.text
        assert "following" not in stage.text

    drive(steps)


def test_without_an_error_e_says_so() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(3))
        await stage.press("e")
        assert stage.told == ["no error is shown."]

    drive(steps)


def test_long_lines_are_wrapped_or_moved_sideways() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log([LogLine(1, 1, LogLevel.INFO, "begin " + "x" * 300 + " end")])
        assert " end" not in stage.text.split("following")[1].splitlines()[1]
        await stage.press(*["right"] * 40)
        assert stage.shown[0].endswith("x end")
        await stage.press("w")
        assert stage.shown[0].endswith("x")
        assert stage.shown[3].endswith("x end")
        await stage.press("w")
        assert len([line for line in stage.shown if line.strip()]) == 1

    drive(steps)


def test_runs_are_marked_and_the_one_before_is_shown_alone() -> None:
    async def steps(stage: Stage) -> None:
        mark = LogLine(101, 2, LogLevel.PLAIN, "the server was started again: run 2", note=True)
        await stage.log([*numbered(100), mark, *numbered(3, first=102, run=2)])
        assert "── the server was started again: run 2 ──" in stage.text
        await stage.press("L")
        assert "run 1 of 2" in stage.text
        assert "line 100 ends" in stage.shown[-1]
        assert "line 104 ends" not in stage.text
        await stage.press("L")
        assert stage.told == ["no earlier run is kept."]
        await stage.press("l")
        assert "line 104 ends" in stage.shown[-1]

    drive(steps)


def test_from_another_screen_the_run_before_is_opened_at_once() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(3))
        await stage.log(numbered(3, first=4, run=2))
        assert "run 1 of 2" in stage.text
        assert "line 3 ends" in stage.text
        assert "line 4 ends" not in stage.text

    drive(steps, key="L")


def test_a_held_picture_takes_no_lines() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(numbered(3))
        await stage.press("p")
        await stage.log(numbered(3, first=4))
        assert "paused" in line_with(stage.app, "LOG demo")
        assert "line 6 ends" not in stage.text
        await stage.press("p")
        stage.screen.take()
        await stage.pilot.pause()
        assert "line 6 ends" in stage.text

    drive(steps)


def test_save_writes_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.logs.log_folder", lambda: tmp_path / "logs")

    async def steps(stage: Stage) -> None:
        await stage.log(read(DEFAULT))
        await stage.press("f", *"matrix", "enter", "ctrl+s")
        await stage.app.workers.wait_for_complete()
        assert len(stage.told) == 1
        assert stage.told[0].startswith("3 lines: ")

    drive(steps)
    (path,) = (tmp_path / "logs").iterdir()
    assert path.name.startswith("demo-")
    assert path.stat().st_mode & 0o077 == 0
    again = read(path.read_bytes().rstrip(b"\n"))
    assert [line.text for line in again] == [line.text for line in read(DEFAULT) if line.model == "matrix"]


def test_save_says_why_it_could_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    monkeypatch.setattr("tui.screens.logs.log_folder", lambda: tmp_path / "logs")

    async def steps(stage: Stage) -> None:
        await stage.press("ctrl+s")
        await stage.app.workers.wait_for_complete()
        assert len(stage.told) == 1
        assert "cannot be written" in stage.told[0]

    drive(steps)


def test_leaving_the_screen_ends_following() -> None:
    async def steps(stage: Stage) -> None:
        assert len(stage.session.followers["demo"]) == 1
        await stage.press("escape")
        assert stage.session.followers["demo"] == []

    drive(steps)


HOSTILE = ["\x1b[2Jcleared", "[bold red]markup[/]", "a\u202eb\u200bc", "宽" * 100, "e\u0301\u0301\u0301\u0301\u0301"]


@pytest.mark.parametrize("size", [(100, 24), (80, 24), (160, 50), (30, 8)])
@pytest.mark.parametrize("ascii", [False, True])
def test_hostile_lines_on_every_terminal(size: tuple[int, int], ascii: bool) -> None:
    async def steps(stage: Stage) -> None:
        await stage.log(read("\n".join(HOSTILE).encode()))
        for key in ("w", "e", "w", "g", "G"):
            await stage.press(key)
            assert all(character.isprintable() for line in stage.text.splitlines() for character in line)
            assert not ascii or stage.text.isascii()
        assert "[bold red]markup[/]" in stage.text or size[0] < 40

    drive(steps, size, Settings(title="demo", ascii=ascii))


def test_the_layout_follows_the_size() -> None:
    async def steps(stage: Stage) -> None:
        await stage.log([LogLine(1, 1, LogLevel.INFO, "y" * 250), *numbered(100, first=2)])
        await stage.press("w", "g")
        narrow = sum("y" in line for line in stage.shown)
        await stage.pilot.resize_terminal(170, 24)
        await stage.pilot.pause()
        assert sum("y" in line for line in stage.shown) < narrow
        assert "y" in stage.shown[0]

    drive(steps)
