"""Servers that take no loads on request: what is changed is written into config.pbtxt, and the server reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.control_models import write_control_models
from tests.e2e.control_stage import Stage
from tests.running_triton import LoopThread, RunningTriton
from tritop.change import ChangeClass, ConfigEdit, VersionChoice
from tritop.control.control import Control
from tritop.control.edit import as_pbtxt
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl
from tritop.control.trials import Trials
from tritop.errors import OperationFailed
from tritop.operation import EditConfig, LoadModel, PreviewEdit, SetVersions, Undo
from tritop.runtimes.local import LocalServer
from tritop.runtimes.log_place import FilePlace

pytestmark = pytest.mark.triton

MakeStage = Callable[..., Stage]


def silent(text: str) -> None:
    """Nobody wants to know."""


@pytest.fixture(scope="module")
def polling(triton_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server that looks at its repository every second; a test leaves the files as they were."""
    folder = tmp_path_factory.mktemp("polling")
    repository = write_control_models(folder / "models", "echo", "twin", "counted")
    arguments = ("--model-control-mode=poll", "--repository-poll-secs=1")
    server = LocalServer(repository, arguments=arguments, log_path=folder / "tritonserver.log")
    try:
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live())
        stage = Stage(RunningTriton(server, repository, triton_loop))
        yield stage
        triton_loop.run(stage.control.aclose())
        triton_loop.run(server.stop())
    finally:
        server.kill()


def control_of(stage: Stage, tmp_path: Path, *, file_read_s: float = 30.0, readable: bool = True) -> RecordedControl:
    bare = Control(stage.endpoint, log_since=FilePlace(stage.triton.log_path).log_since)
    repositories = [stage.repository] if readable else []
    return RecordedControl(stage.endpoint, bare, Ledger(tmp_path), repositories=repositories, file_read_s=file_read_s)


def test_an_edit_is_written_read_and_taken_back(polling: Stage, tmp_path: Path) -> None:
    path = polling.repository / "echo" / "config.pbtxt"
    before = path.read_text()

    async def scenario() -> None:
        control = control_of(polling, tmp_path)
        change = EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=700, instance_count=2))
        async with polling.clients("echo") as clients:
            preview = await control.preview(change)
            assert (preview.change, preview.file, preview.obstacle) == (ChangeClass.FULL_RELOAD, str(path), "")
            assert "sent nothing" in preview.warnings[0]
            assert path.read_text() == before, "a preview writes nothing"
            outcome = await control.perform(change, silent)
            assert "the server has read it" in outcome.text
            assert (await polling.current("echo")).dynamic_batching.max_queue_delay_microseconds == 700
            assert "max_queue_delay_microseconds: 700" in path.read_text()
            again = await control.preview(change)
            assert again.change is ChangeClass.NOTHING
            undone = await control.undo(Undo("s", "echo"), silent)
            assert undone.changed
            assert (await polling.current("echo")).dynamic_batching.max_queue_delay_microseconds == 100
            await clients.some()
            assert clients.errors == {}
        kinds = [entry.kind.value for entry in Ledger(tmp_path).entries()]
        assert kinds[-1] == "UNDONE" or "undone" in kinds[-1].lower()
        await control.aclose()

    polling.triton.run(scenario())
    path.write_text(before)


def test_versions_are_chosen_in_the_file(polling: Stage, tmp_path: Path) -> None:
    path = polling.repository / "twin" / "config.pbtxt"
    before = path.read_text()

    async def scenario() -> None:
        control = control_of(polling, tmp_path)
        for choice, served in ((VersionChoice(specific=(1, 3)), (1, 3)), (VersionChoice(latest=1), (3,))):
            outcome = await control.perform(SetVersions("s", "twin", choice), silent)
            assert "the server has read it" in outcome.text
            assert await polling.ready("twin") == outcome.versions_after == served
        await control.undo(Undo("s", "twin"), silent)
        assert await polling.ready("twin") == (1, 3)
        await control.aclose()

    polling.triton.run(scenario())
    path.write_text(before)


