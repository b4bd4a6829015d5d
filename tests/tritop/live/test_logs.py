"""Logs of a session's servers: hosted ones, those of other processes on this host, and those out of reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.tritop.live.fakes import FakeHosted
from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.live.logs import LogDesk
from tritop.logs import LogChunk, LogLine, LogSource
from tritop.model import Launch
from tritop.runtimes.log_find import FoundLog, find_logs


class FakeLoggingHosted(FakeHosted):
    """A hosted server that writes to a file."""

    def __init__(self, path: Path) -> None:
        super().__init__("mine")
        self._path = path

    def launch(self) -> Launch:
        return Launch(runtime="local", state="READY", log_path=str(self._path))


class FakeContainer(FakeHosted):
    """A hosted server whose engine has the log."""

    def __init__(self) -> None:
        super().__init__("contained")
        self.closed = False

    def log_source(self) -> LogSource:
        return self

    def log_since(self, at: float) -> Iterator[LogChunk]:
        yield LogChunk((b"since then",), times=(at,))

    def follow(self, deliver: Callable[[LogChunk], None]) -> Callable[[], None]:
        deliver(LogChunk((b'I1123 01:00:10.8 1 server.cc:1] "from the engine"',), times=(5.0,)))
        return lambda: None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def make_desk() -> Iterator[Callable[..., LogDesk]]:
    desks: list[LogDesk] = []

    def make(endpoints: tuple[Endpoint, ...] = (), hosted: tuple[FakeHosted, ...] = ()) -> LogDesk:
        desks.append(LogDesk(endpoints, hosted, clock=lambda: 1_795_395_631.0))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()


def only_line(desk: LogDesk, server: str) -> LogLine:
    lines: list[LogLine] = []
    desk.follow(server, lines.extend)
    wait_until(lambda: len(lines) == 1, f"the one line of {server}")
    return lines[0]


def test_a_hosted_server_is_followed_by_its_file(make_desk: Callable[..., LogDesk], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('E1123 01:00:10.8 1 server.cc:1] "it failed"\n')
    assert only_line(make_desk(hosted=(FakeLoggingHosted(path),)), "mine").text == "it failed"


def test_a_container_brings_its_own_source_and_it_is_closed(make_desk: Callable[..., LogDesk]) -> None:
    container = FakeContainer()
    desk = make_desk(hosted=(container,))
    line = only_line(desk, "contained")
    assert (line.text, line.at) == ("from the engine", 5.0)
    desk.close()
    assert container.closed


def test_what_was_written_since_a_time_is_read_anew(make_desk: Callable[..., LogDesk], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\n")
    desk = make_desk((Endpoint("far", "gpu-box"),), (FakeContainer(), FakeLoggingHosted(path)))
    assert [chunk.times for chunk in desk.since("contained", 7.0)] == [(7.0,)]
    assert [chunk.lines for chunk in desk.since("mine", 0.0)] == [(b"one",)]
    path.write_text("one\ntwo\n")
    assert [chunk.lines for chunk in desk.since("mine", 0.0)] == [(b"one", b"two")]
    with pytest.raises(RuntimeFailure, match="far runs on gpu-box"):
        desk.since("far", 0.0)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("far", "far runs on gpu-box: its log cannot be read from here"),
        ("near", "no process of this host was found that serves 127.0.0.1:1"),
        ("nobody", "there is no server named nobody"),
    ],
)
def test_where_there_is_no_log_a_note_says_why(make_desk: Callable[..., LogDesk], server: str, said: str) -> None:
    desk = make_desk((Endpoint("far", "gpu-box"), Endpoint("near", "127.0.0.1", grpc_port=1)))
    line = only_line(desk, server)
    assert (line.text, line.note) == (said, True)


def test_a_closed_desk_says_so(make_desk: Callable[..., LogDesk]) -> None:
    desk = make_desk()
    desk.close()
    assert only_line(desk, "mine").text == "the session has ended"


class StandIn:
    """A process that looks like a tritonserver from outside: its name, its arguments, where its output goes."""

    def __init__(self, output: int) -> None:
        command = ["tritonserver", "-c", "print('said', flush=True); input()", "--grpc-port=45601"]
        self.process = subprocess.Popen(
            command, executable=sys.executable, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "server.log"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    stand_in = StandIn(descriptor)
    os.close(descriptor)
    try:
        wait_until(lambda: path.read_text() == "said\n", "the process has begun")
        yield path
    finally:
        stand_in.end()


def test_a_server_of_somebody_else_is_found_by_its_port(make_desk: Callable[..., LogDesk], log_file: Path) -> None:
    desk = make_desk((Endpoint("other", "127.0.0.1", grpc_port=45601),))
    assert only_line(desk, "other").text == "said"


def test_output_into_a_pipe_is_told() -> None:
    stand_in = StandIn(subprocess.PIPE)

    def found() -> list[FoundLog]:
        return [log for log in find_logs() if log.pid == stand_in.process.pid]

    try:
        wait_until(lambda: bool(found()), "the process has its name")
        (log,) = found()
    finally:
        assert stand_in.process.stdout is not None
        stand_in.process.stdout.close()
        stand_in.end()
    assert (log.path, log.grpc_port) == (None, 45601)
    assert "does not write to a file" in log.reason


def test_a_container_is_recognised_by_its_cgroup(tmp_path: Path) -> None:
    process = tmp_path / "77"
    process.mkdir()
    (process / "cmdline").write_bytes(b"/opt/tritonserver/bin/tritonserver\0--model-repository=/models\0")
    (process / "cgroup").write_text(f"0::/system.slice/docker-{'a1' * 32}.scope\n")
    (log,) = find_logs(tmp_path)
    assert (log.container, log.path) == ("a1" * 32, None)
