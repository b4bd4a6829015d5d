"""An engine that is away, restarted, frozen, full, forbidden or no Docker at all: nothing is decided without it."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.engine.private_engine import HOOK, PrivateEngine, private_engine
from tests.e2e.engine.registry import Registry
from tests.e2e.triton_calls import infer_tiny
from tests.processes import wait_until
from tests.running_triton import LoopThread
from tritop.errors import RuntimeFailure
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_client import check_listening, engine_address, open_client
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.supervisor import Desired, EndingKind, Phase, Wish

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private Docker engine needs root"),
]


@contextmanager
def stage_on(
    engine: PrivateEngine, image: str, source: docker.DockerClient, models: Path, folder: Path, loop: LoopThread
) -> Iterator[EngineStage]:
    """A stage on an engine of its own, with the Triton image copied to it."""
    client = engine.client()
    client.api.load_image(io.BytesIO(b"".join(source.api.get_image(image))))
    stage = EngineStage(client, image, models, folder, loop)
    stage.address = engine.address
    try:
        yield stage
    finally:
        stage.clean()
        client.close()


@pytest.fixture
def own(
    engine_client: docker.DockerClient, triton_image: str, models: Path, tmp_path: Path, triton_loop: LoopThread
) -> Iterator[tuple[PrivateEngine, EngineStage]]:
    with (
        private_engine() as engine,
        stage_on(engine, triton_image, engine_client, models, tmp_path, triton_loop) as stage,
    ):
        yield engine, stage


def test_an_engine_that_is_restarted(own: tuple[PrivateEngine, EngineStage]) -> None:
    engine, stage = own
    hosted = stage.up()
    engine.stop()
    lost = hosted.until_phase(Phase.ENGINE_LOST)
    assert lost.desired is Desired.RUN, "the engine's end is no wish of the operator"
    assert "Docker engine" in hosted.server.launch().explanation
    engine.start()
    ready = hosted.until_ready()
    assert ready.crashes == (), "and no crash of the server"
    assert stage.desired(hosted) is Desired.RUN
    assert len(stage.containers(hosted.container_name)) == 1


def test_an_engine_that_hangs(own: tuple[PrivateEngine, EngineStage]) -> None:
    engine, stage = own
    hosted = stage.up()
    started = hosted.shown()["State"]["StartedAt"]
    engine.send(signal.SIGSTOP)
    try:
        hosted.until_phase(Phase.ENGINE_LOST)
        assert "does not answer" in hosted.server.launch().explanation
        stage.run(infer_tiny(hosted.endpoint, 5))
    finally:
        engine.send(signal.SIGCONT)
    hosted.until_ready()
    assert hosted.shown()["State"]["StartedAt"] == started


def test_a_stop_that_is_asked_for_while_the_engine_is_away(own: tuple[PrivateEngine, EngineStage]) -> None:
    engine, stage = own
    hosted = stage.up()
    engine.stop()
    hosted.until_phase(Phase.ENGINE_LOST)
    hosted.ask(Wish.STOP)
    engine.start()
    hosted.until_phase(Phase.STOPPED)
    assert not hosted.shown()["State"]["Running"]


def test_a_disk_that_is_full(models: Path, tmp_path: Path, triton_loop: LoopThread) -> None:
    registry = Registry((40 << 20,))
    try:
        with private_engine(disk_bytes=30 << 20) as engine:
            client = engine.client()
            stage = EngineStage(client, registry.image, models, tmp_path, triton_loop)
            stage.address = engine.address
            try:
                waiting = stage.hosted().open().until_phase(Phase.WAITING)
                assert "disk is too full" in waiting.explanation
                assert "docker system df" in waiting.advice
            finally:
                stage.clean()
                client.close()
    finally:
        registry.close()


def test_gpus_by_uuid_reach_the_container(
    engine_client: docker.DockerClient, triton_image: str, models: Path, tmp_path: Path, triton_loop: LoopThread
) -> None:
    uuid = "GPU-6f2c1f0e-0000-0000-0000-000000000001"
    with (
        private_engine(hook=HOOK) as engine,
        stage_on(engine, triton_image, engine_client, models, tmp_path, triton_loop) as stage,
    ):
        hosted = stage.up(stage.spec(gpus=(uuid,)))
        environ = Path(f"/proc/{hosted.shown()['State']['Pid']}/environ").read_bytes().split(b"\0")
        assert f"NVIDIA_VISIBLE_DEVICES={uuid}".encode() in environ


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
            "The NVIDIA driver of this host cannot be used",
        ),
        ("nvidia-container-cli: device error: 9: unknown device: unknown", "There is no such GPU"),
    ],
)
def test_a_gpu_that_the_driver_does_not_give(
    engine_client: docker.DockerClient,
    triton_image: str,
    models: Path,
    tmp_path: Path,
    triton_loop: LoopThread,
    said: str,
    sentence: str,
) -> None:
    hook = f"#!/bin/sh\necho '{said}' >&2\nexit 1\n"
    with (
        private_engine(hook=hook) as engine,
        stage_on(engine, triton_image, engine_client, models, tmp_path, triton_loop) as stage,
    ):
        hosted = stage.hosted(stage.spec(gpus=("9",))).open()
        assert hosted.until_phase(Phase.FAILED).explanation.startswith(sentence)
        hosted.until(lambda state: not state.husk and state.doing is None)
        assert stage.containers(hosted.container_name) == []


def failure_of(address: str, loop: LoopThread) -> EngineFailure:
    async def ask() -> None:
        engine = Engine(address, timeout_s=2.0)
        try:
            await engine.info()
        finally:
            engine.close()

    with pytest.raises(EngineFailure) as raised:
        loop.run(ask())
    return raised.value


def test_no_engine_at_all(tmp_path: Path, triton_loop: LoopThread) -> None:
    failure = failure_of(f"unix://{tmp_path}/none.sock", triton_loop)
    assert failure.kind is EndingKind.LOST
    assert "there is no Docker engine at" in failure.sentence
    assert "DOCKER_HOST" in failure.advice


def test_no_permission(own: tuple[PrivateEngine, EngineStage]) -> None:
    engine, _ = own
    engine.folder.chmod(0o755)
    engine.socket.chmod(0o660)
    open_client(engine.address).close()
    os.seteuid(65534)
    try:
        with pytest.raises(EngineFailure) as raised:
            check_listening(engine.address)
        with pytest.raises(EngineFailure) as also_raised:
            open_client(engine.address)
    finally:
        os.seteuid(0)
    for failure in (raised.value, also_raised.value):
        assert "may not use the Docker engine" in failure.sentence
        assert "group docker" in failure.advice


@pytest.mark.parametrize("address", ["ssh://gpu-box", "ssh://me@gpu-box:2222", "tcp://10.0.0.7:2375"])
def test_an_engine_on_another_machine_is_refused(address: str) -> None:
    with pytest.raises(RuntimeFailure, match=r"SSH|another machine"):
        engine_address({"DOCKER_HOST": address})


def test_a_private_engine_leaves_nothing() -> None:
    with private_engine() as engine:
        folder = engine.folder
    wait_until(lambda: not folder.exists(), "its folder is gone")
    assert str(folder) not in Path("/proc/mounts").read_text()
