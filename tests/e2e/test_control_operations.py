"""Loading, unloading and versions on a real Triton, and everything that gets in the way."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.triton_metrics import TritonMetrics
from tests.e2e.control_models import write_control_models
from tests.e2e.control_stage import Stage, config_text
from tests.e2e.triton_calls import call, config_of, load, until
from tests.running_triton import TritonFactory
from tritop.change import ChangeClass, ConfigEdit, VersionChoice
from tritop.control.settle import Patience
from tritop.errors import OperationFailed, Unreachable, UsageError
from tritop.operation import EditConfig, LoadModel, ReloadModel, SetVersions, UnloadModel
from tritop.protocol import service_pb2

pytestmark = pytest.mark.triton


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
        await stage.perform(await stage.with_parameters("echo", execute_s="1.5"))
        metrics = TritonMetrics(stage.endpoint)

        async def one_waits() -> bool:
            reading = await metrics.read()
            return any(
                value >= 1.0
                for series, value in zip(reading.layout.series, reading.values, strict=True)
                if series.name == "nv_inference_pending_request_count" and dict(series.labels)["model"] == "echo"
            )

        # So large that no two fit into one batch: all but one of them wait.
        requests = [asyncio.create_task(stage.infer("echo", rows=8)) for _ in range(3)]
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


def test_newer_files_make_a_full_reload_of_what_should_be_in_place_and_that_is_said(stage: Stage) -> None:
    async def scenario() -> None:
        change = EditConfig("s", "echo", ConfigEdit(instance_count=2))
        control = stage.new_control()
        assert any("in full after all" in warning for warning in (await control.preview(change)).warnings)
        await stage.infer("echo", 3)
        code = stage.repository / "echo" / "1" / "model.py"
        code.write_text(code.read_text())
        outcome = await control.perform(change, lambda text: None)
        assert outcome.preview.change is ChangeClass.IN_PLACE
        assert "the server reloaded it in full after all" in outcome.text
        again = EditConfig("s", "echo", ConfigEdit(instance_count=1))
        assert (await control.preview(again)).warnings == ()
        await stage.infer("echo", 3)
        assert "after all" not in (await control.perform(again, lambda text: None)).text
        await control.aclose()

    stage.triton.run(scenario())


def test_a_broken_first_load_is_refused_and_a_configuration_of_ones_own_is_taken(stage: Stage) -> None:
    async def scenario() -> None:
        config = await config_of(stage.endpoint, "stream")
        await stage.perform(UnloadModel("s", "stream"))
        bad = config_text(config, fail="at first")
        with pytest.raises(OperationFailed, match=r"RuntimeError: the model says at first.*stream is not loaded"):
            await stage.perform(LoadModel("s", "stream", pbtxt=bad))
        del config.parameters["fail"]
        good = config_text(config, stream_s="0.5")
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
            outcome = await control.perform(await stage.with_parameters("echo", initialize_s="1.5"), told.append)
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
        slow = await stage.with_parameters("echo", initialize_s="1", fail="late")
        with pytest.raises(OperationFailed, match="the model says late"):
            await control.perform(slow, lambda text: None)
        assert await stage.ready("echo") == (1,)
        await control.aclose()

    stage.triton.run(scenario())


def test_without_a_log_such_a_failure_is_called_unknown(stage: Stage) -> None:
    async def scenario() -> None:
        control = stage.new_control(reads_log=False, load_timeout_s=0.2, patience=Patience(settle_s=3.0))
        slow = await stage.with_parameters("echo", fail="unheard")
        with pytest.raises(OperationFailed, match="either failed or still goes on"):
            await control.perform(slow, lambda text: None)
        await control.aclose()

    stage.triton.run(scenario())


def test_a_first_load_that_fails_after_the_time_out_has_its_reason(stage: Stage) -> None:
    async def scenario() -> None:
        config = await config_of(stage.endpoint, "stream")
        await stage.perform(UnloadModel("s", "stream"))
        control = stage.new_control(reads_log=False, load_timeout_s=0.2)
        change = LoadModel("s", "stream", pbtxt=config_text(config, fail="first and late", initialize_s="1"))
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
        change = await stage.with_parameters("echo", initialize_s="30")
        loading = asyncio.Event()
        task = asyncio.create_task(control.perform(change, lambda text: loading.set() if "loading" in text else None))
        async with asyncio.timeout(30):
            await loading.wait()
        os.kill(triton.pid, signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"went away while echo was loaded.*not known"):
            await task
        await asyncio.gather(control.aclose(), stage.control.aclose())

    triton.run(scenario())
