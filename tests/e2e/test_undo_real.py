"""Every kind of change on a real Triton, recorded and taken back; several tritops share the ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.triton_calls import config_of, infer_tiny, load
from tests.running_triton import RunningTriton, TritonFactory
from tritop.change import ConfigEdit, VersionChoice
from tritop.control.control import Control
from tritop.control.edit import apply_edit
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl
from tritop.errors import OperationFailed
from tritop.model import EventKind
from tritop.operation import EditConfig, LoadModel, ModelChange, SetVersions, Undo, UnloadModel

pytestmark = pytest.mark.triton


def said(text: str) -> None:
    """Progress of an operation."""
    assert text


@asynccontextmanager
async def recorded(triton: RunningTriton, ledger: Ledger) -> AsyncIterator[RecordedControl]:
    control = RecordedControl(triton.endpoint, Control(triton.endpoint), ledger)
    try:
        yield control
    finally:
        await control.aclose()


def test_every_kind_of_change_is_taken_back(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server()
    ledger = Ledger(tmp_path)
    name = triton.endpoint.name

    async def run() -> None:
        async with recorded(triton, ledger) as control:

            async def there_and_back(change: ModelChange) -> None:
                before = (await control.see(change.model)).running
                outcome = await control.perform(change, said)
                assert outcome.changed
                assert (await control.see(change.model)).running != before
                if isinstance(change, LoadModel):
                    with pytest.raises(OperationFailed, match=r"unloads tiny, and pipeline, which calls it, goes down"):
                        await control.undo(Undo(name), said)
                await control.undo(Undo(name, confirmed=isinstance(change, LoadModel)), said)
                assert (await control.see(change.model)).running == before

            await there_and_back(EditConfig(name, "matrix", ConfigEdit(batching=True, max_queue_delay_us=300)))
            await there_and_back(EditConfig(name, "tiny", ConfigEdit(instance_count=2)))
            await there_and_back(SetVersions(name, "matrix", VersionChoice(specific=(2,))))
            await there_and_back(UnloadModel(name, "matrix", version="1"))
            await there_and_back(UnloadModel(name, "tiny"))
            await control.perform(UnloadModel(name, "tiny"), said)
            await there_and_back(LoadModel(name, "tiny"))
            await control.undo(Undo(name, "tiny"), said)
            await infer_tiny(triton.endpoint, 1)
            with pytest.raises(OperationFailed, match="no change"):
                await control.undo(Undo(name), said)

    triton.run(run())
    entries = ledger.entries()
    assert all(entry.succeeded and entry.duration_s is not None for entry in entries)
    assert [entry.kind for entry in entries].count(EventKind.UNDONE) == 7


def test_what_another_client_did_is_named_and_kept(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server()
    name = triton.endpoint.name

    async def run() -> None:
        async with recorded(triton, Ledger(tmp_path)) as control:
            await control.perform(EditConfig(name, "tiny", ConfigEdit(batching=True, max_queue_delay_us=300)), said)
            running = await config_of(triton.endpoint, "tiny")
            await load(triton.endpoint, "tiny", apply_edit(running, ConfigEdit(max_queue_delay_us=900)))
            theirs = await config_of(triton.endpoint, "tiny")
            with pytest.raises(OperationFailed, match="somebody changed tiny since"):
                await control.undo(Undo(name), said)
            assert await config_of(triton.endpoint, "tiny") == theirs

        # The same again by another tritop: then it is named.
        async with recorded(triton, Ledger(tmp_path)) as other:
            await other.perform(EditConfig(name, "tiny", ConfigEdit(max_queue_delay_us=1200)), said)
            await other.undo(Undo(name, "tiny"), said)
            assert await config_of(triton.endpoint, "tiny") == theirs

    triton.run(run())


_A_TRITOP = """
import sys, threading
from tritop.endpoint import Endpoint
from tritop.live import LiveSession

seen, done, after = threading.Event(), threading.Event(), []

def deliver(snapshot):
    if snapshot.servers[0].models:
        seen.set()
    if any(event.model == "pair" for event in snapshot.events):
        after.append(snapshot)
    if len(after) >= 8:
        done.set()

session = LiveSession([Endpoint("box", "127.0.0.1", int(sys.argv[1]))], interval_s=0.25, attended=True)
session.start(deliver)
seen.wait(60)
print("watching", flush=True)
done.wait(60)
session.stop()
"""


def test_two_tritops_write_what_both_notice_once(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server()
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", _A_TRITOP, str(triton.endpoint.grpc_port)]
    tritops = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for tritop in tritops:
            assert tritop.stdout is not None
            assert tritop.stdout.readline() == "watching\n"
        triton.run(unload(triton, "pair"))
        assert [tritop.wait(60) for tritop in tritops] == [0, 0]
    finally:
        for tritop in tritops:
            tritop.kill()
            tritop.communicate()
    entries = Ledger(tmp_path / "tritop").entries()
    gone = [one for one in entries if (one.kind, one.model) == (EventKind.MODEL_UNLOADED, "pair")]
    assert [one.who for one in gone] == [""]


async def unload(triton: RunningTriton, model: str) -> None:
    control = Control(triton.endpoint)
    try:
        await control.perform(UnloadModel(triton.endpoint.name, model), said)
    finally:
        await control.aclose()
