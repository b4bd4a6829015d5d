"""The batching editor, driven by keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.events import Key
from textual.pilot import Pilot

from tests.tui.changing_session import FakeChangingSession
from tests.tui.driving import drive, on, until, with_config
from tests.tui.samples import sample_snapshot
from tests.tui.test_app import line_with, text_on
from tritop.change import ConfigEdit
from tritop.model import InstanceGroup, Scheduling
from tritop.operation import (
    EditConfig,
    OperationState,
    PreviewEdit,
)
from tritop.settings import Settings
from tritop.trial import DEFAULT_RAILS
from tui.app import TritopApp
from tui.screens.confirm import ChangeDialog
from tui.screens.edit_batching import EditBatchingScreen
from tui.screens.overview import OverviewScreen


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


def test_nothing_is_previewed_while_nothing_is_typed() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeChangingSession) -> None:
        await pilot.press("e")
        await pilot.pause(0.4)
        assert session.submitted == []

    drive(steps)


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
