"""A real Docker engine with a real Triton image on it; skipped by name where there is no engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.e2e.engine.engine_stage import EngineStage
from tests.running_triton import LoopThread
from tests.triton_image import provide_image
from tritop.demo.repository import write_repository


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need an engine where there is none, unless everything must run."""
    marked = [item for item in items if item.get_closest_marker("engine")]
    if not marked or os.environ.get("TRITOP_TEST_ALL") == "1":
        return
    try:
        docker.from_env(timeout=10).close()
    except DockerException as error:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"no Docker engine: {error}"))


@pytest.fixture(scope="session")
def engine_client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="session")
def triton_image(engine_client: docker.DockerClient) -> str:
    return provide_image(engine_client)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with `tiny` and `pair`, which load in about a second."""
    folder = tmp_path / "models"
    write_repository(folder)
    for model in ("matrix", "pipeline", "broken"):
        shutil.rmtree(folder / model)
    return folder


@pytest.fixture
def stage(
    engine_client: docker.DockerClient, triton_image: str, models: Path, tmp_path: Path, triton_loop: LoopThread
) -> Iterator[EngineStage]:
    stage = EngineStage(engine_client, triton_image, models, tmp_path, triton_loop)
    try:
        yield stage
    finally:
        stage.clean()
