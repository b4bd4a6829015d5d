"""Traffic to a real Triton: what it sends is understood, and what it says is what the server says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.control_models import write_control_models
from tests.e2e.traffic_models import write_traffic_models
from tests.e2e.triton_calls import call, config_of, load, until
from tests.processes import descendants, is_running, wait_until
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, UsageError
from tritop.load.command import TrafficOptions, run
from tritop.load.control import TrafficProcess
from tritop.model import TrafficState
from tritop.protocol import service_pb2
from tritop.runtimes.local import LocalServer

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def models(triton_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """A server with the models for traffic; no test changes it."""
    folder = tmp_path_factory.mktemp("traffic")
    server = LocalServer(write_traffic_models(folder / "repository"), log_path=folder / "tritonserver.log")
    try:
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live())
        for model in ("types", "check", "sequences", "streams"):
            triton_loop.run(load(server.endpoint, model))
        yield RunningTriton(server, folder, triton_loop)
        triton_loop.run(server.stop())
    finally:
        server.kill()


async def executed_batches(endpoint: Endpoint, model: str) -> dict[int, int]:
    """Batch size -> executions."""
    answer = await call(endpoint, "ModelStatistics", service_pb2.ModelStatisticsRequest(name=model))
    return {batch.batch_size: batch.compute_infer.count for batch in answer.model_stats[0].batch_stats}


def traffic(
    running: RunningTriton, capsys: pytest.CaptureFixture[str], model: str, **options: Any
) -> tuple[int, dict[str, Any]]:
    """Run `tritop traffic MODEL --json`; its exit code and what it printed."""
    asked = {"concurrency": 2, "duration_s": 0.5, "warmup_s": 0.1, **options}
    if "rate_per_s" in asked:
        asked["concurrency"] = None
    code = run(running.endpoint, TrafficOptions(model, as_json=True, **asked))
    return code, json.loads(capsys.readouterr().out)


def test_every_data_type_arrives_as_what_it_is(models: RunningTriton, capsys: pytest.CaptureFixture[str]) -> None:
    for batch in (1, 3):
        code, document = traffic(models, capsys, "types", batch=batch)
        assert document["errors_by_kind"] == {}
        assert code == 0
        assert document["requests"] > 0
        assert document["inferences"] == batch * document["requests"]
    assert set(models.run(executed_batches(models.endpoint, "types"))) == {1, 3}


def test_a_shape_is_what_the_model_gets(models: RunningTriton, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = traffic(models, capsys, "types", shapes=(("INT8", (3, 5)),))
    assert code == 1
    ((kind, count),) = document["errors_by_kind"].items()
    assert count == document["errors"] > 0
    assert "INT8" in kind


def test_requests_of_a_file_arrive_as_they_are_written(
    models: RunningTriton, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def request(rows: list[list[float]], texts: list[str]) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": "TEXT", "datatype": "BYTES", "shape": [len(rows), 1], "data": texts},
                {"name": "NUMBERS", "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": rows},
            ]
        }

    right = tmp_path / "right.json"
    right.write_text(json.dumps([request([[1, 2, 3]], ["6"]), request([[0.5], [2.5]], ["0.5", "2.5"])]))
    code, document = traffic(models, capsys, "check", input_path=str(right))
    assert (code, document["errors_by_kind"]) == (0, {})
    assert document["requests"] < document["inferences"] < 2 * document["requests"]

    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(request([[1, 2, 3]], ["7"])))
    code, document = traffic(models, capsys, "check", input_path=str(wrong))
    assert code == 1
    assert document["requests"] == 0
    ((kind, _),) = document["errors_by_kind"].items()
    assert "[[b'#']] is not ['#']" in kind

    wrong.write_text(json.dumps({"inputs": []}))
    with pytest.raises(UsageError, match=r"wrong\.json: input NUMBERS is missing; model check needs it"):
        traffic(models, capsys, "check", input_path=str(wrong))


@pytest.mark.parametrize(
    ("model", "words"),
    [("sequences", "wants sequences"), ("streams", "is decoupled"), ("absent", "has no model absent")],
)
def test_a_model_that_cannot_be_sent_traffic_to_is_refused(
    models: RunningTriton, capsys: pytest.CaptureFixture[str], model: str, words: str
) -> None:
    with pytest.raises(OperationFailed, match=words):
        traffic(models, capsys, model)


def test_the_figures_are_those_of_the_server(triton_server: RunningTriton, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = traffic(triton_server, capsys, "matrix", version="1", concurrency=4, duration_s=1.5)
    assert code == 0
    latency_us, means = document["latency_us"], document["server_means"]
    # A request counts where it ends, with all of its latency: one longest latency each may be from before.
    most_in_flight = 4 * (1 + latency_us["max"] / 1e6 / document["duration_s"])
    assert 0 < document["achieved_concurrency"] <= most_in_flight
    # The statistics are read before and after: what the client counted and they do not was on its way back.
    assert means["inferences"] >= document["requests"] - 4
    assert means["batch_avg"] == 1.0
    assert means["queue_us"] < means["request_us"]
    stages_us = sum(means[f"compute_{stage}_us"] for stage in ("input", "infer", "output"))
    assert means["queue_us"] + stages_us == pytest.approx(means["request_us"], rel=0.1)
    assert latency_us["p50"] <= latency_us["p90"] <= latency_us["p99"] <= latency_us["max"]


def test_an_ensemble_and_an_open_loop(triton_server: RunningTriton, capsys: pytest.CaptureFixture[str]) -> None:
    for poisson in (False, True):
        code, document = traffic(triton_server, capsys, "pipeline", rate_per_s=40.0, poisson=poisson, duration_s=1.0)
        assert (code, document["errors_by_kind"]) == (0, {})
        assert document["requests"] > 0
        assert (document["rate_per_s"], document["poisson"], document["late"]) == (40.0, poisson, 0)


def test_traffic_makes_batches_once_batching_is_on(
    make_triton_server: TritonFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    running = make_triton_server(load=False)
    running.run(load(running.endpoint, "tiny"))
    traffic(running, capsys, "tiny", concurrency=16)
    assert set(running.run(executed_batches(running.endpoint, "tiny"))) == {1}
    config = running.run(config_of(running.endpoint, "tiny"))
    config.dynamic_batching.max_queue_delay_microseconds = 5000

    async def batches_were_made() -> bool:
        return max(await executed_batches(running.endpoint, "tiny"), default=1) > 1

    async def edit_under_traffic() -> tuple[tuple[str, int], ...]:
        process = TrafficProcess(running.endpoint, model="tiny")
        await process.start()
        try:
            await process.set(concurrency=16)
            await load(running.endpoint, "tiny", config)
            await until(batches_were_made)
            return process.report().errors_by_kind
        finally:
            await process.stop()

    assert running.run(edit_under_traffic()) == ()


def test_traffic_outlives_its_server_and_finds_the_next_one(make_triton_server: TritonFactory) -> None:
    running = make_triton_server(load=False)
    running.run(load(running.endpoint, "tiny"))

    async def scenario() -> None:
        process = TrafficProcess(running.endpoint, model="tiny")
        await process.start()
        try:
            await process.set(concurrency=2)
            await until_report(process, "p50_us")
            await load_none(running.endpoint)
            await until_report(process, "errors_per_s")
            assert any("NOT_FOUND" in kind or "UNAVAILABLE" in kind for kind, _ in process.report().errors_by_kind)
            assert process.report().state is TrafficState.RUNNING
            await load(running.endpoint, "tiny")
            await process.set(concurrency=2)
            await until_report(process, "p50_us")
        finally:
            await process.stop()

    running.run(scenario())


def test_slow_requests_come_back_before_the_traffic_has_stopped(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    """Triton 2.51 can crash where a request is cancelled as it is answered."""
    running = make_triton_server(repository=write_control_models(tmp_path / "models", "echo"))

    async def statistics() -> Any:
        answer = await call(running.endpoint, "ModelStatistics", service_pb2.ModelStatisticsRequest(name="echo"))
        return answer.model_stats[0].inference_stats

    async def scenario() -> None:
        await load(running.endpoint, "echo")
        config = await config_of(running.endpoint, "echo")
        config.parameters["execute_s"].string_value = "1.5"
        await load(running.endpoint, "echo", config)
        process = TrafficProcess(running.endpoint, model="echo")
        await process.start()
        await process.set(concurrency=4)
        await until_report(process, "in_flight")
        await process.stop()
        assert process.report().state is TrafficState.STOPPED
        counted = await statistics()
        assert (counted.success.count >= 4, counted.fail.count) == (True, 0)

    running.run(scenario())


async def load_none(endpoint: Endpoint) -> None:
    await call(endpoint, "RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name="tiny"))


async def until_report(process: TrafficProcess, field: str) -> None:
    """Wait for a number that is neither unknown nor 0."""

    async def known() -> bool:
        return bool(getattr(process.report(), field))

    await until(known)


def test_ctrl_c_ends_it_early_with_the_result_so_far(triton_server: RunningTriton) -> None:
    target = f"grpc://{triton_server.endpoint.grpc_address}"
    command = ["tritop", "traffic", "tiny", "-u", target, "--concurrency", "1", "--duration", "600", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children: list[int] = []
    try:

        def sends() -> bool:
            children[:] = descendants(process.pid)
            return bool(children) and succeeded() > before

        def succeeded() -> int:
            answer = triton_server.run(
                call(triton_server.endpoint, "ModelStatistics", service_pb2.ModelStatisticsRequest(name="tiny"))
            )
            return int(answer.model_stats[0].inference_stats.success.count)

        before = succeeded()
        wait_until(sends, "traffic goes to tiny")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err == ""
        assert json.loads(out)["interrupted"] is True
        wait_until(lambda: not any(map(is_running, children)), "the traffic process is gone")
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
