"""Two operators change one model of a real server at the same moment: neither loses what the other did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.control_stage import Stage
from tritop.change import ConfigEdit, Outcome, Preview, VersionChoice
from tritop.control.control import Control
from tritop.control.edit import as_pbtxt
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl
from tritop.errors import OperationFailed
from tritop.operation import EditConfig, ModelChange, SetVersions, UnloadModel

pytestmark = pytest.mark.triton


def edit(**fields: Any) -> EditConfig:
    return EditConfig("s", "echo", ConfigEdit(**fields))


async def quietly(control: Control, change: ModelChange) -> Outcome:
    return await control.perform(change, lambda text: None)


async def delay_and_preferred(stage: Stage) -> tuple[int, list[int]]:
    batching = (await stage.current("echo")).dynamic_batching
    return batching.max_queue_delay_microseconds, list(batching.preferred_batch_size)


def test_different_fields_at_the_same_moment_are_both_in_force(stage: Stage) -> None:
    """Without a lock between them, as on two hosts: the second load is sent while the first one is under way."""

    async def scenario() -> None:
        one, other = stage.new_control(), stage.new_control()
        async with stage.clients("echo") as clients:
            for delay_us, size in ((1100, 2), (1200, 4)):
                outcomes = await asyncio.gather(
                    quietly(one, edit(max_queue_delay_us=delay_us)), quietly(other, edit(preferred_batch_sizes=(size,)))
                )
                assert await delay_and_preferred(stage) == (delay_us, [size])
                said = [outcome.text for outcome in outcomes if "both are in force" in outcome.text]
                assert len(said) == 1, f"one of them had to bring both together: {[one.text for one in outcomes]}"
                merged = next(outcome for outcome in outcomes if outcome.preview.others)
                assert merged.preview.pbtxt_after == as_pbtxt(await stage.current("echo")), "what an undo compares with"
            assert clients.errors == {}
        await asyncio.gather(one.aclose(), other.aclose())

    stage.triton.run(scenario())


def while_about_to_send(
    stage: Stage, change: ModelChange, meanwhile: Sequence[ModelChange]
) -> tuple[Outcome | OperationFailed, list[Preview]]:
    """Carry a change out, and others of somebody else between its plan and its sending."""
    announced: list[Preview] = []
    left = list(meanwhile)

    async def scenario() -> Outcome | OperationFailed:
        one, other = stage.new_control(), stage.new_control()

        async def before_send(preview: Preview, ready: Sequence[int]) -> None:
            announced.append(preview)
            if left:
                await quietly(other, left.pop(0))

        try:
            return await one.perform(change, lambda text: None, before_send)
        except OperationFailed as refused:
            return refused
        finally:
            await asyncio.gather(one.aclose(), other.aclose())

    return stage.triton.run(scenario()), announced


def test_a_change_right_before_sending_is_noticed_and_kept(stage: Stage) -> None:
    outcome, announced = while_about_to_send(
        stage, edit(max_queue_delay_us=1300), [edit(preferred_batch_sizes=(8,)), edit(preferred_batch_sizes=(2, 8))]
    )
    assert isinstance(outcome, Outcome)
    assert stage.triton.run(delay_and_preferred(stage)) == (1300, [2, 8])
    assert "somebody else has changed dynamic_batching.preferred_batch_size: 4 -> 2 8, and both" in outcome.text
    assert len(announced) == 3, "it was planned anew after each of them"
    assert announced[-1].pbtxt_after == as_pbtxt(stage.triton.run(stage.current("echo")))


def test_the_same_field_is_not_overwritten(stage: Stage) -> None:
    outcome, _ = while_about_to_send(stage, edit(max_queue_delay_us=1400), [edit(max_queue_delay_us=1500)])
    assert "somebody else has changed echo since" in str(outcome)
    assert "1300 -> 1500" in str(outcome)
    assert stage.triton.run(delay_and_preferred(stage))[0] == 1500


def test_a_whole_text_is_not_sent_over_another_change(stage: Stage) -> None:
    text = as_pbtxt(stage.triton.run(stage.current("echo"))).replace("1500", "1600")
    outcome, _ = while_about_to_send(stage, edit(pbtxt=text), [edit(preferred_batch_sizes=(4,))])
    assert "somebody else has changed echo since" in str(outcome)
    assert stage.triton.run(delay_and_preferred(stage)) == (1500, [4])


def test_tritops_of_one_host_take_turns(stage: Stage, tmp_path: Path) -> None:
    """In place each of them is over in milliseconds, too fast to be seen by the others."""
    changes: tuple[ModelChange, ...] = (
        SetVersions("s", "twin", VersionChoice(specific=(2, 3))),
        EditConfig("s", "twin", ConfigEdit(instance_count=2)),
        UnloadModel("s", "twin", "3"),
    )

    async def scenario() -> None:
        controls = [RecordedControl(stage.endpoint, stage.new_control(), Ledger(tmp_path)) for _ in changes]
        told: list[str] = []
        await asyncio.gather(
            *(control.perform(change, told.append) for control, change in zip(controls, changes, strict=True))
        )
        current = await stage.current("twin")
        assert (await stage.ready("twin"), current.instance_group[0].count) in [((2,), 2), ((2, 3), 2)]
        assert any(text.startswith("waiting for ") and text.endswith("who changes twin") for text in told)
        entries = controls[0].ledger.entries()
        assert [entry.succeeded for entry in entries] == [True] * 3
        assert len({entry.pbtxt_before for entry in entries}) == 3, "each was made of what the one before it had left"
        await asyncio.gather(*(control.aclose() for control in controls))
        await stage.edit("twin", instance_count=1, versions=VersionChoice(all=True))

    stage.triton.run(scenario())


def test_one_that_goes_on_and_on_ends_with_a_sentence(stage: Stage) -> None:
    meanwhile = [edit(preferred_batch_sizes=(size,)) for size in (1, 2, 3)]
    outcome, _ = while_about_to_send(stage, edit(max_queue_delay_us=1700), meanwhile)
    assert "again and again" in str(outcome)
    assert stage.triton.run(delay_and_preferred(stage)) == (1500, [3])