def test_it_is_written_down_before_the_file_is(polling: Stage, tmp_path: Path) -> None:
    """Whoever is killed while the server has yet to read the file leaves an entry behind."""
    path = polling.repository / "echo" / "config.pbtxt"
    before = path.read_text()

    async def scenario() -> None:
        control = control_of(polling, tmp_path)
        written = asyncio.Event()
        change = EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=650))
        task = asyncio.create_task(control.perform(change, lambda text: written.set() if "written" in text else None))
        await asyncio.wait({task, asyncio.create_task(written.wait())}, return_when=asyncio.FIRST_COMPLETED)
        entries = Ledger(tmp_path).entries()
        assert [entry.pbtxt_after != "" for entry in entries] == [True]
        await task
        await control.aclose()

    polling.triton.run(scenario())
    path.write_text(before)


def test_what_the_server_does_not_take_is_put_back_with_its_reason(polling: Stage, tmp_path: Path) -> None:
    """No rule here foresees a third value; the server says so in its log, again with every poll."""
    path = polling.repository / "counted" / "config.pbtxt"
    before = path.read_text()

    async def scenario() -> None:
        control = control_of(polling, tmp_path)
        config = await polling.current("counted")
        config.sequence_batching.control_input[0].control[0].int32_false_true.append(7)
        with pytest.raises(OperationFailed, match=r"must have exactly 2 entries.*is as it was before"):
            await control.perform(EditConfig("s", "counted", ConfigEdit(pbtxt=as_pbtxt(config))), silent)
        assert await polling.ready("counted") == (1,)
        (entry,) = Ledger(tmp_path).entries()
        assert (entry.succeeded, "exactly 2 entries" in entry.outcome) == (False, True)
        await control.aclose()

    polling.triton.run(scenario())
    assert path.read_text() == before


def test_what_cannot_be_written_is_refused_as_before(polling: Stage, tmp_path: Path) -> None:
    edit = ConfigEdit(max_queue_delay_us=800)

    async def scenario() -> None:
        control = control_of(polling, tmp_path)
        with pytest.raises(OperationFailed, match="--model-control-mode=explicit"):
            await control.perform(LoadModel("s", "echo"), silent)
        trials = Trials(lambda server: control, changed=lambda: None)
        with pytest.raises(OperationFailed, match="--model-control-mode=explicit"):
            await trials.begin(EditConfig("s", "echo", edit, trial_s=5.0), silent)
        await trials.close()
        with pytest.raises(OperationFailed, match="above max_batch_size 8"):
            await control.perform(EditConfig("s", "echo", ConfigEdit(preferred_batch_sizes=(99,))), silent)
        with pytest.raises(OperationFailed, match="would lose max_batch_size"):
            await control.perform(EditConfig("s", "echo", ConfigEdit(pbtxt="{}")), silent)
        blind = control_of(polling, tmp_path, readable=False)
        with pytest.raises(OperationFailed, match="--model-control-mode=explicit"):
            await blind.perform(EditConfig("s", "echo", edit), silent)
        reader = RecordedControl(
            replace(polling.endpoint, read_only=True),
            Control(replace(polling.endpoint, read_only=True)),
            Ledger(tmp_path),
            repositories=[polling.repository],
        )
        assert "read-only" in (await reader.preview(PreviewEdit("s", "echo", edit))).refusal
        with pytest.raises(OperationFailed, match="read-only"):
            await reader.perform(EditConfig("s", "echo", edit), silent)
        await asyncio.gather(control.aclose(), blind.aclose(), reader.aclose())

    before = {path: path.read_text() for path in polling.repository.glob("*/config.pbtxt")}
    polling.triton.run(scenario())
    assert {path: path.read_text() for path in before} == before


def test_a_server_that_reads_nothing_runs_the_file_from_its_next_start_on(
    make_triton_server: Callable[..., RunningTriton], tmp_path: Path
) -> None:
    repository = write_control_models(tmp_path / "models", "echo")
    triton = make_triton_server("--model-control-mode=none", repository=repository)
    stage = Stage(triton)

    async def scenario() -> None:
        control = control_of(stage, tmp_path, file_read_s=0.5)
        outcome = await control.perform(EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=700)), silent)
        assert "has not read it within 0.5 s: it does when it polls, or starts again" in outcome.text
        preview = await control.preview(EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=700)))
        assert "says so already" in preview.refusal
        assert (await stage.current("echo")).dynamic_batching.max_queue_delay_microseconds == 100
        await asyncio.gather(control.aclose(), stage.control.aclose())

    triton.run(scenario())
    assert "max_queue_delay_microseconds: 700" in (repository / "echo" / "config.pbtxt").read_text()
