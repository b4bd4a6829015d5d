"""The whole screen, driven by keys: what is shown, what is asked of the Session, what survives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import pytest
from textual.events import Resize
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.tui.sample_conditions import Condition
from tests.tui.samples import HOSTILE_NAMES, FakeSession, sample_series, sample_snapshot
from tritop.model import Snapshot
from tritop.operation import OperationState, OperationStatus, ReadNow, SetInterval, SetTraffic
from tritop.settings import Settings
from tui.app import TritopApp
from tui.keys import ACTIONS, Place
from tui.model_actions import ModelActions
from tui.present.filtering import Order
from tui.screens.base import SnapshotScreen
from tui.screens.logs import LogScreen
from tui.screens.model import ModelScreen
from tui.screens.overview import OverviewScreen
from tui.screens.pages import TextScreen
from tui.screens.servers import ServersScreen
from tui.server_actions import ServerActions
from tui.themes import theme_name

Steps = Callable[[Pilot[object], TritopApp, FakeSession], Awaitable[None]]


def drive(
    steps: Steps,
    snapshots: Iterable[Snapshot] | None = None,
    size: tuple[int, int] = (120, 36),
    settings: Settings | None = None,
) -> None:
    """Run the App on a terminal of a size, with the first Snapshot shown, and then the steps."""

    async def run() -> None:
        session = FakeSession(sample_series(20) if snapshots is None else snapshots)
        app = TritopApp(session, settings or Settings(title="demo"), beat_s=0)
        async with app.run_test(size=size) as pilot:
            session.deliver_next()
            await pilot.pause()
            await steps(pilot, app, session)

    asyncio.run(run())


def text_on(app: TritopApp) -> str:
    """What stands on the terminal."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def line_with(app: TritopApp, text: str) -> str:
    return next(line for line in text_on(app).splitlines() if text in line)


def place_of(app: TritopApp) -> Place | None:
    return app.screen.place if isinstance(app.screen, SnapshotScreen) else None


def test_every_action_has_a_method_or_a_screen() -> None:
    owners = (TritopApp, ModelActions, ServerActions, OverviewScreen, ServersScreen, ModelScreen, TextScreen, LogScreen)
    for action in ACTIONS:
        known = any(hasattr(owner, f"do_{action.name}") for owner in owners)
        assert action.by_widget or action.opens is not None or known, action.name


def test_keys_are_bound_once_in_each_place() -> None:
    for place in Place:
        keys = [key for action in ACTIONS if not action.by_widget and place in action.places for key in action.keys]
        assert len(keys) == len(set(keys)), place


def test_the_first_snapshot_is_on_the_screen() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        shown = text_on(app)
        for part in ("● READY", "matrix", "WHERE THE TIME GOES", "BATCH SIZES, last 10 s", "×32 in flight", "q quit"):
            assert part in shown
        assert session.started == 1

    drive(steps)


@pytest.mark.parametrize("key", ["", "s", "e"])
def test_sizes_that_come_at_once_end_with_the_last_one(key: str) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press(*key)
        for size in (Size(90, 30), app.size):
            app.screen.post_message(Resize(size, size))
            app.screen.call_later(lambda: None)  # Textual makes one of two sizes only where nothing came between them
        await pilot.pause()
        assert app.screen.size == (120, 36)
        assert len(text_on(app).splitlines()) == 36

    drive(steps)


def test_numbers_move_with_the_snapshots() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        before = line_with(app, "▸ matrix")
        session.deliver_next(3)
        await pilot.pause()
        assert line_with(app, "▸ matrix") != before
        assert app.desk.latest.seq == 4
        assert len(app.desk.history.times()) == 4

    drive(steps)


def test_the_selection_stays_on_its_model_while_the_order_changes() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("j")
        assert app.desk.selection == ("demo", "embed", "1")
        await pilot.press("s")
        options = app.screen.query_one(OptionList)
        options.highlighted = 4
        await pilot.press("enter")
        await pilot.pause()
        assert app.desk.order == Order("requests", True)
        assert app.desk.selection == ("demo", "embed", "1")
        assert "▼REQ/s" in text_on(app)
        await pilot.press("S")
        assert app.desk.order == Order("requests", False)
        assert app.desk.selection == ("demo", "embed", "1")
        assert "▸ embed" in text_on(app)

    drive(steps)


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        column = text_on(app).splitlines()[1].index("QUEUE")
        await pilot.click("#table", offset=(column, 0))
        assert app.desk.order == Order("queue", True)
        await pilot.click("#table", offset=(column, 0))
        assert app.desk.order == Order("queue", False)

    drive(steps)


