"""Sequences, streams and ensembles under changes, and models and servers that cannot be changed."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.control_models import CODE, write_control_models
from tests.e2e.control_stage import Stage, infer_request
from tests.e2e.triton_calls import call, config_of, load
from tests.running_triton import TritonFactory
from tritop.change import ChangeClass, ConfigEdit, VersionChoice
from tritop.control import plan
from tritop.errors import OperationFailed, TritopError
from tritop.operation import EditConfig, LoadModel, PreviewChange, SetVersions, UnloadModel
from tritop.protocol import open_channel, request_metadata, service_pb2, service_pb2_grpc

pytestmark = pytest.mark.triton


# -- sequences, streams, ensembles --------------------------------------------------------


async def _sequence(stage: Stage, *, start: bool = False, end: bool = False, number: int = 7) -> None:
    request = infer_request("counted")
    request.parameters["sequence_id"].int64_param = number
    request.parameters["sequence_start"].bool_param = start
    request.parameters["sequence_end"].bool_param = end
    await call(stage.endpoint, "ModelInfer", request)


def test_live_sequences_survive_in_place_and_are_warned_of_before_a_reload(stage: Stage) -> None:
    async def scenario() -> None:
        await _sequence(stage, start=True)
        in_place = EditConfig("s", "counted", ConfigEdit(instance_count=2))
        (warning,) = (await stage.preview(in_place)).warnings
        assert "live sequences are lost where" in warning
        await stage.perform(in_place)
        await _sequence(stage)
        reload = EditConfig("s", "counted", ConfigEdit(max_batch_size=4))
        preview = await stage.preview(reload)
        assert preview.resets[-1] == "live sequences"
        assert "live sequences are lost, up to 16 for each version" in preview.warnings[0]
        await stage.perform(reload)
        with pytest.raises(Exception, match="START flag"):
            await _sequence(stage)
        with pytest.raises(OperationFailed, match="batches sequences"):
            await stage.edit("counted", batching=True)

    stage.triton.run(scenario())


def test_live_sequences_are_counted_before_they_are_lost(stage: Stage) -> None:
    """Four begin, one ends, one says nothing for so long that the server ends it: two are lost with a reload."""

    async def scenario() -> None:
        before = await stage.current("counted")
        config = await stage.current("counted")
        config.max_batch_size = 8
        config.sequence_batching.max_sequence_idle_microseconds = 2_000_000
        await load(stage.endpoint, "counted", config)
        change = EditConfig("s", "counted", ConfigEdit(max_batch_size=4))
        assert (await stage.preview(change)).countable
        counting = asyncio.Event()
        asked = asyncio.create_task(
            stage.control.preview(PreviewChange(change, count_sequences=True), lambda text: counting.set())
        )
        await counting.wait()
        for number in (1, 2, 3, 4):
            await _sequence(stage, start=True, number=number)
        await _sequence(stage, end=True, number=3)
        began = time.monotonic()
        while not asked.done() and time.monotonic() - began < 30:
            for number in (1, 2):
                await _sequence(stage, number=number)
            await asyncio.sleep(0.05)
        counted = await asked
        # The silent one was last heard of within the time that a sequence may be idle, or just before it.
        said = counted.warnings[0]
        assert re.match(r"[23] live sequences are lost, counted over 2\.0 s; there can be up to", said), said
        assert not counted.countable
        assert await _verbose_level(stage) == 0
        await load(stage.endpoint, "counted", before)

    stage.triton.run(scenario())


def test_where_sequences_cannot_be_counted_that_is_said(stage: Stage) -> None:
    async def scenario() -> None:
        question = PreviewChange(UnloadModel("s", "counted"), count_sequences=True)
        blind = stage.new_control(reads_log=False)
        preview = await blind.preview(question)
        assert any("cannot be counted without the server's log" in warning for warning in preview.warnings)
        reader = type(stage.control)(replace(stage.endpoint, read_only=True))
        preview = await reader.preview(question)
        assert any("read-only, they are not counted" in warning for warning in preview.warnings)
        assert await _verbose_level(stage) == 0
        await asyncio.gather(blind.aclose(), reader.aclose())

    stage.triton.run(scenario())


def test_a_count_that_is_cut_short_gives_the_log_level_back(stage: Stage) -> None:
    async def scenario() -> None:
        question = PreviewChange(UnloadModel("s", "counted"), count_sequences=True)
        counting = asyncio.Event()
        asked = asyncio.create_task(stage.control.preview(question, lambda text: counting.set()))
        await counting.wait()
        assert await _verbose_level(stage) == 1
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert await _verbose_level(stage) == 0

    stage.triton.run(scenario())


async def _verbose_level(stage: Stage) -> int:
    answer = await call(stage.endpoint, "LogSettings", service_pb2.LogSettingsRequest())
    return int(answer.settings["log_verbose_level"].uint32_param)


class Stream:
    """One open stream of responses.

    Attributes:
        responses: how many have come.
        ended: set after the last one.
    """

    def __init__(self, stage: Stage) -> None:
        self.responses = 0
        self.begun = asyncio.Event()
        self._task = asyncio.create_task(self._read(stage))

    async def _read(self, stage: Stage) -> None:
        async def requests() -> Any:
            yield infer_request("stream")

        async with open_channel(stage.endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            async for answer in stub.ModelStreamInfer(requests(), metadata=request_metadata(stage.endpoint)):
                assert not answer.error_message
                self.responses += bool(answer.infer_response.outputs)
                self.begun.set()

    def is_done(self) -> bool:
        return self._task.done()

    async def end(self) -> int:
        await self._task
        return self.responses


def test_open_streams_survive_a_reload_and_an_unload_waits_for_them(stage: Stage) -> None:
    async def scenario() -> None:
        stream = Stream(stage)
        await stream.begun.wait()
        change = await stage.with_parameters("stream", note="new")
        assert any("open streams go on" in warning for warning in (await stage.preview(change)).warnings)
        await stage.perform(change)
        assert await stream.end() == 10
        stream = Stream(stage)
        await stream.begun.wait()
        await stage.perform(UnloadModel("s", "stream"))
        assert stream.responses == 10
        assert await stream.end() == 10
        await stage.perform(LoadModel("s", "stream"))

    stage.triton.run(scenario())


def test_an_ensemble_that_would_go_down_must_be_given_up_by_name(stage: Stage) -> None:
    async def scenario() -> None:
        change = EditConfig("s", "echo", ConfigEdit(max_batch_size=4))
        preview = await stage.preview(change)
        assert preview.lost_fields == ("ensemble whole",)
        assert preview.warnings[0].startswith("the ensemble whole goes down: takes batches of 8")
        with pytest.raises(OperationFailed, match="would lose ensemble whole"):
            await stage.perform(change)
        assert await stage.ready("whole") == (1,)
        outcome = await stage.perform(replace(change, confirmed_losses=("ensemble whole",)))
        assert "whole is not served any more" in outcome.text
        back = await stage.edit("echo", max_batch_size=8)
        assert back.changed
        assert await stage.ready("whole") == (1,)
        without_batches = await stage.preview(EditConfig("s", "echo", ConfigEdit(batching=False, max_batch_size=0)))
        assert without_batches.lost_fields == (), "a step that takes no batches is exempt"

    stage.triton.run(scenario())


def test_a_broken_ensemble_is_refused_here_and_restored_where_the_server_drops_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last case stands for what no rule foresees: the server drops the ensemble, tritop brings it back."""

    async def scenario() -> None:
        text = (stage.repository / "whole" / "config.pbtxt").read_text()
        cases = (
            (text.replace('"echo"', '"nosuch"'), "'nosuch' is not loaded"),
            (text.replace("model_version: -1", "model_version: 9"), "version 9 of echo is not loaded"),
            (text.replace("max_batch_size: 8", "max_batch_size: 9"), "takes batches of 9"),
            (text.replace("dims: [ 4 ]", "dims: [ 5 ]"), "tensor 'ROWS' is"),
        )
        before = await stage.current("whole")
        for broken, said in cases:
            with pytest.raises(OperationFailed, match=f"not sent: .*{said}"):
                await stage.edit("whole", pbtxt=broken)
        unused = text.replace('output_map { key: "OUT" value: "OUT" }', 'output_map { key: "OUT" value: "other" }')
        with pytest.raises(OperationFailed, match=r"ensemble output 'OUT'.*is not used.*goes on as it was"):
            await stage.edit("whole", pbtxt=unused)
        monkeypatch.setattr(plan, "problems_of_ensemble", lambda *everything: ())
        with pytest.raises(OperationFailed, match="was out for a moment and has its former configuration again"):
            await stage.edit("whole", pbtxt=cases[1][0])
        assert await stage.ready("whole") == (1,)
        assert await stage.current("whole") == before
        await stage.infer("whole")

    stage.triton.run(scenario())


