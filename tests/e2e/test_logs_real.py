"""The log of a real Triton: both formats, a model that fails, a crash, and the run after it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tritop.demo.repository import write_repository
from tritop.endpoint import Endpoint
from tritop.live.logs import LogDesk
from tritop.logs import LogLevel, LogLine
from tritop.model import Launch
from tritop.operation import Operation, Wish
from tritop.runtimes.local import LaunchState, LocalServer
from tritop.runtimes.log_find import find_logs

pytestmark = pytest.mark.triton


class Seen:
    """Every line that a follower got."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[LogLine] = []

    def __call__(self, lines: Sequence[LogLine]) -> None:
        with self._lock:
            self._lines += lines

    def lines(self) -> list[LogLine]:
        with self._lock:
            return list(self._lines)

    def wait_for(self, text: str, run: int = 1) -> LogLine:
        """The first line of a run that holds a text, as soon as it came."""

        def found() -> list[LogLine]:
            return [line for line in self.lines() if text in line.text and line.run == run]

        wait_until(lambda: bool(found()), f"a line with {text!r} in run {run}")
        return found()[0]


@contextmanager
def following(server: LocalServer) -> Iterator[Seen]:
    desk, seen = LogDesk((), (_Hosted(server),)), Seen()
    try:
        desk.follow("demo", seen)
        yield seen
    finally:
        desk.close()


class _Hosted:
    """A server that runs, as a session has it."""

    name = "demo"

    def __init__(self, server: LocalServer) -> None:
        self._server = server

    def launch(self) -> Launch:
        return self._server.launch()

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        return self._server.endpoint

    @property
    def endpoint(self) -> Endpoint:
        return self._server.endpoint

    def ask(self, wish: Wish) -> None:
        raise AssertionError(f"nobody asks for {wish} here")

    async def stop(self) -> None:
        await self._server.stop()


@pytest.mark.parametrize("arguments", [(), ("--log-format=ISO8601", "--log-verbose=1")])
def test_what_triton_writes_is_understood(make_triton_server: TritonFactory, arguments: tuple[str, ...]) -> None:
    running = make_triton_server(*arguments)
    with following(running.server) as seen:
        failed = seen.wait_for("failed to load 'broken' version 1")
        loaded = seen.wait_for("successfully loaded 'matrix'")
        lines = seen.lines()
    assert (failed.level, failed.model, failed.pid) == (LogLevel.ERROR, "broken", running.pid)
    assert any("model.py" in line.text for line in lines if line.entry == failed.entry and not line.head)
    assert (loaded.level, loaded.model) == (LogLevel.INFO, "matrix")
    assert loaded.at is not None
    assert abs(loaded.at - os.stat(running.log_path).st_mtime) < 600, "the time is UTC, with the right year"
    unread = [
        line.text for line in lines if line.head and not line.place and line.text.startswith(("I", "W", "E", "2"))
    ]
    assert all(text.startswith("Error: ") for text in unread), "every prefix was taken apart"


def test_the_log_stays_over_a_crash_and_a_restart(tmp_path: Path, triton_loop: LoopThread) -> None:
    demo = write_repository(tmp_path / "models")
    server = LocalServer(demo.folder)
    try:
        triton_loop.run(server.start())
        triton_loop.run(server.wait_live(60.0))
        with following(server) as seen:
            seen.wait_for("Started GRPCInferenceService")
            first_log = server.log_path
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: server.launch().state == LaunchState.CRASHED, "the crash is known")
            triton_loop.run(server.start())
            again = seen.wait_for("Started GRPCInferenceService", run=2)
            assert first_log is not None
            assert not first_log.exists(), "its folder went with the first run, or this shows nothing"
            assert again.pid != pid
            runs = [line.run for line in seen.lines()]
            assert runs == sorted(runs)
            marks = [line.text for line in seen.lines() if line.note]
            assert marks == ["the server was started again: run 2"]
        triton_loop.run(server.stop())
    finally:
        server.kill()


def test_the_log_of_an_embedded_server_is_found_from_another_process(make_triton_server: TritonFactory) -> None:
    running: RunningTriton = make_triton_server(load=False)
    (found,) = [log for log in find_logs() if log.pid == running.pid]
    assert (found.path, found.grpc_port) == (running.log_path, running.endpoint.grpc_port)
