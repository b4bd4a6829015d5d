"""A server with the small models of `control_models`, shared by the tests of one module, and terminals."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.control_models import write_control_models
from tests.e2e.control_stage import Stage
from tests.e2e.tmux_terminal import Open, TmuxTerminal
from tests.e2e.triton_calls import load
from tests.running_triton import LoopThread, RunningTriton
from tritop.runtimes.local import LocalServer
from tritop.runtimes.server_log import ServerLog

LIVE_TIMEOUT_S = 60.0
SHOWN_LINES = 30
LONG_FILES = (
    "test_trial_real",
    "test_container_lives",
    "test_terminal_edit",
    "test_up_and_down",
    "test_engine_faults",
    "test_undo_real",
    "test_terminal_outages",
    "test_control_operations",
    "test_drift_real",
    "test_control_edits",
    "test_control_cli",
    "test_local_runtime",
)
"""Those that take more than a minute on a busy machine, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first: begun last, one of them keeps a single process busy to the end."""
    items.sort(key=lambda item: LONG_FILES.index(item.path.stem) if item.path.stem in LONG_FILES else len(LONG_FILES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what its server said last, and whether it still runs."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, given in item.funcargs.items():
            server = given.triton if isinstance(given, Stage) else given
            if isinstance(server, RunningTriton):
                launch = server.server.launch()
                log = ServerLog(server.log_path).tail(SHOWN_LINES) if launch.log_path else ()
                report.sections.append((f"server of {name}: {launch.state} {launch.explanation}", "\n".join(log)))
    return report


@pytest.fixture(scope="module")
def stage(triton_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All small models are loaded; a test leaves READY what was READY."""
    folder = tmp_path_factory.mktemp("stage")
    repository = write_control_models(folder / "models")
    server = LocalServer(repository, log_path=folder / "tritonserver.log")
    try:
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live(LIVE_TIMEOUT_S))
        running = RunningTriton(server, repository, triton_loop)
        for model in ("echo", "twin", "counted", "stream", "whole"):
            triton_loop.run(load(running.endpoint, model))
        stage = Stage(running)
        yield stage
        triton_loop.run(stage.control.aclose())
        triton_loop.run(server.stop())
    finally:
        server.kill()


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens terminals, which end with the test."""
    opened: list[TmuxTerminal] = []

    def open_one(command: str, width: int, height: int) -> TmuxTerminal:
        opened.append(TmuxTerminal(tmp_path / f"tmux-{len(opened)}", command, width, height))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()