# -- models and servers that cannot be changed --------------------------------------------


def test_a_model_without_a_folder_says_so(stage: Stage) -> None:
    async def scenario() -> None:
        config = await config_of(stage.endpoint, "echo")
        config.name = "fileonly"
        await load(stage.endpoint, "fileonly", config, {"1/model.py": CODE.encode()})
        for change in (
            EditConfig("s", "fileonly", ConfigEdit(max_queue_delay_us=5)),
            SetVersions("s", "fileonly", VersionChoice(all=True)),
        ):
            with pytest.raises(OperationFailed, match="has no folder in the repository"):
                await stage.perform(change)
        assert (await stage.perform(UnloadModel("s", "fileonly"))).changed
        answer = await call(stage.endpoint, "ModelStatistics", service_pb2.ModelStatisticsRequest())
        assert "fileonly" not in {one.name for one in answer.model_stats}

    stage.triton.run(scenario())


def test_a_name_in_two_repositories_is_not_touched(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    second = write_control_models(tmp_path / "second", "echo")
    first = write_control_models(tmp_path / "first", "echo", "twin")
    triton = make_triton_server(f"--model-repository={second}", repository=first)

    async def scenario() -> None:
        stage = Stage(triton)
        for change in (LoadModel("s", "echo"), EditConfig("s", "echo", ConfigEdit(instance_count=2))):
            with pytest.raises(OperationFailed, match="in two repositories"):
                await stage.perform(change)
        assert (await stage.perform(LoadModel("s", "twin"))).versions_after == (1, 2, 3)
        await stage.control.aclose()

    triton.run(scenario())


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--model-control-mode=none", "--model-control-mode=explicit"),
        ("--model-control-mode=poll", "where it polls its repository, edit config.pbtxt"),
        ("--grpc-restricted-protocol=model-repository:key=secret", "triton-grpc-protocol-key"),
    ],
)
def test_a_server_that_takes_no_changes_is_not_asked_for_any(
    make_triton_server: TritonFactory, tmp_path: Path, argument: str, said: str
) -> None:
    triton = make_triton_server(argument, repository=write_control_models(tmp_path / "models", "echo"))

    async def scenario() -> None:
        stage = Stage(triton)
        with pytest.raises(TritopError, match=said):
            await stage.edit("echo", instance_count=2)
        await stage.control.aclose()

    triton.run(scenario())


def test_read_only_is_refused_before_anything_is_asked(stage: Stage) -> None:
    async def scenario() -> None:
        control = type(stage.control)(replace(stage.endpoint, read_only=True))
        with pytest.raises(OperationFailed, match="read-only"):
            await control.perform(UnloadModel("s", "echo"), lambda text: None)
        preview = await control.preview(EditConfig("s", "echo", ConfigEdit(instance_count=2)))
        assert "read-only" in preview.refusal
        assert preview.change is ChangeClass.IN_PLACE
        await control.aclose()

    stage.triton.run(scenario())
