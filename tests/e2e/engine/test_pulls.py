"""Pulling on a real engine from a registry on this host, well behaved and otherwise."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.engine.private_engine import private_engine
from tests.e2e.engine.registry import Registry
from tests.e2e.triton_calls import until
from tests.processes import wait_until
from tests.running_triton import LoopThread
from tritop.runtimes.docker import Engine, PullHandle
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.docker_pull import PullProgress
from tritop.runtimes.supervisor import Desired, EndingKind

pytestmark = pytest.mark.engine


@pytest.fixture
def registry(engine_client: docker.DockerClient) -> Iterator[Registry]:
    registry = Registry((3_000_000, 1_000_000))
    yield registry
    registry.close()
    try:
        engine_client.api.remove_image(registry.image, force=True)
    except ImageNotFound:
        return


class Pull:
    """One pull of a test and all that was told of it."""

    def __init__(self, loop: LoopThread) -> None:
        self.told: list[PullProgress] = []
        self.handle = PullHandle()
        self._loop = loop

    def run(self, image: str) -> None:
        async def pull() -> None:
            engine = Engine()
            try:
                await engine.pull(image, self.told.append, self.handle)
            finally:
                engine.close()

        self._loop.run(pull())

    def failure(self, image: str) -> EngineFailure:
        with pytest.raises(EngineFailure) as raised:
            self.run(image)
        return raised.value


@pytest.fixture
def pull(triton_loop: LoopThread) -> Pull:
    return Pull(triton_loop)


def test_progress_in_layers_and_bytes(registry: Registry, pull: Pull, engine_client: docker.DockerClient) -> None:
    registry.bytes_per_s = 2_000_000
    pull.run(registry.image)
    assert engine_client.images.get(registry.image).id
    under_way = [one for one in pull.told if one.bytes_per_s is not None]
    assert any(one.seconds_left is not None and one.seconds_left > 0 for one in under_way)
    counts = [one.done_bytes for one in pull.told]
    assert counts == sorted(counts), "bytes only grow"
    end = pull.told[-1]
    assert (end.layers_done, len(end.layers)) == (2, 2)
    assert end.done_bytes == end.total_bytes == sum(registry.layer_sizes)


def test_a_cancelled_pull_ends_the_download(registry: Registry, pull: Pull, triton_loop: LoopThread) -> None:
    registry.bytes_per_s = 200_000

    async def under_way() -> bool:
        return registry.open_downloads > 0

    async def pull_and_cancel() -> EngineFailure:
        engine = Engine()
        pulling = asyncio.create_task(engine.pull(registry.image, pull.told.append, pull.handle))
        await until(under_way)
        pull.handle.cancel()
        with pytest.raises(EngineFailure) as raised:
            await pulling
        engine.close()
        return raised.value

    failure = triton_loop.run(pull_and_cancel())
    assert failure.kind is EndingKind.CANCELLED
    wait_until(lambda: registry.open_downloads == 0, "nobody downloads any more")
    assert registry.sent_bytes < sum(registry.layer_sizes)


def test_a_download_that_is_cut_off_is_tried_again_by_the_engine(
    registry: Registry, pull: Pull, triton_loop: LoopThread
) -> None:
    registry.cut_after_bytes = 128 * 1024

    async def retries() -> bool:
        return any("Retrying" in layer.status for one in pull.told for layer in one.layers)

    async def pull_until_it_retries() -> None:
        engine = Engine()
        pulling = asyncio.create_task(engine.pull(registry.image, pull.told.append, pull.handle))
        await until(retries)
        pull.handle.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        engine.close()

    triton_loop.run(pull_until_it_retries())


def test_a_corrupt_layer_fails_in_the_middle_of_the_stream(registry: Registry, pull: Pull) -> None:
    registry.corrupt = True
    failure = pull.failure(registry.image)
    assert failure.kind is EndingKind.WORLD
    assert registry.image in failure.sentence
    assert "verification failed" in failure.sentence


def test_a_tag_that_is_not_there(registry: Registry, pull: Pull) -> None:
    failure = pull.failure(f"{registry.host}/test/image:other")
    assert failure.kind is EndingKind.PERMANENT
    assert "has no image" in failure.sentence


def test_a_registry_that_wants_other_credentials(
    registry: Registry, pull: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's own credentials are sent, and refused here."""
    registry.locked = "me:other"
    secret = base64.b64encode(b"me:hush").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": secret}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    failure = pull.failure(registry.image)
    assert failure.kind is EndingKind.PERMANENT
    assert f"docker login {registry.host}" in failure.advice
    assert f"Basic {secret}" in registry.credentials
    assert "hush" not in str(failure)


