"""An engine that is away, restarted, frozen, full, forbidden or no Docker at all: nothing is decided without it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.engine.engine_stage import EngineStage, stage_on
from tests.e2e.engine.private_engine import PrivateEngine, private_engine
from tests.e2e.engine.registry import Registry
from tests.e2e.engine.test_servers_live import FOREIGN, PORTS, watching
from tests.e2e.triton_calls import infer_tiny
from tests.processes import wait_until
from tests.running_triton import LoopThread
from tritop.errors import RuntimeFailure, TimedOut
from tritop.model import Source
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_client import check_listening, engine_address, open_client
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.supervisor import Desired, EndingKind, Phase, Wish

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private Docker engine needs root"),
]


@pytest.fixture(scope="module")
def own_engine(triton_image: str, engine_client: docker.DockerClient) -> Iterator[PrivateEngine]:
    with private_engine() as engine:
        engine.take_image(triton_image, engine_client)
        yield engine


@pytest.fixture
def own(
    own_engine: PrivateEngine, triton_image: str, models: Path, tmp_path: Path, triton_loop: LoopThread
) -> Iterator[tuple[PrivateEngine, EngineStage]]:
    """An engine of this file's own, running before and after each test."""
    with stage_on(own_engine, triton_image, models, tmp_path, triton_loop) as stage:
        try:
            yield own_engine, stage
        finally:
            if not own_engine.running:
                own_engine.start()


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
    stage.engine_timeout_s = 2.0
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


def test_what_is_shown_of_containers_while_the_engine_hangs_is_the_last_with_its_age(
    own: tuple[PrivateEngine, EngineStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, stage = own
    container = stage.other(f"{stage.prefix}-seen", FOREIGN, ports=PORTS, init=True)
    container.start()
    with watching(stage, monkeypatch) as watch:
        name = container.name
        before = watch.until(name, lambda one: one.container is not None, "it is found").container

        def source() -> Source:
            assert watch.newest is not None
            assert watch.newest.engine is not None
            return watch.newest.engine

        engine.send(signal.SIGSTOP)
        try:
            wait_until(lambda: source().fault is not None, "the engine's fault is told")
            first = source()
            assert first.fault is not None
            assert first.fault.title == TimedOut.title
            assert "does not answer" in first.fault.sentence
            assert first.age_s is not None
            wait_until(lambda: (source().age_s or 0.0) > (first.age_s or 0.0) + 1.0, "the age grows")
            shown = watch.server(name)
            assert shown is not None, "a server is not dropped because the engine says nothing"
            assert shown.container is not None
            assert before is not None
            assert (shown.container.id, shown.container.status) == (before.id, "running")
        finally:
            engine.send(signal.SIGCONT)
        wait_until(lambda: source().fault is None, "it is read again")
        shown = watch.server(name)
        assert shown is not None
        assert shown.container is not None
        assert shown.container.started_at == before.started_at


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
