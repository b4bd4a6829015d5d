"""Undo takes back the last change that can be, asks before it overwrites another one, and never twice."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tests.tritop.control.fake_changer import FakeChanger
from tritop.change import ConfigEdit, Outcome, VersionChoice
from tritop.control.edit import apply_edit, as_pbtxt, parse_config
from tritop.control.ledger import Ledger
from tritop.control.recorded import BeforeSend, Progress, RecordedControl
from tritop.control.undo import last_undoable, same_config
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, Unreachable
from tritop.model import EventKind
from tritop.operation import (
    EditConfig,
    LoadModel,
    ModelChange,
    ReloadModel,
    SaveConfig,
    SetVersions,
    Undo,
    UnloadModel,
)

ENDPOINT = Endpoint("box", "127.0.0.1", 8001)
DELAY = EditConfig("box", "tiny", ConfigEdit(max_queue_delay_us=5))


def silent(text: str) -> None:
    """Progress that nobody looks at."""


class Desk:
    """A recorded fake server that is asked from outside of a loop."""

    def __init__(self, folder: Path, endpoint: Endpoint = ENDPOINT) -> None:
        self.fake = FakeChanger()
        self.ledger = Ledger(folder)
        self.control = RecordedControl(endpoint, self.fake, self.ledger)

    def do(self, change: ModelChange) -> str:
        return asyncio.run(self.control.perform(change, silent)).text

    def undo(self, model: str = "", *, confirmed: bool = False) -> str:
        return asyncio.run(self.control.undo(Undo("box", model, confirmed), silent)).text


def test_an_edit_is_taken_back_and_the_one_before_it_next(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first = desk.fake.pbtxt
    desk.do(DELAY)
    second = desk.fake.pbtxt
    desk.do(EditConfig("box", "tiny", ConfigEdit(max_batch_size=16)))
    desk.undo()
    assert same_config(desk.fake.pbtxt, second)
    desk.undo()
    assert same_config(desk.fake.pbtxt, first)
    with pytest.raises(OperationFailed, match="no change"):
        desk.undo()
    kinds = [entry.kind for entry in desk.ledger.entries()]
    assert kinds == [EventKind.OPERATION] * 2 + [EventKind.UNDONE] * 2


def test_an_undo_confirms_the_fields_that_the_change_had_brought(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fake.pbtxt = 'name: "tiny" max_batch_size: 8'
    desk.do(EditConfig("box", "tiny", ConfigEdit(batching=True, max_queue_delay_us=5)))
    on = desk.fake.pbtxt
    desk.undo()
    (back,) = desk.fake.performed[1:]
    assert isinstance(back, EditConfig)
    assert back.confirmed_losses == ("dynamic_batching",)
    assert back.based_on == as_pbtxt(parse_config(on)), "nobody may slip in between"


def test_versions_loads_and_unloads_are_taken_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fake.versions = (1, 2)
    desk.fake.pbtxt += " version_policy { all { } }"
    pbtxt = desk.fake.pbtxt
    desk.do(SetVersions("box", "tiny", VersionChoice(specific=(2,))))
    desk.undo()
    changes: list[ModelChange] = desk.fake.performed
    back = changes[-1]
    assert isinstance(back, SetVersions)
    assert back.versions == VersionChoice(all=True)
    assert back.based_on == as_pbtxt(parse_config(pbtxt)), "nobody may slip in between"
    desk.fake.versions = (1, 2)
    desk.do(UnloadModel("box", "tiny"))
    desk.undo()
    assert same_config(desk.fake.pbtxt, pbtxt)
    desk.do(UnloadModel("box", "tiny"))
    desk.do(LoadModel("box", "tiny", pbtxt=pbtxt))
    with pytest.raises(OperationFailed, match="that unloads tiny"):
        desk.undo()
    assert same_config(desk.fake.pbtxt, pbtxt), "nothing is unloaded unasked"
    desk.undo(confirmed=True)
    assert desk.fake.performed[-1] == UnloadModel("box", "tiny")


def test_another_change_since_is_named_and_not_overwritten_unasked(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    before = desk.fake.pbtxt
    desk.do(DELAY)
    desk.fake.pbtxt = as_pbtxt(apply_edit(parse_config(desk.fake.pbtxt), ConfigEdit(max_batch_size=64)))
    theirs = desk.fake.pbtxt
    with pytest.raises(OperationFailed, match="somebody changed tiny since, without tritop"):
        desk.undo()
    assert desk.fake.pbtxt == theirs
    assert last_undoable(desk.ledger.entries(), ENDPOINT.grpc_address) is not None
    desk.undo(confirmed=True)
    assert same_config(desk.fake.pbtxt, before)


def test_what_is_as_before_already_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    before = desk.fake.pbtxt
    desk.do(DELAY)
    desk.fake.pbtxt = before
    assert "already as it was" in desk.undo()
    assert len(desk.fake.performed) == 1
    with pytest.raises(OperationFailed, match="no change"):
        desk.undo()


def test_only_this_server_and_this_model_count(tmp_path: Path) -> None:
    here, there = Desk(tmp_path), Desk(tmp_path, Endpoint("box", "127.0.0.1", 9001))
    there.do(DELAY)
    with pytest.raises(OperationFailed, match="no change"):
        here.undo()
    with pytest.raises(OperationFailed, match="no change of other"):
        there.undo("other")
    there.undo("tiny")


def test_what_failed_or_changed_nothing_is_not_taken_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fake.errors.append(OperationFailed("box refused: the batch is too large."))
    with pytest.raises(OperationFailed):
        desk.do(DELAY)
    assert "nothing to do" in desk.do(EditConfig("box", "tiny", ConfigEdit(max_batch_size=8)))
    (failed,) = desk.ledger.entries()
    assert (failed.succeeded, failed.outcome) == (False, "box refused: the batch is too large.")
    with pytest.raises(OperationFailed):
        desk.do(ReloadModel("box", "tiny"))
    with pytest.raises(OperationFailed, match="no change"):
        desk.undo()


def test_an_undo_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    before = desk.fake.pbtxt
    desk.do(DELAY)
    desk.fake.errors.append(Unreachable("nobody answers."))
    with pytest.raises(Unreachable):
        desk.undo()
    desk.undo()
    assert same_config(desk.fake.pbtxt, before)


def test_a_ledger_that_cannot_be_written_stops_no_change_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    with monkeypatch.context() as patch:

        def full(file: int, line: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr("tritop.control.ledger.os.write", full)
        text = desk.do(DELAY)
    assert text.startswith("done. The ledger")
    assert "No space left on device" in text
    assert "max_queue_delay_microseconds: 5" in desk.fake.pbtxt
    desk.undo()
    assert "max_queue_delay_microseconds: 5" not in desk.fake.pbtxt, "what could not be written can still be undone"


def test_a_change_whose_task_is_cancelled_is_in_the_ledger(tmp_path: Path) -> None:
    class Slow(FakeChanger):
        async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
            assert isinstance(change, EditConfig)
            await before_send(await self.preview(change), self.versions)
            sent.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    ledger = Ledger(tmp_path)
    sent = asyncio.Event()

    async def run() -> None:
        task = asyncio.create_task(RecordedControl(ENDPOINT, Slow(), ledger).perform(DELAY, silent))
        await sent.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    (entry,) = ledger.entries()
    assert "ended before it was known" in entry.outcome
    assert entry.succeeded is None


def test_a_change_that_is_cancelled_before_it_was_sent_has_failed(tmp_path: Path) -> None:
    class Slow(FakeChanger):
        async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
            looking.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    ledger = Ledger(tmp_path)
    looking = asyncio.Event()

    async def run() -> None:
        task = asyncio.create_task(RecordedControl(ENDPOINT, Slow(), ledger).perform(DELAY, silent))
        await looking.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    (entry,) = ledger.entries()
    assert (entry.succeeded, entry.outcome) == (False, "tritop ended before it was sent")


def test_nothing_is_saved_read_only(tmp_path: Path) -> None:
    control = RecordedControl(Endpoint("box", "127.0.0.1", read_only=True), FakeChanger(), Ledger(tmp_path))
    with pytest.raises(OperationFailed, match="read-only"):
        asyncio.run(control.save(SaveConfig("box", "tiny")))
