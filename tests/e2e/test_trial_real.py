"""Trials on a real Triton: one that makes things worse is taken back, and none is lost with its tritop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.triton_calls import config_of, load
from tests.running_triton import RunningTriton, TritonFactory
from tritop.change import ConfigEdit
from tritop.control.control import Control
from tritop.control.edit import apply_edit
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl
from tritop.control.trials import Trials
from tritop.control.undo import open_trials
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.live import LiveSession
from tritop.model import EventKind, Snapshot
from tritop.operation import EditConfig, KeepTrial, LoadModel, SetTraffic, TakeBackTrial, Undo, UnloadModel
from tritop.trial import TrialState, TrialStatus

pytestmark = pytest.mark.triton

LIMIT_S = 90.0


class Watching:
    """A session that feeds trials, as the one of the product does."""

    def __init__(self, endpoint: Endpoint, ledger: Ledger) -> None:
        self.control = RecordedControl(endpoint, Control(endpoint), ledger)
        self.trials = Trials(lambda name: self.control)
        self.session = LiveSession([endpoint], interval_s=0.25)
        self.snapshot: Snapshot | None = None
        self._loop = asyncio.get_running_loop()
        self._seen = asyncio.Event()

    def deliver(self, snapshot: Snapshot) -> None:
        self._loop.call_soon_threadsafe(self._take, snapshot)

    def _take(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.trials.observe(snapshot)
        self._seen.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._seen.clear()
                await self._seen.wait()

    def state(self) -> TrialStatus:
        return self.trials.statuses()[-1]


@asynccontextmanager
async def watching(endpoint: Endpoint, ledger: Ledger) -> AsyncIterator[Watching]:
    watched = Watching(endpoint, ledger)
    watched.session.start(watched.deliver)
    try:
        yield watched
    finally:
        await watched.trials.close()
        await watched.control.aclose()
        # Its thread delivers to this loop, which must go on turning meanwhile.
        await asyncio.to_thread(watched.session.stop)


def said(text: str) -> None:
    """Progress of an operation."""
    assert text


def flows(watched: Watching, model: str) -> bool:
    snapshot = watched.snapshot
    return snapshot is not None and any(
        one.model == model and (one.requests_per_s or 0.0) > 0.0 for one in snapshot.traffic
    )


def test_a_trial_that_makes_things_worse_is_taken_back_by_itself(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    triton = make_triton_server()
    ledger = Ledger(tmp_path)

    async def run() -> None:
        name, before = triton.endpoint.name, await config_of(triton.endpoint, "tiny")
        async with watching(triton.endpoint, ledger) as watched:
            watched.session.submit(SetTraffic(name, "tiny", concurrency=4))
            await watched.until(lambda: flows(watched, "tiny"))
            edit = ConfigEdit(batching=True, max_batch_size=64, max_queue_delay_us=500_000)
            outcome = await watched.trials.begin(EditConfig(name, "tiny", edit, trial_s=80.0), said)
            assert outcome.changed
            assert (await config_of(triton.endpoint, "tiny")).dynamic_batching.max_queue_delay_microseconds == 500_000
            assert [one.kind for one in ledger.entries()] == [EventKind.TRIAL_BEGUN]
            await watched.until(lambda: watched.state().state is TrialState.TAKEN_BACK)
            status = watched.state()
            assert "the time in the queue rose" in status.text
            assert status.judged
            assert (status.after.queue_us or 0.0) > 300_000
            assert (status.before.queue_us or 0.0) < 100_000
            assert await config_of(triton.endpoint, "tiny") == before
            assert watched.snapshot is not None
            assert [one.errors_by_kind for one in watched.snapshot.traffic] == [()], "no request may be lost"

    triton.run(run())
    begun, taken_back = ledger.entries()
    assert (taken_back.kind, taken_back.refers_to) == (EventKind.TRIAL_TAKEN_BACK, begun.id)
    assert taken_back.succeeded
    assert open_trials(ledger.entries(), triton.endpoint.grpc_address) == ()


def test_a_trial_that_is_kept_stays_and_can_be_undone(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server()
    ledger = Ledger(tmp_path)

    async def run() -> None:
        name, before = triton.endpoint.name, await config_of(triton.endpoint, "tiny")
        async with watching(triton.endpoint, ledger) as watched:
            edit = EditConfig(name, "tiny", ConfigEdit(instance_count=2), trial_s=80.0)
            await watched.trials.begin(edit, said)
            with pytest.raises(OperationFailed, match="another change"):
                await watched.trials.begin(edit, said)
            await watched.trials.keep(KeepTrial(name, watched.state().trial_id))
            assert watched.state().state is TrialState.KEPT
            assert (await config_of(triton.endpoint, "tiny")).instance_group[0].count == 2
            await watched.trials.undo(Undo(name, "tiny"), said)
            assert await config_of(triton.endpoint, "tiny") == before
            with pytest.raises(OperationFailed, match="no change"):
                await watched.trials.undo(Undo(name, "tiny"), said)

    triton.run(run())
    assert [one.kind for one in ledger.entries()] == [
        EventKind.TRIAL_BEGUN,
        EventKind.TRIAL_KEPT,
        EventKind.UNDONE,
    ]


def test_its_time_runs_out_without_traffic(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server()

    async def run() -> None:
        name, before = triton.endpoint.name, await config_of(triton.endpoint, "tiny")
        async with watching(triton.endpoint, Ledger(tmp_path)) as watched:
            edit = ConfigEdit(batching=True, max_queue_delay_us=100)
            await watched.trials.begin(EditConfig(name, "tiny", edit, trial_s=1.0), said)
            await watched.until(lambda: watched.state().state is TrialState.TAKEN_BACK)
            assert "not enough traffic" in watched.state().text
            assert await config_of(triton.endpoint, "tiny") == before

    triton.run(run())


_ANOTHER_TRITOP = """
import asyncio, json, sys
from pathlib import Path
from tritop.change import ConfigEdit
from tritop.control.control import Control
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl
from tritop.control.trials import Trials
from tritop.endpoint import Endpoint
from tritop.operation import EditConfig

