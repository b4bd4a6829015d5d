"""The demo's models on a real Triton: what they compute, how they load, and that batching is real."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import text_format

from tests.e2e.triton_calls import call, config_of, load
from tests.processes import wait_until
from tests.running_triton import RunningTriton, TritonFactory
from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.errors import OperationFailed
from tritop.protocol import model_config_pb2, open_channel, service_pb2, service_pb2_grpc

np = pytest.importorskip("numpy", reason="the demo extra is not installed")

HIDDEN, FEATURES, SCORES = 32768, 1024, 16
SCORE_TOLERANCE = 2e-3
"""float32 sums over 32768 terms in another order."""


def infer_request(model: str, name: str, array: Any, version: str = "") -> Any:
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    request.inputs.add(name=name, datatype="FP32", shape=list(array.shape))
    request.raw_input_contents.append(array.tobytes())
    return request


def output_of(answer: Any) -> Any:
    return np.frombuffer(answer.raw_output_contents[0], dtype=np.float32).reshape(answer.outputs[0].shape)


def infer(running: RunningTriton, model: str, name: str, array: Any, version: str = "") -> Any:
    request = infer_request(model, name, array, version)
    return output_of(running.run(call(running.endpoint, "ModelInfer", request)))


@pytest.fixture(scope="module", params=[1, 2])
def matrix_version(request: pytest.FixtureRequest) -> tuple[int, Any, Any]:
    """(version, first layer, second layer), made here from the description of the model alone."""
    generator = np.random.default_rng(request.param)
    first = generator.standard_normal((HIDDEN, FEATURES), dtype=np.float32) / np.float32(FEATURES**0.5)
    second = generator.standard_normal((SCORES, HIDDEN), dtype=np.float32) / np.float32(HIDDEN**0.5)
    return request.param, first, second


def expected_scores(version: int, first: Any, second: Any, features: Any) -> Any:
    hidden = features @ first.T
    hidden = np.maximum(hidden, 0) if version == 1 else np.tanh(hidden)
    return hidden @ second.T


@pytest.mark.triton
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 8, 31, 32])
def test_matrix_is_right_at_every_batch_size(
    triton_server: RunningTriton, matrix_version: tuple[int, Any, Any], rows: int
) -> None:
    version, first, second = matrix_version
    features = np.random.default_rng(rows).standard_normal((rows, FEATURES), dtype=np.float32)
    scores = infer(triton_server, "matrix", "FEATURES", features, str(version))
    assert scores.shape == (rows, SCORES)
    expected = expected_scores(version, first, second, features)
    assert np.std(expected) > 0.2
    np.testing.assert_allclose(scores, expected, atol=SCORE_TOLERANCE)


@pytest.mark.triton
def test_the_highest_version_of_matrix_answers_where_none_is_named(triton_server: RunningTriton) -> None:
    features = np.random.default_rng(0).standard_normal((1, FEATURES), dtype=np.float32)
    answers = {version: infer(triton_server, "matrix", "FEATURES", features, version) for version in ("", "1", "2")}
    assert (answers[""] == answers["2"]).all()
    assert not np.allclose(answers["1"], answers["2"], atol=SCORE_TOLERANCE)


@pytest.mark.triton
def test_tiny_normalises_rows(triton_server: RunningTriton) -> None:
    rows = np.random.default_rng(0).normal(3.0, 5.0, (7, 256)).astype(np.float32)
    normalised = infer(triton_server, "tiny", "ROWS", rows)
    np.testing.assert_allclose(normalised.mean(axis=1), 0.0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.corrcoef(normalised[0], rows[0])[0, 1], 1.0, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("rows", [1, 3])
def test_pair_finds_the_fixed_point_and_the_pipeline_is_tiny_before_pair(
    triton_server: RunningTriton, rows: int
) -> None:
    given = np.random.default_rng(rows).normal(2.0, 3.0, (rows, 256)).astype(np.float32)
    normalised = infer(triton_server, "tiny", "ROWS", given)
    state = infer(triton_server, "pair", "ROWS", normalised)
    square = np.random.default_rng(7).standard_normal((256, 256))
    weights = 0.9 * np.linalg.qr(square)[0]
    np.testing.assert_allclose(state, np.tanh(state @ weights + normalised), atol=1e-3)
    np.testing.assert_array_equal(infer(triton_server, "pipeline", "ROWS", given), state)


@pytest.mark.triton
def test_the_repository_index_shows_what_loaded_and_why_one_did_not(triton_server: RunningTriton) -> None:
    index = triton_server.run(call(triton_server.endpoint, "RepositoryIndex", service_pb2.RepositoryIndexRequest()))
    states = {(row.name, row.version): row.state for row in index.models}
    assert states == {
        ("matrix", "1"): "READY",
        ("matrix", "2"): "READY",
        ("tiny", "1"): "READY",
        ("pair", "1"): "READY",
        ("pipeline", "1"): "READY",
        ("broken", "1"): "UNAVAILABLE",
    }
    (reason,) = (row.reason for row in index.models if row.name == "broken")
    weights = triton_server.repository / "broken" / "1" / "weights.npz"
    assert f"FileNotFoundError: [Errno 2] No such file or directory: '{weights}'" in reason


@pytest.mark.triton
def test_every_configuration_is_served_as_written(triton_server: RunningTriton) -> None:
    for model in ("matrix", "tiny", "pair", "pipeline"):
        served = triton_server.run(config_of(triton_server.endpoint, model))
        assert not served.HasField("dynamic_batching")
        written = read_config(triton_server.repository, model)
        assert [group.count for group in served.instance_group] == [group.count for group in written.instance_group]
        assert served.max_batch_size == written.max_batch_size


@pytest.mark.triton
def test_models_are_loaded_one_by_one_and_the_failure_is_told(make_triton_server: TritonFactory) -> None:
    running = make_triton_server(load=False)
    seen: list[tuple[int, int, str]] = []
    demo = DemoRepository(running.repository, ("tiny", "pair", "pipeline", "broken"))
    failures = running.run(load_models(running.endpoint, demo, lambda *step: seen.append(step)))
    assert seen == [(0, 4, "tiny"), (1, 4, "pair"), (2, 4, "pipeline"), (3, 4, "broken"), (4, 4, "")]
    assert list(failures) == ["broken"]
    assert "weights.npz" in failures["broken"]
    running.stop()
    with pytest.raises(OperationFailed, match="does not answer while tiny is loaded"):
        running.run(load_models(running.endpoint, demo, lambda *step: None))


async def send_together(running: RunningTriton, requests: list[Any]) -> list[Any]:
    """Send requests over one connection, all at once, and give the outputs in their order."""
    async with open_channel(running.endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return [output_of(answer) for answer in await asyncio.gather(*map(stub.ModelInfer, requests))]


def executions(running: RunningTriton, rows: int) -> dict[int, int]:
    """Executions by batch size of version 2 since it was loaded, once `rows` inferences are in them.

    Triton counts an execution only after it has sent the responses.
    """
    request = service_pb2.ModelStatisticsRequest(name="matrix", version="2")

    def read() -> Any:
        return running.run(call(running.endpoint, "ModelStatistics", request)).model_stats[0]

    wait_until(lambda: read().inference_count >= rows, "every inference is counted")
    row = read()
    assert row.inference_count == rows
    sizes = {batch.batch_size: batch.compute_infer.count for batch in row.batch_stats}
    assert row.execution_count == sum(sizes.values())
    return sizes


@pytest.mark.triton
def test_dynamic_batching_makes_one_execution_of_many_requests_and_answers_each_of_them(
    make_triton_server: TritonFactory,
) -> None:
    running = make_triton_server(load=False)
    endpoint = running.endpoint
    running.run(load(endpoint, "matrix"))
    generator = np.random.default_rng(3)
    items = [generator.standard_normal((1 + number % 3, FEATURES), dtype=np.float32) for number in range(48)]
    requests = [infer_request("matrix", "FEATURES", item, "2") for item in items]
    rows = sum(len(item) for item in items)

    apart = running.run(send_together(running, requests))
    assert executions(running, rows) == {1: 16, 2: 16, 3: 16}

    config = running.run(config_of(endpoint, "matrix"))
    config.dynamic_batching.max_queue_delay_microseconds = 2000
    running.run(load(endpoint, "matrix", config))
    together = running.run(send_together(running, requests))
    sizes = executions(running, rows)
    assert rows / sum(sizes.values()) > 4, sizes
    assert 8 < max(sizes) <= 32
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_allclose(other, one, atol=SCORE_TOLERANCE)


@pytest.mark.triton
def test_more_rows_than_the_largest_batch_are_refused(triton_server: RunningTriton) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        infer(triton_server, "matrix", "FEATURES", np.zeros((33, FEATURES), dtype=np.float32))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def read_config(folder: Path, model: str) -> Any:
    return text_format.Parse((folder / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_the_written_repository_is_small_whole_and_may_be_written_again(tmp_path: Path) -> None:
    demo = write_repository(tmp_path / "new" / "models")
    assert write_repository(demo.folder) == demo
    assert sorted(path.name for path in demo.folder.iterdir()) == sorted(demo.models)
    for model in demo.models:
        config = read_config(demo.folder, model)
        assert config.name == model
        assert not config.HasField("dynamic_batching")
        versions = sorted(path.name for path in (demo.folder / model).iterdir() if path.is_dir())
        assert versions == (["1", "2"] if model == "matrix" else ["1"])
        for version in versions:
            code = demo.folder / model / version / "model.py"
            assert code.exists() == (config.backend == "python")
            if code.exists():
                compile(code.read_text(), str(code), "exec")
                assert "sleep" not in code.read_text()
    assert sum(path.stat().st_size for path in demo.folder.rglob("*") if path.is_file()) < 64 * 1024


def test_the_parts_in_the_demo_fit_the_models(tmp_path: Path) -> None:
    demo = write_repository(tmp_path)
    assert demo.loadable == ("matrix", "tiny", "pair", "pipeline")
    assert demo.traffic_model in demo.loadable
    assert demo.concurrency == read_config(tmp_path, demo.traffic_model).max_batch_size == 32
    assert read_config(tmp_path, "pair").instance_group[0].count == 2
    assert read_config(tmp_path, "pair").max_batch_size == 0
    steps = [step.model_name for step in read_config(tmp_path, "pipeline").ensemble_scheduling.step]
    assert all(demo.models.index(step) < demo.models.index("pipeline") for step in steps)
