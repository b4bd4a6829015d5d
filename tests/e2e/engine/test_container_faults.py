"""What is in the way of a container, each on the real engine: in words, and with nothing left behind."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.triton_calls import call
from tritop.protocol import service_pb2
from tritop.runtimes.supervisor import Desired, Phase, Policy, Wish
from tritop.server_spec import ServerSpec

pytestmark = pytest.mark.engine

KILLS_THE_SERVER = """
import os
import signal


class TritonPythonModel:
    def initialize(self, args):
        os.kill(os.getppid(), signal.SIGKILL)
"""

EATS_MEMORY = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        kept = []
        while True:
            kept.append(np.ones(8 << 20, dtype=np.uint8))
"""

ANY_CONFIG = """
backend: "python"
input [{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }]
"""


def write_model(repository: Path, name: str, code: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(code)
    (repository / name / "config.pbtxt").write_text(ANY_CONFIG)


def three_free_ports() -> int:
    """The first of three ports in a row that are free."""
    for base in range(24100, 32000, 3):
        with socket.socket() as a, socket.socket() as b, socket.socket() as c:
            try:
                for offset, probe in enumerate((a, b, c)):
                    probe.bind(("127.0.0.1", base + offset))
            except OSError:
                continue
            return base
    raise AssertionError("no three free ports in a row")


def test_a_port_that_a_process_has(stage: EngineStage) -> None:
    base = three_free_ports()
    with socket.create_server(("127.0.0.1", base + 1)):
        hosted = stage.hosted(stage.spec(base_port=base)).open()
        waiting = hosted.until_phase(Phase.WAITING)
        assert waiting.explanation.startswith(f"Port {base + 1} is taken by ")
        assert "process" in waiting.explanation
        assert "--port" in waiting.advice
        assert waiting.crashes == ()
        # What could not be started is removed, so that nothing of it is left if the port never becomes free.
        hosted.until(lambda state: not state.husk and state.doing is None)
        assert stage.containers(hosted.container_name) == []
    hosted.until_ready()
    assert hosted.endpoint.grpc_port == base + 1


def test_a_port_that_a_container_has(stage: EngineStage) -> None:
    base = three_free_ports()
    name = f"{stage.prefix}-neighbour"
    other = stage.other(name, ["sleep", "600"], ports={"80/tcp": ("127.0.0.1", base)})
    other.start()
    hosted = stage.hosted(stage.spec(base_port=base)).open()
    assert hosted.until_phase(Phase.WAITING).explanation == f"Port {base} is taken by the container {name}."
    hosted.ask(Wish.STOP)
    hosted.until_phase(Phase.ABSENT)
    other.reload()
    assert other.status == "running"


def test_free_ports_that_are_taken_at_the_last_moment_are_chosen_anew(
    stage: EngineStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tritop.runtimes import ports
    from tritop.server_spec import Ports

    free_ports = ports.free_ports
    base = three_free_ports()
    offers = [Ports(base, base + 1, base + 2)]
    monkeypatch.setattr(ports, "free_ports", lambda: offers.pop() if offers else free_ports())
    with socket.create_server(("127.0.0.1", base)):
        hosted = stage.hosted().open()
        hosted.until_ready()
    assert hosted.endpoint.http_port != base
    assert len(stage.containers(hosted.container_name)) == 1


def test_a_name_that_somebody_else_has(stage: EngineStage) -> None:
    spec = stage.spec("foreign")
    other = stage.other(spec.container_name, ["sleep", "600"])
    other.start()
    before = stage.client.api.inspect_container(other.id)["State"]
    hosted = stage.hosted(spec).open()
    hosted.until_phase(Phase.FOREIGN)
    assert "never touched" in hosted.server.launch().explanation
    with pytest.raises(Exception, match="not this operator's"):
        hosted.ask(Wish.STOP)
    assert stage.client.api.inspect_container(other.id)["State"] == before
    other.remove(force=True)
    hosted.until_ready()


def test_a_repository_that_is_gone_when_it_is_to_be_mounted(stage: EngineStage) -> None:
    spec = stage.spec()
    shutil.rmtree(stage.models)
    failed = stage.hosted(spec).open().until_phase(Phase.FAILED)
    assert failed.explanation.startswith("The model repository is not there: ")
    assert not stage.models.exists(), "and the engine did not make a folder of root's there"


def test_a_flag_that_triton_does_not_know(stage: EngineStage) -> None:
    hosted = stage.hosted(stage.spec(arguments=("--no-such-flag=1",))).open()
    failed = hosted.until_phase(Phase.FAILED)
    assert failed.explanation.startswith("Triton refused to start: unrecognized option '--no-such-flag=1'")
    assert failed.exit_code == 1
    assert failed.restarts == 0
    assert hosted.server.launch().log_tail, "its log is kept"


def test_gpus_on_an_engine_that_has_none(stage: EngineStage) -> None:
    if "nvidia" in stage.client.info()["Runtimes"]:
        pytest.skip("this engine can give a container GPUs")
    hosted = stage.hosted(stage.spec(gpus=("all",))).open()
    failed = hosted.until_phase(Phase.FAILED)
    assert failed.explanation.startswith("This engine cannot give a container GPUs")
    assert "--gpus none" in failed.advice
    hosted.until(lambda state: not state.husk and state.doing is None)
    assert stage.containers(hosted.container_name) == []


def test_a_model_that_kills_the_server_while_it_loads(stage: EngineStage) -> None:
    write_model(stage.models, "deadly", KILLS_THE_SERVER)
    hosted = stage.hosted().open()
    failed = hosted.until_phase(Phase.FAILED)
    assert "ended the same way 3 times in a row, and was given up" in failed.explanation
    assert failed.restarts == 2
    assert stage.desired(hosted) is Desired.RUN
    shutil.rmtree(stage.models / "deadly")
    hosted.ask(Wish.START)
    hosted.until_ready()


def test_a_model_that_does_not_load_leaves_the_others_served(stage: EngineStage) -> None:
    write_model(stage.models, "broken", "raise RuntimeError('no weights')")
    hosted = stage.hosted().open()
    unready = hosted.until_phase(Phase.NOT_READY)
    assert unready.trouble == "It answers, and not every model is ready."
    assert not unready.unresponsive


def test_a_stub_that_the_kernel_kills_for_want_of_memory(stage: EngineStage) -> None:
    write_model(stage.models, "hungry", EATS_MEMORY)
    hosted = stage.up(stage.spec(memory_bytes=600 << 20))
    started = hosted.shown()["State"]["StartedAt"]
    request = service_pb2.ModelInferRequest(model_name="hungry", raw_input_contents=[bytes(4)])
    request.inputs.add(name="X", datatype="FP32", shape=[1])

    async def eat() -> str:
        from tritop.protocol import grpc

        try:
            await call(hosted.endpoint, "ModelInfer", request)
        except grpc.aio.AioRpcError as error:
            return str(error.details())
        return ""

    assert "Stub process" in stage.run(eat())
    assert "hungry" in hosted.until(lambda state: state.phase is Phase.NOT_READY).trouble
    hosted.until_ready()
    assert hosted.shown()["State"]["StartedAt"] == started


def test_a_server_that_the_kernel_kills_for_want_of_memory(stage: EngineStage) -> None:
    policy = Policy(back_off_s=(1.0,))
    failed = stage.hosted(stage.spec(memory_bytes=12 << 20), policy=policy).open().until_phase(Phase.FAILED)
    assert "memory limit of 12.0 MiB" in failed.explanation
    assert "2 times in a row" in failed.explanation
    assert "--memory" in failed.advice


def test_an_image_without_tritonserver(stage: EngineStage, tmp_path: Path) -> None:
    import io
    import tarfile

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    repository = f"tritop-test/{stage.prefix}"
    stage.client.api.import_image_from_data(data.getvalue(), repository=repository, tag="empty")
    try:
        failed = stage.hosted(stage.spec(image=f"{repository}:empty")).open().until_phase(Phase.FAILED)
        assert failed.explanation.startswith("There is no tritonserver in this image")
        stage.clean()
    finally:
        stage.client.api.remove_image(f"{repository}:empty", force=True)


def test_a_variable_that_is_not_set(stage: EngineStage) -> None:
    spec: ServerSpec = stage.spec(environment=("TRITOP_TEST_NOT_SET",))
    failed = stage.hosted(spec).open().until_phase(Phase.FAILED)
    assert failed.explanation == "The environment variable TRITOP_TEST_NOT_SET is not set."
