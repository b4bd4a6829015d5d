"""What an operator is told of changes by others, whatever those call the server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tui.samples import sample_snapshot
from tritop.change import FieldChange
from tritop.control.author import this_author
from tritop.control.entry import Entry
from tritop.control.ledger import Ledger
from tritop.endpoint import Endpoint
from tritop.live.changes import ChangeDesk
from tritop.model import Event, EventKind, ServerState, Snapshot
from tritop.operation import ModelChange


async def nothing(change: ModelChange) -> None:
    """Nobody has traffic."""


async def told(desk: ChangeDesk, snapshot: Snapshot) -> tuple[Event, ...]:
    """Let the desk look around once, and take what it found in the ledger."""
    desk.observe(snapshot)
    (look,) = (task for task in asyncio.all_tasks() if task.get_name() == "look at ledger and files")
    await look
    return desk.take_news()


def test_a_change_under_another_name_of_the_server_is_told_once_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sample = sample_snapshot(1)
    (server,) = (replace(one, state=ServerState.UNREACHABLE, endpoint="localhost:8001") for one in sample.servers)
    snapshot = replace(sample, servers=(server,), events=())
    diff = (FieldChange("max_batch_size", "8", "16"),)
    begun = Entry(
        "1", snapshot.at, EventKind.OPERATION, "127.0.0.1:8001", "127.0.0.1:8001", "matrix", "", this_author(), "edit"
    )

    async def run() -> None:
        desk = ChangeDesk(
            lambda name: Endpoint(name, "localhost", 8001),
            lambda name, at: (),
            after_change=nothing,
            changed=lambda: None,
            attended=True,
        )
        assert await told(desk, snapshot) == ()
        Ledger().append(begun)
        assert await told(desk, snapshot) == (), "what is under way is no news yet"
        Ledger().append(replace(begun, diff=diff, succeeded=True, outcome="done"))
        (event,) = await told(desk, snapshot)
        assert (event.server, event.model, event.diff) == (server.name, "matrix", diff)
        assert await told(desk, snapshot) == ()
        await desk.close()

    assert server.name != begun.server
    asyncio.run(run())
