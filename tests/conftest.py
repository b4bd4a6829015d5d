"""Fixtures that start a real Triton: one for the whole session, and a factory for own ones."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.dispositions import give_default_dispositions
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tests.timeouts import Timeouts
from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.errors import RuntimeFailure
from tritop.runtimes.embedded import find_embedded_triton
from tritop.runtimes.local import LocalServer

LIVE_TIMEOUT_S = 60.0

# The default deadline of 200 ms an example would let a busy machine decide a test.
settings.register_profile("tritop", deadline=None)
# Where everything must pass the examples are the same every time: what decides is the change, not chance.
settings.register_profile("everything", deadline=None, derandomize=True)
settings.load_profile("everything" if os.environ.get("TRITOP_TEST_ALL") == "1" else "tritop")


def pytest_configure(config: pytest.Config) -> None:
    give_default_dispositions()
    config.pluginmanager.register(Timeouts())


def pytest_collection_finish() -> None:
    """Leave what importing made out of every later collection of garbage: a third of the time of the App's tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that need the embedded Triton where it cannot run, unless everything must."""
    if os.environ.get("TRITOP_TEST_ALL") == "1":
        return
    try:
        find_embedded_triton()
    except RuntimeFailure as failure:
        skip = pytest.mark.skip(reason=f"no embedded Triton: {failure}")
        for item in items:
            if item.get_closest_marker("triton"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def triton_loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


def _load_demo(running: RunningTriton, demo: DemoRepository) -> None:
    failures = running.run(load_models(running.endpoint, demo, lambda done, total, model: None))
    unexpected = {model: text for model, text in failures.items() if model not in demo.expected_to_fail}
    assert not unexpected, f"models of the demo did not load: {unexpected}"


@pytest.fixture(scope="session")
def triton_server(triton_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """A live Triton with all models of the demo loaded, shared by the session: leave it as it is."""
    folder = tmp_path_factory.mktemp("triton")
    demo = write_repository(folder / "models")
    server = LocalServer(demo.folder, log_path=folder / "tritonserver.log")
    try:
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live(LIVE_TIMEOUT_S))
        running = RunningTriton(server, demo.folder, triton_loop)
        _load_demo(running, demo)
        yield running
        triton_loop.run(server.stop())
    finally:
        server.kill()


@pytest.fixture
def make_triton_server(triton_loop: LoopThread, tmp_path: Path) -> Iterator[TritonFactory]:
    """Start own servers: `make(*arguments, repository=None, load=True, **of_LocalServer)`.

    Without a repository the server gets the demo's, with its models loaded unless `load` is false.
    Every server is stopped at the end, also after a failure.
    """
    servers: list[LocalServer] = []

    def make(*arguments: str, repository: Path | None = None, load: bool = True, **options: Any) -> RunningTriton:
        folder = tmp_path / f"triton-{len(servers)}"
        folder.mkdir()
        demo = write_repository(folder / "models") if repository is None else None
        chosen = repository if repository is not None else folder / "models"
        server = LocalServer(chosen, arguments=arguments, log_path=folder / "tritonserver.log", **options)
        servers.append(server)
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live(LIVE_TIMEOUT_S))
        running = RunningTriton(server, chosen, triton_loop)
        if demo is not None and load:
            _load_demo(running, demo)
        return running

    try:
        yield make
        for server in servers:
            triton_loop.run(server.stop())
    finally:
        for server in servers:
            server.kill()
