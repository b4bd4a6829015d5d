"""Loading, unloading and versions on a real Triton, and everything that gets in the way."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from collectors.triton_metrics import TritonMetrics
from tests.e2e.control_models import CODE, write_control_models
from tests.e2e.control_stage import Stage, infer_request
from tests.e2e.triton_calls import call, config_of, load, until
from tests.running_triton import TritonFactory
from tritop.change import ChangeClass, ConfigEdit, VersionChoice
from tritop.control import plan
from tritop.control.settle import Patience
from tritop.errors import OperationFailed, Unreachable, UsageError
from tritop.operation import EditConfig, LoadModel, ReloadModel, SetVersions, UnloadModel
from tritop.protocol import open_channel, request_metadata, service_pb2, service_pb2_grpc

pytestmark = pytest.mark.triton


def _parameters(config: Any, **values: str) -> str:
    """The configuration with parameters of the test model set, as text."""
    for name, value in values.items():
        config.parameters[name].string_value = value
    return json_format.MessageToJson(config)


async def _slow_edit(stage: Stage, model: str, **values: str) -> EditConfig:
    return EditConfig("s", model, ConfigEdit(pbtxt=_parameters(await stage.current(model), **values)))


def test_a_model_is_unloaded_with_its_ensemble_and_comes_back(stage: Stage) -> None:
    async def scenario() -> None:
        preview = await stage.preview(UnloadModel("s", "echo"))
        assert (preview.change, preview.dependents) == (ChangeClass.UNLOAD, ("whole",))
        assert "the ensemble whole goes down" in preview.warnings[0]
        outcome = await stage.perform(UnloadModel("s", "echo"))
        assert outcome.versions_after == ()
        assert "whole is not served any more" in outcome.text
        index = await call(stage.endpoint, "RepositoryIndex", service_pb2.RepositoryIndexRequest())
        assert {row.state for row in index.models if row.name == "echo"} == {"UNAVAILABLE"}
        again = await stage.perform(UnloadModel("s", "echo"))
        assert (again.changed, again.text) == (False, "nothing to do: echo is not loaded")
        edit = await stage.preview(EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=1)))
        assert "is not loaded" in edit.obstacle
        with pytest.raises(OperationFailed, match="nothing to reload"):
            await stage.perform(ReloadModel("s", "echo"))
        assert (await stage.perform(LoadModel("s", "echo"))).versions_after == (1,)
        assert await stage.ready("whole") == (1,)

    stage.triton.run(scenario())


def test_unloading_waits_for_requests_in_flight(stage: Stage) -> None:
    async def scenario() -> None:
        await stage.perform(await _slow_edit(stage, "echo", execute_s="1.5"))
        metrics = TritonMetrics(stage.endpoint)

        async def one_waits() -> bool:
            reading = await metrics.read()
            return any(
                value >= 1.0
                for series, value in zip(reading.layout.series, reading.values, strict=True)
                if series.name == "nv_inference_pending_request_count" and dict(series.labels)["model"] == "echo"
            )

        requests = [asyncio.create_task(stage.infer("echo")) for _ in range(2)]
        # One of them waits, so the other one is being executed.
        await until(one_waits)
        await metrics.aclose()
        told: list[str] = []
        outcome = await stage.control.perform(UnloadModel("s", "echo"), told.append)
        assert all(request.done() for request in requests), "it said unloaded while a request was in flight"
        await asyncio.gather(*requests)
        assert outcome.duration_s > 0
        assert any("requests in flight" in text for text in told)
        await stage.perform(LoadModel("s", "echo"))

    stage.triton.run(scenario())


def test_one_version_goes_and_comes_and_the_others_do_not_notice(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("twin") as unpinned, stage.clients("twin", 2, version="2") as pinned:
            await stage.infer("twin", 5, version="1")
            before = await stage.successes("twin")
            outcome = await stage.perform(UnloadModel("s", "twin", "3"))
            assert (outcome.versions_before, outcome.versions_after) == ((1, 2, 3), (1, 2))
            # An edit of something else must not bring it back, though the answers still say `all`.
            await stage.edit("twin", instance_count=2)
            assert await stage.ready("twin") == (1, 2)
            assert (await stage.perform(UnloadModel("s", "twin", "3"))).text.endswith("version 3 of twin is not served")
            assert (await stage.perform(LoadModel("s", "twin", "3"))).versions_after == (1, 2, 3)
            assert (await stage.perform(LoadModel("s", "twin", "3"))).changed is False
            after = await stage.successes("twin")
            assert after["1"] >= before["1"]
            assert after["2"] > before["2"]
            await unpinned.some()
            assert (unpinned.errors, pinned.errors) == ({}, {})
        await stage.perform(SetVersions("s", "twin", VersionChoice(all=True)))
        await stage.edit("twin", instance_count=1)

    stage.triton.run(scenario())


def test_versions_are_chosen_in_every_way(stage: Stage) -> None:
    async def scenario() -> None:
        for choice, served in (
            (VersionChoice(latest=2), (2, 3)),
            (VersionChoice(specific=(1, 3)), (1, 3)),
            (VersionChoice(latest=1), (3,)),
            (VersionChoice(all=True), (1, 2, 3)),
        ):
            outcome = await stage.perform(SetVersions("s", "twin", choice))
            assert outcome.versions_after == served
            assert (await stage.perform(SetVersions("s", "twin", choice))).changed is False, choice
            # Another operator, who does not know what was chosen here, changes nothing of it either.
            other = stage.new_control()
            situation = await other.look("twin")
            await other.aclose()
            assert situation.current is not None
            assert situation.ready == served
        warnings = (await stage.preview(SetVersions("s", "twin", VersionChoice(specific=(1, 3))))).warnings
        assert warnings == ("version 2 is taken out: requests that name it are refused from then on.",)

    stage.triton.run(scenario())


def test_the_only_version_is_the_whole_model(stage: Stage) -> None:
    async def scenario() -> None:
        preview = await stage.preview(UnloadModel("s", "echo", "1"))
        assert preview.change is ChangeClass.UNLOAD
        assert any("the only one that is served" in warning for warning in preview.warnings)

    stage.triton.run(scenario())


def test_an_unknown_version_is_named_and_the_policy_stays(stage: Stage) -> None:
    async def scenario() -> None:
        with pytest.raises(OperationFailed, match="version 9 of twin is not in the repository"):
            await stage.perform(LoadModel("s", "twin", "9"))
        assert await stage.ready("twin") == (1, 2, 3)
        with pytest.raises(UsageError, match="no version number"):
            await stage.perform(LoadModel("s", "twin", "newest"))

    stage.triton.run(scenario())


def test_an_unknown_model_is_named(stage: Stage) -> None:
    async def scenario() -> None:
        versions = SetVersions("s", "nosuch", VersionChoice(latest=1))
        for change in (LoadModel("s", "nosuch"), UnloadModel("s", "nosuch"), versions):
            with pytest.raises(OperationFailed, match="no model 'nosuch'"):
                await stage.perform(change)

    stage.triton.run(scenario())


def test_a_model_whose_folder_went_is_refused_and_serves_on(stage: Stage, tmp_path: Path) -> None:
    async def scenario() -> None:
        folder, aside = stage.repository / "twin", tmp_path / "twin"
        shutil.move(folder, aside)
        try:
            with pytest.raises(OperationFailed, match=r"twin has no folder in the repository.*is served on"):
                await stage.edit("twin", instance_count=2)
            await stage.infer("twin")
        finally:
            shutil.move(aside, folder)
        assert (await stage.edit("twin", instance_count=2)).changed
        await stage.edit("twin", instance_count=1)

    stage.triton.run(scenario())


def test_a_plain_load_takes_newer_files_and_says_beforehand_that_it_may(stage: Stage) -> None:
    async def scenario() -> None:
        await stage.edit("echo", max_queue_delay_us=900)
        assert (await stage.perform(ReloadModel("s", "echo"))).versions_after == (1,)
        assert (await stage.current("echo")).dynamic_batching.max_queue_delay_microseconds == 900
        file = stage.repository / "echo" / "config.pbtxt"
        file.write_text(file.read_text())
        assert "newer" in (await stage.preview(ReloadModel("s", "echo"))).warnings[0]
        await stage.perform(ReloadModel("s", "echo"))
        assert (await stage.current("echo")).dynamic_batching.max_queue_delay_microseconds == 100

    stage.triton.run(scenario())


def test_a_broken_first_load_is_refused_and_a_configuration_of_ones_own_is_taken(stage: Stage) -> None:
    async def scenario() -> None:
        config = await config_of(stage.endpoint, "stream")
        await stage.perform(UnloadModel("s", "stream"))
        bad = _parameters(config, fail="at first")
        with pytest.raises(OperationFailed, match=r"RuntimeError: the model says at first.*stream is not loaded"):
            await stage.perform(LoadModel("s", "stream", pbtxt=bad))
        del config.parameters["fail"]
        good = _parameters(config, stream_s="0.5")
        await stage.perform(LoadModel("s", "stream", pbtxt=good))
        assert (await stage.current("stream")).parameters["stream_s"].string_value == "0.5"
        again = await stage.perform(LoadModel("s", "stream", pbtxt=good))
        assert again.changed is False
        await stage.perform(UnloadModel("s", "stream"))
        await stage.perform(LoadModel("s", "stream"))

    stage.triton.run(scenario())


# -- a load that is slower than the client's time-out -----------------------------------


def test_a_time_out_is_no_failure(stage: Stage) -> None:
    async def scenario() -> None:
        control = stage.new_control(load_timeout_s=0.2)
        told: list[str] = []
        async with stage.clients("echo") as clients:
            outcome = await control.perform(await _slow_edit(stage, "echo", initialize_s="1.5"), told.append)
            assert outcome.changed
            assert any("ended without an answer" in text for text in told)
            assert (await stage.current("echo")).parameters["initialize_s"].string_value == "1.5"
            assert clients.errors == {}
        await stage.perform(UnloadModel("s", "echo"))
        assert (await control.perform(LoadModel("s", "echo"), told.append)).versions_after == (1,)
        await control.aclose()

    stage.triton.run(scenario())


def test_a_failure_after_the_time_out_is_found_in_the_log(stage: Stage) -> None:
    async def scenario() -> None:
        control = stage.new_control(load_timeout_s=0.2)
        slow = await _slow_edit(stage, "echo", initialize_s="1", fail="late")
        with pytest.raises(OperationFailed, match="the model says late"):
            await control.perform(slow, lambda text: None)
        assert await stage.ready("echo") == (1,)
        await control.aclose()

    stage.triton.run(scenario())


def test_without_a_log_such_a_failure_is_called_unknown(stage: Stage) -> None:
    async def scenario() -> None:
        control = stage.new_control(reads_log=False, load_timeout_s=0.2, patience=Patience(settle_s=3.0))
        slow = await _slow_edit(stage, "echo", fail="unheard")
        with pytest.raises(OperationFailed, match="either failed or still goes on"):
            await control.perform(slow, lambda text: None)
        await control.aclose()

    stage.triton.run(scenario())


def test_a_first_load_that_fails_after_the_time_out_has_its_reason(stage: Stage) -> None:
    async def scenario() -> None:
        config = await config_of(stage.endpoint, "stream")
        await stage.perform(UnloadModel("s", "stream"))
        control = stage.new_control(reads_log=False, load_timeout_s=0.2)
        change = LoadModel("s", "stream", pbtxt=_parameters(config, fail="first and late", initialize_s="1"))
        with pytest.raises(OperationFailed, match="the model says first and late"):
            await control.perform(change, lambda text: None)
        await control.aclose()
        await stage.perform(LoadModel("s", "stream"))

    stage.triton.run(scenario())


# -- two at once, and a server that goes away ---------------------------------------------


def test_two_operators_at_once_end_with_one_of_both_and_lose_no_request(stage: Stage) -> None:
    async def scenario() -> None:
        one, other = stage.new_control(), stage.new_control()
        async with stage.clients("echo") as clients:
            edits = [EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=us)) for us in (1111, 2222)]
            outcomes = await asyncio.gather(
                *(control.perform(edit, lambda text: None) for control, edit in zip((one, other), edits, strict=True))
            )
            delay_us = (await stage.current("echo")).dynamic_batching.max_queue_delay_microseconds
            assert delay_us in {1111, 2222}
            assert all(outcome.changed for outcome in outcomes)
            assert clients.errors == {}
        seen = (await one.preview(edits[0])).pbtxt_before
        await other.perform(EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=3333)), lambda text: None)
        stale = replace(edits[0], based_on=seen)
        with pytest.raises(OperationFailed, match="somebody else has changed echo"):
            await one.perform(stale, lambda text: None)
        await asyncio.gather(one.aclose(), other.aclose())

    stage.triton.run(scenario())


def test_a_server_killed_during_an_edit_is_said_to_be_gone(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    triton = make_triton_server(repository=write_control_models(tmp_path / "models", "echo"))

    async def scenario() -> None:
        await load(triton.endpoint, "echo")
        stage = Stage(triton)
        control = stage.new_control(patience=Patience(silence_s=1.0))
        change = await _slow_edit(stage, "echo", initialize_s="30")
        loading = asyncio.Event()
        task = asyncio.create_task(control.perform(change, lambda text: loading.set() if "loading" in text else None))
        async with asyncio.timeout(30):
            await loading.wait()
        os.kill(triton.pid, signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"went away while echo was loaded.*not known"):
            await task
        await asyncio.gather(control.aclose(), stage.control.aclose())

    triton.run(scenario())


# -- sequences, streams, ensembles --------------------------------------------------------


async def _sequence(stage: Stage, *, start: bool = False, number: int = 7) -> None:
    request = infer_request("counted")
    request.parameters["sequence_id"].int64_param = number
    request.parameters["sequence_start"].bool_param = start
    await call(stage.endpoint, "ModelInfer", request)


def test_live_sequences_survive_in_place_and_are_warned_of_before_a_reload(stage: Stage) -> None:
    async def scenario() -> None:
        await _sequence(stage, start=True)
        in_place = EditConfig("s", "counted", ConfigEdit(instance_count=2))
        assert (await stage.preview(in_place)).warnings == ()
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
        change = await _slow_edit(stage, "stream", note="new")
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
        ("--grpc-restricted-protocol=model-repository:key=secret", "triton-grpc-protocol-key"),
    ],
)
def test_a_server_that_takes_no_changes_is_not_asked_for_any(
    make_triton_server: TritonFactory, tmp_path: Path, argument: str, said: str
) -> None:
    triton = make_triton_server(argument, repository=write_control_models(tmp_path / "models", "echo"))

    async def scenario() -> None:
        stage = Stage(triton)
        with pytest.raises((OperationFailed, Exception), match=said):
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