async def main():
    endpoint = Endpoint(name="box", host="127.0.0.1", grpc_port=int(sys.argv[1]))
    control = RecordedControl(endpoint, Control(endpoint), Ledger(Path(sys.argv[2])))
    trials = Trials(lambda name: control, before_s=0.0)
    edit = ConfigEdit(batching=True, max_queue_delay_us=400_000)
    await trials.begin(EditConfig("box", "tiny", edit, trial_s=600.0), lambda text: None)
    print(json.dumps([one.state for one in trials.statuses()]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def killed_in_a_trial(endpoint: Endpoint, folder: Path) -> None:
    """Let another tritop begin a trial, and kill it with SIGKILL in the middle."""
    other = subprocess.Popen(
        [sys.executable, "-c", _ANOTHER_TRITOP, str(endpoint.grpc_port), str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert json.loads(other.stdout.readline() or "[]") == [TrialState.WATCHING]
    finally:
        other.kill()
        other.communicate()


async def found(triton: RunningTriton, ledger: Ledger) -> tuple[Trials, RecordedControl, tuple[TrialStatus, ...]]:
    control = RecordedControl(triton.endpoint, Control(triton.endpoint), ledger)
    trials = Trials(lambda name: control)
    return trials, control, await trials.find_open(triton.endpoint.name)


def test_a_tritop_killed_in_the_middle_of_a_trial_is_found_out_and_the_trial_taken_back(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    triton = make_triton_server()
    before = triton.run(config_of(triton.endpoint, "tiny"))
    killed_in_a_trial(triton.endpoint, tmp_path)

    async def run() -> None:
        assert await config_of(triton.endpoint, "tiny") != before, "the trial is still in force"
        trials, control, left = await found(triton, Ledger(tmp_path))
        try:
            assert [one.state for one in left] == [TrialState.LEFT_OPEN]
            assert "ended during this trial, and tiny runs with it" in left[0].text
            await trials.take_back(TakeBackTrial(triton.endpoint.name, left[0].trial_id), said)
        finally:
            await control.aclose()
        assert await config_of(triton.endpoint, "tiny") == before

    triton.run(run())
    assert open_trials(Ledger(tmp_path).entries(), triton.endpoint.grpc_address) == ()


def test_what_somebody_else_did_since_is_not_overwritten_unasked(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    triton = make_triton_server()
    before = triton.run(config_of(triton.endpoint, "tiny"))
    killed_in_a_trial(triton.endpoint, tmp_path)

    async def run() -> None:
        on_trial = await config_of(triton.endpoint, "tiny")
        theirs = apply_edit(on_trial, ConfigEdit(max_queue_delay_us=1_234))
        await load(triton.endpoint, "tiny", theirs)
        trials, control, left = await found(triton, Ledger(tmp_path))
        try:
            assert "another one by now" in left[0].text
            order = TakeBackTrial(triton.endpoint.name, left[0].trial_id)
            with pytest.raises(OperationFailed, match="somebody changed tiny since"):
                await trials.take_back(order, said)
            config = await config_of(triton.endpoint, "tiny")
            assert config.dynamic_batching.max_queue_delay_microseconds == 1_234
            # `tritop batching undo`, confirmed, is the same order.
            await trials.undo(Undo(triton.endpoint.name, "tiny", confirmed=True), said)
        finally:
            await control.aclose()
        assert await config_of(triton.endpoint, "tiny") == before

    triton.run(run())


def test_a_server_that_restarted_meanwhile_has_taken_it_back_already(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    triton = make_triton_server()
    killed_in_a_trial(triton.endpoint, tmp_path)

    async def run() -> None:
        # What a restart does to an override: the model comes back from the repository.
        await unload_and_load(triton)
        trials, recorded, left = await found(triton, Ledger(tmp_path))
        await recorded.aclose()
        assert left == ()
        assert "gone already" in trials.statuses()[0].text

    triton.run(run())
    ended = Ledger(tmp_path).entries()[-1]
    assert ended.kind is EventKind.TRIAL_TAKEN_BACK
    assert open_trials(Ledger(tmp_path).entries(), triton.endpoint.grpc_address) == ()


async def unload_and_load(triton: RunningTriton) -> None:
    control = Control(triton.endpoint)
    try:
        await control.perform(UnloadModel(triton.endpoint.name, "tiny"), said)
        await control.perform(LoadModel(triton.endpoint.name, "tiny"), said)
    finally:
        await control.aclose()
