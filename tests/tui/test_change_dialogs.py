"""The questions and dialogs before a model is changed, driven by keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, TextArea

from tests.tui.changing_session import FakeChangingSession, preview_of
from tests.tui.driving import drive, on, until
from tests.tui.samples import sample_snapshot
from tests.tui.test_app import line_with, text_on
from tritop.change import ChangeClass, ConfigEdit, Drift, DriftState, Preview, VersionChoice
from tritop.model import ControlMode, ModelState
from tritop.operation import (
    EditConfig,
    LoadModel,
    OperationState,
    PreviewChange,
    PreviewEdit,
    ReloadModel,
    SetVersions,
    UnloadModel,
)
from tui.app import TritopApp
from tui.screens.confirm import ChangeDialog
from tui.screens.edit_batching import EditBatchingScreen
from tui.screens.edit_text import EditTextScreen
from tui.screens.overview import OverviewScreen
from tui.screens.versions import VersionsScreen


def test_what_is_lost_is_given_up_by_name() -> None:
    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        return replace(preview_of(question), lost_fields=("input", "ensemble pipeline"))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "ctrl+s")
        await until(pilot, on(app, "keep ensemble pipeline"))
        await pilot.press("y")
        await pilot.pause()
        assert session.changes() == []
        await pilot.press("space", "tab", "space")
        await until(pilot, lambda: not app.screen.query_one("#go-on", Button).disabled)
        await pilot.press("y")
        await until(pilot, lambda: bool(session.changes()))
        [change] = session.changes()
        assert isinstance(change, EditConfig)
        assert change.confirmed_losses == ("input", "ensemble pipeline")

    drive(steps, FakeChangingSession(answer=answer))


def test_a_warning_puts_the_focus_on_cancel() -> None:
    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        return replace(preview_of(question), warnings=("live sequences are lost",))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        await until(pilot, on(app, "live sequences are lost"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditBatchingScreen))
        assert session.changes() == []

    drive(steps, FakeChangingSession(answer=answer))


def test_a_refusal_cannot_be_applied() -> None:
    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        return replace(preview_of(question), refusal="the server lets nobody load: it wants the header admin-key")

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        await until(pilot, on(app, "will not be sent"))
        assert "admin-key" in text_on(app)
        await pilot.press("y")
        await pilot.pause()
        assert session.changes() == []

    drive(steps, FakeChangingSession(answer=answer))


def test_a_question_that_fails_is_said() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space")
        await until(pilot, on(app, "nobody answers"))

    drive(steps, FakeChangingSession(answer=lambda question: "demo is gone: nobody answers."))


@pytest.mark.parametrize("key", ["e", "E", "u", "o", "v", "z"])
@pytest.mark.parametrize(
    ("mode", "read_only", "reason"),
    [
        (ControlMode.NONE_OR_POLL, False, "--model-control-mode=explicit"),
        (ControlMode.POLL, False, "edit config.pbtxt"),
        (ControlMode.EXPLICIT, True, "read-only"),
    ],
)
def test_what_the_server_forbids_says_why_and_asks_nothing(
    key: str, mode: ControlMode, read_only: bool, reason: str
) -> None:
    snapshot = sample_snapshot(1)
    server = replace(snapshot.servers[0], control_mode=mode, read_only=read_only)
    session = FakeChangingSession(replace(snapshot, servers=(server,)))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen)
        assert session.submitted == []
        [note] = app._notifications
        assert reason in note.message

    drive(steps, session)


def test_where_a_server_polls_the_file_is_edited_if_it_is_here() -> None:
    snapshot = sample_snapshot(1)
    server = replace(snapshot.servers[0], control_mode=ControlMode.POLL)
    drift = Drift("demo", "matrix", DriftState.SAME, path="/models/matrix/config.pbtxt")

    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        return replace(preview_of(question), file=drift.path, warnings=("the server is sent nothing",))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "2", "m", "s")
        await until(pilot, on(app, "in config.pbtxt"))
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert isinstance(app.screen, EditBatchingScreen), "there is no trial of a file"
        [note] = app._notifications
        assert "a trial is for a server" in note.message
        await pilot.press("ctrl+s")
        await until(pilot, on(app, "Apply (y)"))
        await pilot.press("y")
        await until(pilot, lambda: bool(session.changes()))
        await pilot.press("u")
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen), "a file loads and unloads nothing"

    drive(steps, FakeChangingSession(replace(snapshot, servers=(server,), drifts=(drift,)), answer=answer))


def test_live_sequences_are_counted_from_the_question() -> None:
    counted = "2 live sequences are lost, counted over 1.0 s"

    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        asked = preview_of(question)
        if isinstance(question, PreviewChange) and question.count_sequences:
            return replace(asked, warnings=(counted,))
        return replace(asked, warnings=("live sequences are lost, up to 16",), countable=True)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "2", "m", "s", "ctrl+s")
        await until(pilot, on(app, "c counts them"))
        assert "up to 16" in text_on(app)
        await pilot.press("c")
        await until(pilot, on(app, counted))
        assert "c counts them" not in text_on(app)
        await pilot.press("c", "y")
        await until(pilot, lambda: bool(session.changes()))
        assert len([one for one in session.questions() if isinstance(one, PreviewChange)]) == 1

    drive(steps, FakeChangingSession(answer=answer))


def test_a_whole_model_or_one_version_is_unloaded_after_a_question_that_names_its_ensembles() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("u")
        await until(pilot, on(app, "only version 2"))
        await pilot.press("j", "enter")
        await until(pilot, on(app, "pipeline goes down"))
        assert "requests/s" in line_with(app, " now ")
        await pilot.press("enter")
        await pilot.pause()
        assert session.changes() == []
        await pilot.press("u")
        await until(pilot, on(app, "only version 2"))
        await pilot.press("enter")
        await until(pilot, on(app, "Take version 2 of matrix out?"))
        await until(pilot, on(app, "pipeline goes down"))
        await pilot.press("y")
        await until(pilot, lambda: bool(session.changes()))
        assert session.changes() == [UnloadModel("demo", "matrix", "2")]

    drive(steps)


def test_what_is_not_served_is_loaded_without_a_question_and_what_is_served_with_one() -> None:
    snapshot = sample_snapshot(1)
    server = snapshot.servers[0]
    models = tuple(replace(row, state=ModelState.UNLOADED) if row.name == "embed" else row for row in server.models)
    session = FakeChangingSession(replace(snapshot, servers=(replace(server, models=models),)))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("o")
        await until(pilot, on(app, "Reload matrix?"))
        await pilot.press("n")
        await pilot.pause()
        app.desk.select(("demo", "embed", "1"))
        await pilot.press("o")
        await until(pilot, lambda: bool(session.changes()))
        assert session.changes() == [LoadModel("demo", "embed")]
        assert session.questions() == [PreviewChange(ReloadModel("demo", "matrix"))]

    drive(steps, session)


def test_versions_are_ticked() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, VersionsScreen))
        assert "READY" in line_with(app, "version 2")
        await pilot.press("space", "tab", "tab", *"7, 9")
        wanted = SetVersions("demo", "matrix", VersionChoice(specific=(1, 7, 9)))
        await until(pilot, lambda: PreviewChange(wanted) in session.questions())
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        await pilot.press("y")
        await until(pilot, lambda: bool(session.changes()))
        assert session.changes() == [replace(wanted, based_on='name: "matrix"')]

    drive(steps)


def test_no_version_at_all_is_no_choice() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("v", "space", "tab", "space")
        await until(pilot, on(app, "no version at all"))
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert isinstance(app.screen, VersionsScreen)
        assert session.changes() == []

    drive(steps)


def test_a_whole_configuration_is_checked_while_it_is_typed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, EditTextScreen))
        text = app.screen.query_one(TextArea)
        text.insert("\n\nmax_batch_sise: 3\n")
        await until(pilot, on(app, "cannot be read"))
        await pilot.press("f2")
        await pilot.pause()
        assert text.cursor_location[0] == 2
        await pilot.press("escape")
        await until(pilot, on(app, "Throw away"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditTextScreen))
        text.text = 'name: "matrix"\n'
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        await pilot.press("y")
        await until(pilot, lambda: bool(session.changes()))
        edit = ConfigEdit(pbtxt='name: "matrix"\n')
        assert session.changes() == [EditConfig("demo", "matrix", edit, based_on='name: "matrix"')]

    drive(steps)


def test_a_whole_configuration_is_based_on_what_the_server_said_when_it_was_opened() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, EditTextScreen))
        text = app.screen.query_one(TextArea)
        await until(pilot, lambda: text.text == 'name: "matrix"')
        assert session.questions() == [PreviewEdit("demo", "matrix", ConfigEdit())]
        text.text = 'name: "matrix"\nmax_batch_size: 3\n'
        edit = EditConfig("demo", "matrix", ConfigEdit(pbtxt=text.text), based_on='name: "matrix"')
        await until(pilot, lambda: session.questions()[-1] == PreviewChange(edit))

    drive(steps)


def test_what_goes_on_is_shown_and_a_failure_stays_until_it_is_dismissed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        app.desk.submit(LoadModel("demo", "ranker"))
        session.deliver_next(3)
        await until(pilot, on(app, "load ranker  4.0 s"))
        session.end(OperationState.FAILED, "demo refused: no such file \x1b[31mweights.npz")
        await until(pilot, on(app, "load ranker: demo refused: no such file"))
        assert "\x1b" not in text_on(app)
        session.deliver_next(30)
        await pilot.pause()
        assert "load ranker: demo refused" in text_on(app)
        await pilot.press("backspace")
        await pilot.pause()
        assert "load ranker: demo refused" not in text_on(app)

    drive(steps)


def test_hostile_names_do_no_harm_to_the_dialogs() -> None:
    name = "\x1b[31m[bold]x[/]\u202e"
    snapshot = sample_snapshot(1, names=(name,))
    session = FakeChangingSession(snapshot, answer=lambda question: replace(preview_of(question), lost_fields=(name,)))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        app.desk.select(("demo", name, "2"))
        for keys in (("e", "space", "ctrl+s"), ("E",), ("v",), ("u",)):
            await pilot.press(*keys)
            await pilot.pause(0.2)
            assert all(character.isprintable() for line in text_on(app).splitlines() for character in line)
            while len(app.screen_stack) > 1:
                app.pop_screen()
            await pilot.pause()
        assert session.changes() == []

    drive(steps, session)


def test_in_place_is_told_from_a_full_reload() -> None:
    def answer(question: PreviewEdit | PreviewChange) -> Preview:
        return replace(preview_of(question), change=ChangeClass.IN_PLACE, resets=(), expected_s=None)

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space")
        await until(pilot, on(app, "in place"))
        assert "second copy" not in text_on(app)

    drive(steps, FakeChangingSession(answer=answer))