def test_a_click_on_the_header_opens_the_page_of_that_server() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        names = [server.name for server in app.desk.shown.servers]
        await pilot.press("j")
        selected = app.desk.selection
        await pilot.click("#header", offset=(30, 0))
        assert place_of(app) is Place.SERVER
        assert app.desk.selection == selected
        await pilot.press("escape")
        await pilot.click("#header", offset=(30, 1))
        await pilot.pause()
        assert place_of(app) is Place.SERVER
        assert app.desk.subject()[0] is app.desk.shown.servers[1]
        assert f"SERVER  {names[1]}" in text_on(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.desk.subject()[0] is app.desk.shown.servers[1]

    drive(steps, sample_series(20, servers=2), size=(160, 45))


def test_a_filter_works_while_it_is_typed_and_escape_clears_it() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("slash", *"rank")
        await pilot.pause()
        assert "1 of 5" in text_on(app)
        assert "embed" not in text_on(app)
        await pilot.press("enter")
        assert not isinstance(app.focused, Input)
        session.deliver_next()
        await pilot.pause()
        assert "embed" not in text_on(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "embed" in text_on(app)

    drive(steps)


def test_an_inverse_filter_hides_what_it_names() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("slash", "!", *"matrix", "enter")
        await pilot.pause()
        assert app.desk.needle == "!matrix"
        assert "▸ embed" in text_on(app)

    drive(steps)


def test_letters_typed_into_the_filter_do_nothing_else() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("slash", "q", "b", "p")
        assert app.is_running
        assert session.submitted == []
        assert not app.desk.paused

    drive(steps)


def test_traffic_is_toggled_and_steered() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("left_square_bracket", "right_square_bracket", "b")
        await pilot.press("j", "b")
        assert session.submitted == [
            SetTraffic("demo", "matrix", "2", concurrency=16),
            SetTraffic("demo", "matrix", "2", concurrency=32),
            SetTraffic("demo", "matrix", "2"),
            SetTraffic("demo", "embed", "1", concurrency=8),
        ]

    drive(steps)


@pytest.mark.parametrize(("height", "toasts"), [(36, 0), (11, 1)])
def test_an_operation_that_failed_is_told_once(height: int, toasts: int) -> None:
    """Above the footer, where it stays, or in a toast where there is no room for that."""
    status = OperationStatus(
        7, SetTraffic("demo", "matrix"), OperationState.FAILED, 0.0, 1.0, "[b]matrix[/] is a sequence model\x1b[2J"
    )
    failed = [replace(snapshot, operations=(status,)) for snapshot in sample_series(3)]

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        session.deliver_next(2)
        await pilot.pause()
        said = "[b]matrix[/] is a sequence model␛"
        assert [note.message for note in app._notifications] == [said] * toasts
        assert toasts or text_on(app).count(said) == 1

    drive(steps, failed, size=(120, height))


def test_a_bug_is_said_instead_of_old_numbers_looking_new() -> None:
    broken = replace(sample_snapshot(1), bug="Traceback ...\nValueError: a bug in derive\n")

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        assert "a bug in tritop: nothing new is shown. ValueError: a bug in derive" in text_on(app)

    drive(steps, [broken])


def test_marked_rows_are_what_an_action_is_for() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("j", "space", "down", "down", "space", "k", "b")
        assert {(each.model, each.version) for each in session.submitted if isinstance(each, SetTraffic)} == {
            ("embed", "1"),
            ("pipeline", "1"),
        }

    drive(steps)


@pytest.mark.parametrize("keys", [("j", "j", "b"), ("j", "right_square_bracket")])
def test_what_is_not_possible_says_why_and_does_nothing(keys: tuple[str, ...]) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        assert session.submitted == []
        assert len(app._notifications) == 1

    drive(steps)


def test_a_read_only_session_takes_no_traffic() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("b")
        assert session.submitted == []
        assert "read-only" in text_on(app)

    drive(steps, settings=Settings(title="demo", read_only=True))


def test_interval_and_reading_now_are_asked_of_the_session() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("plus", "minus", "ctrl+r", "f5")
        assert session.submitted == [SetInterval(2.0), SetInterval(0.5), ReadNow(), ReadNow()]

    drive(steps)


def test_pause_holds_the_picture_and_collection_goes_on() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("p")
        held = line_with(app, "▸ matrix")
        session.deliver_next(5)
        await pilot.pause()
        assert line_with(app, "▸ matrix") == held
        assert "PAUSED 5 s old" in text_on(app)
        model = app.desk.shown.servers[0].models[0]
        assert len(app.desk.series("demo", model, "requests_per_s")) == 1
        assert len(app.desk.history.series("demo", "matrix", "2", "requests_per_s")) == 6
        await pilot.press("p")
        assert line_with(app, "▸ matrix") != held
        assert "PAUSED" not in text_on(app)

    drive(steps)


@pytest.mark.parametrize(
    ("key", "place", "part"),
    [
        ("d", Place.MODEL, "QUANTILES"),
        ("enter", Place.MODEL, "QUANTILES"),
        ("3", Place.MODEL, "QUANTILES"),
        ("2", Place.SERVER, "SOURCES"),
        ("y", Place.CONFIG, "max_batch_size: 32"),
        ("4", Place.CONFIG, "max_batch_size: 32"),
        ("5", Place.EVENTS, "load failed"),
        ("question_mark", Place.HELP, "What the numbers mean"),
        ("f1", Place.HELP, "What the numbers mean"),
    ],
)
def test_every_view_opens_and_escape_leads_back(key: str, place: Place, part: str) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert place_of(app) is place
        assert part in text_on(app)
        session.deliver_next()
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert place_of(app) is Place.OVERVIEW
        assert app.desk.latest.seq == 2
        assert line_with(app, "▸ matrix")

    drive(steps)


def test_numbers_go_from_view_to_view() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        for key, place in (("2", Place.SERVER), ("5", Place.EVENTS), ("3", Place.MODEL), ("1", Place.OVERVIEW)):
            await pilot.press(key)
            await pilot.pause()
            assert place_of(app) is place
            assert len(app.screen_stack) <= 2

    drive(steps)


def test_a_screen_that_was_left_is_not_painted() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        for _ in range(3):
            await pilot.press("d", "y")
            await pilot.pause()
            left = app.screen
            assert isinstance(left, SnapshotScreen)
            await pilot.press("2")
            left.show()
            session.deliver_next()
            await pilot.pause()
            left.show()
            assert place_of(app) is Place.SERVER
            await pilot.press("1")

    drive(steps)


def test_the_model_view_steps_to_the_next_model() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("d", "greater_than_sign")
        await pilot.pause()
        assert "embed 1" in text_on(app)
        await pilot.press("less_than_sign", "less_than_sign")
        await pilot.pause()
        assert app.desk.selection == ("demo", "matrix", "1")

    drive(steps)


def test_a_text_is_searched() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("y", "slash", *"kind_cpu")
        await pilot.pause()
        assert "1 line" in text_on(app)
        await pilot.press("enter", "n", "N")
        assert place_of(app) is Place.CONFIG

    drive(steps)


def test_the_palette_finds_actions_models_and_an_interval() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("colon", *"interval 5")
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert SetInterval(5.0) in session.submitted
        await pilot.press("ctrl+p", *"go to pipe")
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.desk.selection == ("demo", "pipeline", "1")
        assert place_of(app) is Place.MODEL

    drive(steps)


SIZES = ((160, 45), (80, 24), (20, 5), (1, 1))


@pytest.mark.parametrize(
    "condition", ["live", "first", "stale", "unreachable", "hanging", "not triton", "starting", "crashed", "empty"]
)
def test_every_state_fits_every_terminal(condition: Condition) -> None:
    snapshots = sample_series(9, condition=condition, gpus=1, names=HOSTILE_NAMES, models=12)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            for key in ("2", "5", "question_mark", "1"):
                await pilot.press(key)
                lines = text_on(app).splitlines()
                assert len(lines) <= height, (width, height, key)
                assert all(character.isprintable() for line in lines for character in line), (width, height, key)
            session.deliver_next()
            await pilot.pause()
            lines = text_on(app).splitlines()
            assert len(lines) <= height
            assert all(character.isprintable() for line in lines for character in line)

    drive(steps, snapshots)


def test_twenty_by_five_shows_models_and_their_state() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        assert "READY" in text_on(app).splitlines()[0]
        assert line_with(app, "matrix").split()[-1].replace(".", "").isdigit()

    drive(steps, size=(20, 5))


def test_ascii_draws_ascii() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        for key in ("1", "2", "3", "4", "5", "question_mark"):
            await pilot.press(key)
            await pilot.pause()
            shown = text_on(app)
            assert shown.isascii(), [character for character in shown if not character.isascii()]

    drive(steps, sample_series(30, gpus=1, names=HOSTILE_NAMES, models=8), settings=Settings(ascii=True))


def test_a_dead_server_leaves_the_others() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        shown = text_on(app)
        assert "UNREACHABLE" in shown
        assert "refuses connections" in shown
        assert "gpu-box-1" in shown
        await pilot.press("j")
        await pilot.pause()
        assert "WHERE THE TIME GOES" in text_on(app)

    drive(steps, sample_series(3, servers=2, condition="unreachable"))


def test_a_server_that_comes_up_brings_its_table() -> None:
    starting = sample_snapshot(1, condition="starting")
    ready = sample_snapshot(2)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        assert "loading matrix" in text_on(app)
        session.deliver_next()
        await pilot.pause()
        await pilot.press("j")
        await pilot.pause()
        assert app.desk.selection == ("demo", "embed", "1")
        assert "loading matrix" not in text_on(app)

    drive(steps, [starting, ready])


def test_the_busiest_model_is_selected_until_the_operator_selects_one() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        assert app.desk.selection == ("demo", "embed", "1")
        session.deliver_next()
        await pilot.pause()
        assert app.desk.wanted is None
        await pilot.press("k")
        session.deliver_next()
        await pilot.pause()
        assert app.desk.selection == app.desk.wanted == ("demo", "matrix", "2")

    drive(steps, sample_series(5, batching=False))


def test_nothing_is_drawn_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    paint = OverviewScreen.show_body

    def counted(screen: OverviewScreen) -> None:
        drawn.append(screen)
        paint(screen)

    monkeypatch.setattr(OverviewScreen, "show_body", counted)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("j", "k", "j")
        await pilot.pause()
        drawn.clear()
        for _ in range(5):
            await pilot.pause()
        assert drawn == []

    drive(steps, sample_series(5, batching=False))


def test_the_selection_waits_for_a_model_that_is_away() -> None:
    whole = sample_snapshot(1)
    server = whole.servers[0]
    without = replace(whole, seq=2, mono=whole.mono + 1, servers=(replace(server, models=server.models[2:]),))
    back = sample_snapshot(3)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("j")
        session.deliver_next()
        await pilot.pause()
        assert app.desk.selection is not None
        assert app.desk.selection != ("demo", "embed", "1")
        assert f"\n▸ {app.desk.selection[1]}" in text_on(app)
        session.deliver_next()
        await pilot.pause()
        assert app.desk.selection == ("demo", "embed", "1")
        assert "\n▸ embed" in text_on(app)

    drive(steps, [whole, without, back])


def test_a_thousand_models_are_shown_and_reached() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("G")
        await pilot.pause()
        selection = app.desk.selection
        assert selection is not None
        assert selection[1].endswith("_0999")
        assert len(line_with(app, f"▸ {selection[1]}").split()) > 8

    drive(steps, sample_series(3, models=1000))


def test_nothing_is_painted_while_the_terminal_lags() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        before = line_with(app, "▸ matrix")
        app.pace = type(app.pace)(lambda: 9)
        session.deliver_next(4)
        await pilot.pause()
        assert line_with(app, "▸ matrix") == before
        assert app.pace.skipped >= 1
        assert app.desk.latest.seq == 5
        app.pace = type(app.pace)(lambda: 0)
        session.deliver_next()
        await pilot.pause()
        assert line_with(app, "▸ matrix") != before

    drive(steps)


def test_a_slow_link_is_painted_every_other_second() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        session.deliver_next(3)
        await pilot.pause()
        painted = app.pace.painted
        for _ in range(8):
            session.deliver_next()
            await pilot.pause()
        assert app.pace.painted - painted == 4

    drive(steps, settings=Settings(low_bandwidth=True))


def test_a_session_that_falls_silent_is_said() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        for _ in range(5):
            app._beat()
        await pilot.pause()
        assert "nothing new for" in text_on(app)
        session.deliver_next()
        await pilot.pause()
        assert "nothing new for" not in text_on(app)

    drive(steps)


@pytest.mark.parametrize(
    ("key", "code"), [("q", 0), ("ctrl+c", 128 + signal.SIGINT)]
)  # fmt: skip
def test_the_keys_that_end_it(key: str, code: int) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert app.return_code == code

    drive(steps)


def test_control_c_ends_it_while_something_is_typed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("slash", "x", "ctrl+c")
        await pilot.pause()
        assert app.return_code == 130

    drive(steps)


def test_the_overview_is_never_closed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen)

    drive(steps)


@pytest.mark.parametrize(
    ("wanted", "colors", "name"),
    [
        (None, "truecolor", "dark"),
        (None, "256", "dark"),
        (None, "standard", "ansi-dark"),
        (None, None, "dark"),
        ("light", "256", "light"),
        ("ansi", "truecolor", "ansi-dark"),
        ("no such theme", "truecolor", "dark"),
    ],
)
def test_the_theme_fits_the_terminal(wanted: str | None, colors: str | None, name: str) -> None:
    assert theme_name(wanted, {"dark", "light", "ansi-dark"}, colors) == name
