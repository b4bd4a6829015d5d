"""The servers on the screen, driven by keys: what is asked before a server is touched, and what is then sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.tui.changing_session import FakeChangingSession
from tests.tui.sample_servers import engine_lost, servers_snapshot
from tests.tui.test_app import place_of, text_on
from tritop.model import Snapshot
from tritop.operation import LaunchPreview, LaunchServer, OperationState, PreviewLaunch, SteerServer, Wish
from tritop.settings import LaunchProfile, Settings
from tui.app import TritopApp
from tui.keys import Place
from tui.screens.launch import LaunchScreen
from tui.screens.servers import ServersScreen
from tui.screens.steer import SteerDialog
from tui.widgets.choice import Choice

Steps = Callable[[Pilot[object], TritopApp, FakeChangingSession], Awaitable[None]]
PROD = SteerServer("prod", Wish.STOP, False, "01" * 32)


def drive(
    steps: Steps,
    session: FakeChangingSession | None = None,
    *,
    keys: Sequence[str] = ("7",),
    size: tuple[int, int] = (120, 36),
    settings: Settings | None = None,
) -> None:
    """Run the App on servers, press keys, and then the steps."""

    async def run() -> None:
        used = FakeChangingSession(servers_snapshot()) if session is None else session
        app = TritopApp(used, settings or Settings(), beat_s=0)
        async with app.run_test(size=size) as pilot:
            used.deliver_next()
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            await steps(pilot, app, used)

    asyncio.run(run())


def steered(session: FakeChangingSession) -> list[SteerServer]:
    return [one for one in session.submitted if isinstance(one, SteerServer)]


async def with_preview(pilot: Pilot[object], session: FakeChangingSession) -> None:
    """Wait until the newest text in the form has been asked about."""
    for _ in range(200):
        await pilot.pause(0.02)
        screen = pilot.app.screen
        if isinstance(screen, LaunchScreen) and screen.answered() is not None:
            return
    raise AssertionError(f"never asked: {session.submitted}")


def test_the_view_shows_every_server_and_enter_opens_its_page() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        shown = text_on(app)
        for part in ("6 servers", "▸ prod", "triton-llm", "✖ CRASHED", "CONTAINER  tritop-prod", "x stop"):
            assert part in shown
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        assert place_of(app) is Place.SERVER
        assert "It ran out of memory" in text_on(app)
        await pilot.press("escape")
        await pilot.pause()
        assert place_of(app) is Place.SERVERS
        assert "▸ staging" in text_on(app)

    drive(steps)


def test_the_cursor_stays_on_its_server_and_the_filter_goes_before_the_view() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("j", "s", "down", "enter")
        await pilot.pause()
        assert app.desk.server_order.column == "server"
        assert "▸ triton-llm" in text_on(app)
        await pilot.press("slash", *"!ready", "enter")
        await pilot.pause()
        shown = text_on(app)
        assert "staging" in shown
        assert "triton-llm" not in shown
        await pilot.press("escape")
        await pilot.pause()
        assert "triton-llm" in text_on(app)
        assert place_of(app) is Place.SERVERS
        await pilot.press("escape")
        await pilot.pause()
        assert place_of(app) is Place.OVERVIEW

    drive(steps)


def test_keys_are_for_the_server_under_the_cursor_whatever_became_of_the_selection() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("j", "k")
        await pilot.pause()
        app.desk.selection = ("far-box", "", "")
        session.deliver_next()
        await pilot.pause()
        assert "▸ prod" in text_on(app)
        assert "x stop" in text_on(app)
        await pilot.press("x")
        await pilot.pause()
        assert "Stop prod?" in text_on(app)

    drive(steps)


def test_a_stop_is_asked_about_with_the_focus_on_cancel() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        shown = text_on(app)
        for part in ("Stop prod?", "tritop-prod", "1820.4 requests/s", "for up to 45 s", "Cancel (n)"):
            assert part in shown
        await pilot.press("enter")
        await pilot.pause()
        assert steered(session) == []
        await pilot.press("x", "y")
        await pilot.pause()
        assert steered(session) == [PROD]
        session.end(OperationState.DONE, "prod is stopped.")
        await pilot.pause()
        assert [note.message for note in app._notifications] == ["prod is stopped."]

    drive(steps, keys=("7", "x"))


@pytest.mark.parametrize(("key", "wish"), [("R", Wish.RESTART), ("D", Wish.REMOVE)])
def test_restart_and_removal_are_asked_about_also_on_the_servers_page(key: str, wish: Wish) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert place_of(app) is Place.SERVER
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, SteerDialog)
        await pilot.press("y")
        await pilot.pause()
        assert steered(session) == [replace(PROD, wish=wish)]

    drive(steps, keys=("7", "enter"))


def test_somebody_elses_container_needs_its_name_ticked() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "not made by tritop" in text_on(app)
        await pilot.press("y")
        await pilot.pause()
        assert steered(session) == []
        assert isinstance(app.screen, SteerDialog)
        app.screen.query_one(Choice).focus()
        await pilot.press("space", "y")
        await pilot.pause()
        assert steered(session) == [SteerServer("triton-llm", Wish.STOP, True, "02" * 32)]

    drive(steps, keys=("7", "j", "x"))


def test_another_container_of_the_same_name_is_not_meant() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        prod = session.snapshot.servers[0]
        assert prod.container is not None
        other = replace(prod, container=replace(prod.container, id="ff" * 32))
        session.snapshot = replace(session.snapshot, servers=(other, *session.snapshot.servers[1:]))
        session.deliver_next()
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert steered(session) == []
        assert isinstance(app.screen, SteerDialog)

    drive(steps, keys=("7", "x"))


def test_what_is_ours_is_started_without_a_question() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert steered(session) == [SteerServer("staging", Wish.START, False, "03" * 32)]

    drive(steps, keys=("7", "j", "j", "o"))


def test_marked_servers_are_asked_about_one_after_another() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "Stop prod?" in text_on(app)
        await pilot.press("y")
        await pilot.pause()
        assert "Stop staging?" in text_on(app)
        await pilot.press("y")
        await pilot.pause()
        assert [one.server for one in steered(session)] == ["prod", "staging"]

    drive(steps, keys=("7", "space", "j", "j", "space", "x"))


def test_read_only_offers_nothing_that_touches_a_server() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "x stop" not in text_on(app)
        for told, key in enumerate(("x", "R", "D", "n", "exclamation_mark"), 1):
            await pilot.press(key)
            assert isinstance(app.screen, ServersScreen)
            assert len(app._notifications) == told
        assert all("read-only" in note.message for note in app._notifications)

    drive(steps, settings=Settings(read_only=True))


def test_a_lost_engine_is_told_with_its_age_and_nothing_is_offered() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        shown = text_on(app)
        assert "what is shown of containers is 41 s old" in shown
        assert "x stop" not in shown

    drive(steps, FakeChangingSession(engine_lost(servers_snapshot())))


def test_c_copies_the_command_line() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert app.clipboard.startswith("docker run --detach --init --name tritop-prod")

    drive(steps, keys=("7", "c"))


def test_a_terminal_that_cannot_be_lent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.server_actions.shutil.which", lambda name: None)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        [note] = app._notifications
        assert "no docker client" in note.message

    drive(steps, keys=("7", "exclamation_mark"))


@pytest.mark.parametrize("keys", [("n",), ("7", "n")])
def test_the_form_launches_what_is_typed_and_shows_the_servers(keys: Sequence[str]) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert isinstance(app.screen, LaunchScreen)
        assert "Give their folder" in text_on(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, LaunchScreen)
        await pilot.press(*"/srv/fresh")
        await with_preview(pilot, session)
        shown = text_on(app)
        assert "docker run --detach --init --name tritop-fresh" in shown
        assert "the image is pulled first." in shown
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert "source=/srv/fresh" in app.clipboard
        await pilot.press("enter")
        await pilot.pause()
        [launched] = [one for one in session.submitted if isinstance(one, LaunchServer)]
        assert (launched.server, launched.spec.repository) == ("fresh", "/srv/fresh")
        assert place_of(app) is Place.SERVERS
        assert app.desk.wanted == ("fresh", "", "")

    drive(steps, keys=keys)


def test_what_is_in_the_way_keeps_it_from_being_launched() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press(*"/srv/x", "enter")
        await with_preview(pilot, session)
        await pilot.pause()
        assert "Port 18000 is taken." in text_on(app)
        assert not [one for one in session.submitted if isinstance(one, LaunchServer)]
        assert isinstance(app.screen, LaunchScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert place_of(app) is Place.SERVERS

    def taken(question: PreviewLaunch) -> LaunchPreview:
        return LaunchPreview("docker run x", "Port 18000 is taken.")

    drive(steps, FakeChangingSession(servers_snapshot(), launch=taken), keys=("7", "n"))


def test_servers_without_models_are_shown_at_once() -> None:
    """Nothing is in the overview of containers that have stopped or that are only being started."""

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert place_of(app) is Place.SERVERS
        await pilot.press("1")
        session.deliver_next()
        await pilot.pause()
        assert place_of(app) is Place.OVERVIEW

    drive(steps, FakeChangingSession(_without_models()), keys=())


def _without_models() -> Snapshot:
    snapshot = servers_snapshot()
    return replace(snapshot, servers=(snapshot.servers[2], snapshot.servers[3]))


@pytest.mark.parametrize(
    ("size", "settings"),
    [((20, 5), Settings()), ((40, 8), Settings(ascii=True, color=False)), ((80, 24), Settings(ascii=True))],
)
def test_every_size_works(size: tuple[int, int], settings: Settings) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        for keys in (("x",), ("n", "n"), ("n",), ("escape",)):
            await pilot.press(*keys)
            await pilot.pause()
            shown = text_on(app)
            assert not settings.ascii or shown.isascii()
        assert len(shown.splitlines()) == size[1]

    drive(steps, size=size, settings=settings)


PROFILES = (
    LaunchProfile("big", {"name": "big", "repository": "/srv/models", "gpus": ("0", "1"), "shm_bytes": 3 << 29}),
    LaunchProfile("bad", {}, "tritop.toml: there is no setting servers.bad.colour."),
)


def test_a_profile_of_the_config_file_fills_the_form() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "^R profile" in text_on(app)
        await pilot.press("ctrl+r")
        await pilot.pause()
        shown = text_on(app)
        assert "big  /srv/models" in shown
        assert "bad  tritop.toml: there is no setting" in shown
        await pilot.press("down", "enter")
        await pilot.pause()
        (told,) = app._notifications
        assert "servers.bad.colour" in told.message
        await pilot.press("ctrl+r", "enter")
        await with_preview(pilot, session)
        await pilot.press("enter")
        await pilot.pause()
        (launched,) = [one for one in session.submitted if isinstance(one, LaunchServer)]
        spec = launched.spec
        assert (spec.name, spec.repository, spec.gpus, spec.shm_bytes) == ("big", "/srv/models", ("0", "1"), 3 << 29)

    drive(steps, keys=("7", "n"), settings=Settings(profiles=PROFILES))


def test_without_profiles_the_form_says_how_to_make_one() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        assert "profile" not in text_on(app)
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert any("[servers.NAME]" in told.message for told in app._notifications)

    drive(steps, keys=("7", "n"))
