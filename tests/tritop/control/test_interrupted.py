"""A change whose tritop was killed is found in the ledger, and what became of it by what runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tritop.control.fake_changer import FakeChanger
from tests.tritop.control.test_undo import DELAY, ENDPOINT, Desk, silent
from tritop.change import Outcome
from tritop.control.author import this_author
from tritop.control.edit import as_pbtxt, parse_config
from tritop.control.entry import Entry
from tritop.control.interrupted import MAY_LOAD_S, interrupted, settled
from tritop.control.ledger import Ledger, Tail
from tritop.control.recorded import BeforeSend, Progress, RecordedControl
from tritop.control.undo import Running
from tritop.model import EventKind
from tritop.operation import EditConfig, ModelChange

KILLED = replace(this_author(), pid=2**22 + 1)
BEFORE, AFTER, OTHER = (
    as_pbtxt(parse_config(f'name: "m" max_batch_size: {size} version_policy {{ all {{ }} }}')) for size in (8, 16, 4)
)


class Killed(BaseException):
    """Stands for the end of the process."""


class FakeKilled(FakeChanger):
    """Its process is gone right after it has sent a change."""

    arrives = True

    async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
        assert isinstance(change, EditConfig)
        preview = await self.preview(change)
        await before_send(preview, self.versions)
        if self.arrives:
            self.pbtxt = preview.pbtxt_after
        raise Killed


def killed(folder: Path, fake: FakeKilled) -> Entry:
    """Let a tritop be killed in the middle of a change; returns what it left in the ledger."""
    ledger = Ledger(folder)
    with pytest.raises(Killed):
        asyncio.run(RecordedControl(ENDPOINT, fake, ledger).perform(DELAY, silent))
    (entry,) = ledger.entries()
    assert (entry.succeeded, entry.outcome) == (None, "")
    assert "max_queue_delay_microseconds: 5" in entry.pbtxt_after
    # This process plays the killed one, so its entry gets the number of a process that is not there.
    ledger.append(replace(entry, author=KILLED))
    return entry


@pytest.mark.parametrize("arrives", [True, False])
def test_the_next_tritop_says_what_became_of_it(tmp_path: Path, arrives: bool) -> None:
    fake = FakeKilled()
    fake.arrives = arrives
    began = killed(tmp_path, fake)
    desk = Desk(tmp_path)
    desk.fake.pbtxt = fake.pbtxt
    tail = Tail(desk.ledger)
    tail.new_entries()
    now = began.at
    control = RecordedControl(ENDPOINT, desk.fake, desk.ledger, clock=lambda: now)
    assert asyncio.run(control.settle_interrupted()) is not arrives, "the server may still be loading it"
    now += MAY_LOAD_S
    assert asyncio.run(control.settle_interrupted()) is False
    (entry,) = tail.new_entries()
    assert (entry.id, entry.succeeded) == (began.id, arrives)
    assert entry.outcome.startswith("interrupted: ")
    assert ("and it is in force" in entry.outcome, "runs as before" in entry.outcome) == (arrives, not arrives)
    asyncio.run(control.settle_interrupted())
    assert tail.new_entries() == (), "it is told once"


def test_what_took_effect_can_be_undone(tmp_path: Path) -> None:
    fake = FakeKilled()
    before = fake.pbtxt
    killed(tmp_path, fake)
    desk = Desk(tmp_path)
    desk.fake.pbtxt = fake.pbtxt
    asyncio.run(desk.control.settle_interrupted())
    desk.undo()
    assert desk.fake.pbtxt == as_pbtxt(parse_config(before))


def entry_of(action: str, **fields: object) -> Entry:
    entry = Entry("1", 1000.0, EventKind.OPERATION, "box:8001", "box", "m", author=KILLED, action=action)
    return replace(entry, **fields)  # type: ignore[arg-type]  # names and types are the table's


LATE = 1000.0 + MAY_LOAD_S


@pytest.mark.parametrize(
    ("entry", "now", "succeeded", "said"),
    [
        (entry_of("edit", pbtxt_before=BEFORE, pbtxt_after=AFTER), Running(AFTER, (1,)), True, "it is in force"),
        (entry_of("edit", pbtxt_before=BEFORE, pbtxt_after=AFTER), Running(BEFORE, (1,)), False, "runs as before"),
        (entry_of("edit", pbtxt_before=BEFORE, pbtxt_after=AFTER), Running(OTHER, (1,)), False, "another config"),
        (entry_of("edit", pbtxt_before=BEFORE, pbtxt_after=AFTER), Running("", ()), False, "m is not loaded"),
        (entry_of("unload", pbtxt_before=BEFORE, versions_before=(1,)), Running("", ()), True, "it is in force"),
        (entry_of("unload", pbtxt_before=BEFORE, versions_before=(1,)), Running(BEFORE, (1,)), False, "as before"),
        (entry_of("load"), Running(BEFORE, (1,)), True, "it is in force"),
        (entry_of("load"), Running("", ()), False, "m is not loaded"),
        (
            entry_of("versions", pbtxt_before=BEFORE, pbtxt_after=BEFORE, versions_before=(1, 2), versions_after=(1,)),
            Running(BEFORE, (1,)),
            True,
            "it is in force",
        ),
        (
            entry_of("versions", pbtxt_before=BEFORE, pbtxt_after=BEFORE, versions_before=(1, 2), versions_after=(1,)),
            Running(BEFORE, (1, 2)),
            False,
            "runs as before",
        ),
    ],
)
def test_every_kind_of_change_is_told_by_what_runs(entry: Entry, now: Running, succeeded: bool, said: str) -> None:
    ended = settled(entry, now, LATE)
    assert ended is not None
    assert ended.succeeded is succeeded
    assert said in ended.outcome
    assert (settled(entry, now, LATE - 1.0) is None) is not succeeded


def test_only_what_nobody_carries_out_any_more_is_looked_for() -> None:
    entry = entry_of("edit")
    elsewhere = replace(KILLED, host="another-host")
    entries = (
        entry,
        replace(entry, id="2", author=this_author()),
        replace(entry, id="3", succeeded=True),
        replace(entry, id="4", kind=EventKind.TRIAL_BEGUN),
        replace(entry, id="5", action="noticed"),
        replace(entry, id="6", endpoint="other:8001"),
        replace(entry, id="7", author=elsewhere),
    )
    assert [one.id for one in interrupted(entries, "box:8001", 1010.0)] == ["1"]
    assert [one.id for one in interrupted(entries, "box:8001", 10_000.0)] == ["1", "7"]
    assert [one.id for one in interrupted(entries, "", 1010.0)] == ["1", "6"]
