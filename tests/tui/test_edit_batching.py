"""The batching editor and the dialogs that change models, driven by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Button, TextArea

from tests.tui.changing_session import FakeChangingSession, preview_of
from tests.tui.samples import sample_snapshot
from tests.tui.test_app import line_with, text_on
from tritop.change import ChangeClass, ConfigEdit, Drift, DriftState, Preview, VersionChoice
from tritop.model import ControlMode, InstanceGroup, ModelConfig, ModelState, Scheduling, Snapshot
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
from tritop.settings import Settings
from tritop.trial import DEFAULT_RAILS
from tui.app import TritopApp
from tui.screens.confirm import ChangeDialog
from tui.screens.edit_batching import EditBatchingScreen
from tui.screens.edit_text import EditTextScreen
from tui.screens.overview import OverviewScreen
from tui.screens.versions import VersionsScreen

Steps = Callable[[Pilot[object], TritopApp, FakeChangingSession], Awaitable[None]]
PATIENCE = 200


def drive(
    steps: Steps,
    session: FakeChangingSession | None = None,
    size: tuple[int, int] = (120, 36),
    settings: Settings | None = None,
) -> None:
    """Run the App with `matrix 2` selected, and then the steps."""
    made = session or FakeChangingSession()

    async def run() -> None:
        app = TritopApp(made, settings or Settings(title="demo"), beat_s=0)
        async with app.run_test(size=size) as pilot:
            made.deliver_next()
            await pilot.pause()
            app.desk.select(("demo", "matrix", "2"))
            assert isinstance(app.screen, OverviewScreen)
            app.screen.show()
            await pilot.pause()
            await steps(pilot, app, made)

    asyncio.run(run())


async def until(pilot: Pilot[object], condition: Callable[[], bool]) -> None:
    """Let the App go on until a condition holds."""
    for _ in range(PATIENCE):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(text_on(pilot.app) if isinstance(pilot.app, TritopApp) else "not come")


def on(app: TritopApp, text: str) -> Callable[[], bool]:
    """Whether a text stands on the screen."""
    return lambda: text in text_on(app)


def with_config(snapshot: Snapshot, **changes: object) -> Snapshot:
    """The Snapshot with another configuration of `matrix 2`."""
    change: Callable[..., ModelConfig] = replace
    server = snapshot.servers[0]
    models = tuple(
        replace(row, config=change(row.config, **changes)) if row.key == ("matrix", "2") and row.config else row
        for row in server.models
    )
    return replace(snapshot, servers=(replace(server, models=models), *snapshot.servers[1:]))


def test_the_common_edit_takes_eight_keys() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "tab", "2", "m", "s", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        await until(pilot, on(app, "full reload"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(session.changes()))
        edit = ConfigEdit(batching=True, max_queue_delay_us=2000)
        assert session.changes() == [EditConfig("demo", "matrix", edit, based_on='name: "matrix"')]
        assert session.questions()[-1] == PreviewEdit("demo", "matrix", edit)
        await until(pilot, lambda: isinstance(app.screen, OverviewScreen))

    drive(steps)


def test_a_delay_and_a_largest_batch_take_nine_keys() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "2", "m", "s", "tab", "1", "6", "ctrl+s")
        await until(pilot, on(app, "Apply (y)"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(session.changes()))
        edit = ConfigEdit(batching=True, max_queue_delay_us=2000, max_batch_size=16)
        assert session.changes() == [EditConfig("demo", "matrix", edit, based_on='name: "matrix"')]

    drive(steps)


def test_keys_that_arrive_together_have_the_effect_that_they_have_apart() -> None:
    """A laggy link delivers many at once; some of these mean something else in the view below the editor."""

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        for key in ("e", "escape", "e", "2", "m", "s", "tab", "1", "6", "ctrl+s"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, on(app, "Apply (y)"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(session.changes()))
        edit = ConfigEdit(batching=True, max_queue_delay_us=2000, max_batch_size=16)
        assert session.changes() == [EditConfig("demo", "matrix", edit, based_on='name: "matrix"')]
        await until(pilot, lambda: isinstance(app.screen, OverviewScreen))

    drive(steps)


@pytest.mark.parametrize("size", [(160, 45), (80, 24), (40, 12), (20, 5)])
def test_the_editor_shows_what_would_happen_at_every_size(size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "tab", "2", "m", "s")
        await until(pilot, lambda: len(session.questions()) > 0)
        await pilot.pause()
        lines = text_on(app).splitlines()
        assert len(lines) <= size[1]
        assert all(character.isprintable() for line in lines for character in line)
        if size[0] >= 80:
            await until(pilot, on(app, "full reload"))
            for part in ("about 1.4 s", "2.0 GiB", "20.0 GiB free", "was 0", "2000", "starts again"):
                assert part in text_on(app), part
        await pilot.press("escape")
        await pilot.pause()
        assert session.changes() == []

    drive(steps, size=size)


def test_the_present_values_stand_in_the_form() -> None:
    snapshot = with_config(
        sample_snapshot(1),
        max_queue_delay_us=1500,
        default_timeout_us=2_000_000,
        timeout_action="DELAY",
        priority_levels=2,
        default_priority_level=1,
        max_queue_size=64,
    )

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e")
        await pilot.pause()
        for label, value in (
            ("dynamic batching", "[x] on"),
            ("max queue delay", "1.5ms"),
            ("preferred sizes", "4,8,16"),
            ("queue timeout", "2s"),
            ("timeout action", "< DELAY >"),
            ("max queue size", "64"),
            ("default priority", "1"),
            ("instances", "2"),
        ):
            assert value in line_with(app, label), label
        assert "Nothing differs" in text_on(app)

    drive(steps, FakeChangingSession(snapshot))


def test_a_field_that_cannot_be_used_is_said_at_once_and_sends_nothing() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "tab", "2", "0")
        await pilot.pause()
        assert "Write it with its unit" in line_with(app, "max queue delay")
        asked = len(session.questions())
        await pilot.press("ctrl+s")
        await pilot.pause(0.3)
        assert len(session.questions()) == asked
        assert isinstance(app.screen, EditBatchingScreen)
        assert session.changes() == []

    drive(steps)


def test_a_delay_alone_turns_batching_on() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "tab", "5", "0", "0", "u", "s")
        await until(pilot, lambda: len(session.questions()) > 0)
        question = session.questions()[-1]
        assert isinstance(question, PreviewEdit)
        assert question.edit == ConfigEdit(batching=True, max_queue_delay_us=500)
        assert "[x] on" in line_with(app, "dynamic batching")

    drive(steps)


def test_an_edit_is_applied_on_what_was_typed_and_not_on_an_earlier_answer() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "tab", "5", "m", "s")
        await until(pilot, lambda: len(session.questions()) > 0)
        await pilot.press("backspace", "backspace", "backspace", "7", "m", "s", "enter")
        await pilot.pause()
        assert isinstance(app.screen, EditBatchingScreen)
        session.answer_now()
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        assert "7000" in text_on(app)

    drive(steps, FakeChangingSession(hold=True))


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


def test_an_edit_on_trial_takes_its_terms_along() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space", "ctrl+t")
        await until(pilot, on(app, "taken back by itself"))
        await pilot.press("4", "5", "s", "tab", "tab", *"off", "enter")
        await until(pilot, lambda: isinstance(app.screen, ChangeDialog))
        assert "on trial for 45 s" in text_on(app)
        await pilot.press("enter")
        await until(pilot, lambda: bool(session.changes()))
        [change] = session.changes()
        assert isinstance(change, EditConfig)
        assert change.trial_s == 45.0
        assert change.rails == replace(DEFAULT_RAILS, queue_us=None)
        session.end(OperationState.DONE, "matrix: " + "what was changed, " * 30)
        await pilot.pause()
        (told,) = app._notifications
        assert told.title == "on trial"
        assert len(told.message) <= 120, "it lies over the numbers that are watched now"

    drive(steps)


def test_an_edit_is_copied_as_a_command_pbtxt_or_json() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "tab", "2", "m", "s", "ctrl+o")
        await until(pilot, on(app, "the tritop command"))
        await pilot.press("enter")
        await pilot.pause()
        assert app.clipboard == "tritop batching set matrix -u 127.0.0.1:8001 --on --max-queue-delay 2ms"
        await pilot.press("ctrl+o")
        await until(pilot, on(app, "the tritop command"))
        await pilot.press("j", "enter")
        await pilot.pause()
        assert app.clipboard.startswith('name: "matrix"\nmax_batch_size')

    drive(steps)


def test_a_change_by_somebody_else_is_said_and_taken_over() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "space")
        session.snapshot = with_config(session.snapshot, max_batch_size=8, pbtxt='name: "matrix"\nmax_batch_size: 8\n')
        session.deliver_next()
        await until(pilot, on(app, "has changed since"))
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert "8 " in line_with(app, "max batch size")
        assert "has changed since" not in text_on(app)

    drive(steps)


def test_each_group_of_instances_has_its_own_count() -> None:
    groups = (InstanceGroup("cpu", "KIND_CPU", 1), InstanceGroup("gpu", "KIND_GPU", 2, (0, 1)))
    session = FakeChangingSession(with_config(sample_snapshot(1), instance_groups=groups))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", *["shift+tab"] * 4, "3")
        await until(pilot, lambda: len(session.questions()) > 0)
        question = session.questions()[-1]
        assert isinstance(question, PreviewEdit)
        assert question.edit == ConfigEdit(instance_groups=(groups[0], replace(groups[1], count=3)))

    drive(steps, session)


@pytest.mark.parametrize("scheduling", [Scheduling.SEQUENCE_BATCHING, Scheduling.ENSEMBLE])
def test_batching_is_locked_where_it_does_not_go(scheduling: Scheduling) -> None:
    session = FakeChangingSession(with_config(sample_snapshot(1), scheduling=scheduling))

    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e", "1", "6")
        wanted = PreviewEdit("demo", "matrix", ConfigEdit(max_batch_size=16))
        await until(pilot, lambda: session.questions()[-1:] == [wanted])

    drive(steps, session)


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


def test_nothing_is_previewed_while_nothing_is_typed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e")
        await pilot.pause(0.4)
        assert session.submitted == []

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


@pytest.mark.parametrize("size", [(140, 40), (80, 24)])
def test_ascii_draws_ascii(size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        for keys in (("e", "space", "ctrl+s"), ("e", "space", "ctrl+t"), ("E",), ("v", "space"), ("o",), ("z",)):
            await pilot.press(*keys)
            await pilot.pause(0.2)
            shown = text_on(app)
            assert shown.isascii(), [character for character in shown if not character.isascii()]
            while len(app.screen_stack) > 1:
                app.pop_screen()
            await pilot.pause()

    drive(steps, size=size, settings=Settings(title="demo", ascii=True))