HELPER = """#!/bin/sh
# What docker login leaves to a keychain: the registry's name comes in, user and password go out.
read -r registry
echo "{\\"ServerURL\\": \\"$registry\\", \\"Username\\": \\"me\\", \\"Secret\\": \\"hush\\"}"
"""


@pytest.mark.parametrize("kept", ["auths", "credHelpers", "credsStore"])
def test_a_private_registry_lets_in_who_has_logged_in_with_docker(
    registry: Registry,
    pull: Pull,
    engine_client: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: str,
) -> None:
    registry.locked = "me:hush"
    helper = tmp_path / "docker-credential-here"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    secret = base64.b64encode(b"me:hush").decode()
    config = {
        "auths": {"auths": {registry.host: {"auth": secret}}},
        "credHelpers": {"credHelpers": {registry.host: "here"}},
        "credsStore": {"auths": {registry.host: {}}, "credsStore": "here"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config[kept]))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pull.run(registry.image)
    assert engine_client.images.get(registry.image).id


@pytest.mark.skipif(os.geteuid() != 0, reason="a private Docker engine needs root")
def test_a_download_that_is_cut_off_for_good(registry: Registry, triton_loop: LoopThread) -> None:
    """The engine tries five times, which takes it a minute; one that tries once says the same at once."""
    registry.bytes_per_s = 500_000

    async def under_way() -> bool:
        return registry.sent_bytes > 0

    async def pull_and_lose(address: str) -> EngineFailure:
        engine = Engine(address)
        pulling = asyncio.create_task(engine.pull(registry.image, lambda progress: None, PullHandle()))
        await until(under_way)
        registry.gone = True
        with pytest.raises(EngineFailure) as raised:
            await pulling
        engine.close()
        return raised.value

    with private_engine(options=("--max-download-attempts=1",)) as engine:
        failure = triton_loop.run(pull_and_lose(engine.address))
    assert failure.kind is EndingKind.WORLD
    assert failure.sentence.startswith(f"the image {registry.image} could not be pulled")
    assert "EOF" in failure.sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_tritop_that_ends_while_it_pulls_leaves_no_download_and_nothing_else(
    registry: Registry, stage: EngineStage, number: signal.Signals
) -> None:
    registry.bytes_per_s = 200_000
    name = f"{stage.prefix}-p"
    process = stage.tritop("up", str(stage.models), "--name", name, "--image", registry.image, "--detach")
    wait_until(lambda: registry.open_downloads > 0, "it downloads")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (128 + number, -number), err
    assert "Traceback" not in err
    wait_until(lambda: registry.open_downloads == 0, "nobody downloads any more")
    assert stage.containers(f"tritop-{name}") == []


def test_up_tells_how_far_a_pull_is_and_says_what_is_wrong_with_the_image(
    registry: Registry, stage: EngineStage
) -> None:
    """The image has no Triton in it."""
    registry.bytes_per_s = 2_000_000
    name = f"{stage.prefix}-p"
    code, out, err = stage.answer("up", str(stage.models), "--name", name, "--image", registry.image, "--detach")
    assert (code, out) == (1, "")
    assert re.search(rf"{name}: PULLING pulling layer \d of 2, .* of .*", err), err
    assert "no tritonserver in this image.\n  Take an image with Triton in it" in err
    (kept,) = stage.containers(f"tritop-{name}")
    assert kept["State"] == "exited", "it ran, so that it is kept with its log"


def test_up_with_a_registry_that_cannot_be_reached_leaves_nothing(stage: EngineStage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        image = f"127.0.0.1:{probe.getsockname()[1]}/nvidia/tritonserver:26.01-py3"
    name = f"{stage.prefix}-p"
    code, out, err = stage.answer("up", str(stage.models), "--name", name, "--image", image, "--detach")
    assert (code, out) == (1, "")
    assert f"The image {image} could not be pulled, because its registry cannot be reached" in err
    assert "docker load" in err
    assert stage.containers(f"tritop-{name}") == []
    wanted = stage.desk.load(name)
    assert wanted is not None
    assert wanted.desired is Desired.STOP, "and nobody tries again behind the operator's back"


def test_a_registry_where_nobody_listens(pull: Pull) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    failure = pull.failure(f"127.0.0.1:{port}/test/image:ok")
    assert failure.kind is EndingKind.WORLD
    assert "registry cannot be reached" in failure.sentence
