"""The embedded Triton as a child process: how it comes up, how it ends, and that nothing is left."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.triton_calls import call, config_of, load
from tests.processes import LIMIT_S, descendants, is_running, parent_of, wait_until
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tritop.demo.repository import write_repository
from tritop.errors import RuntimeFailure
from tritop.protocol import service_pb2
from tritop.runtimes.local import LaunchState, LocalServer
from tritop.runtimes.ports import free_ports, listening_ports
from tritop.server_spec import HOST, Ports

pytestmark = pytest.mark.triton


class Traces:
    """All that a running server keeps on the machine."""

    def __init__(self, pid: int) -> None:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        (backends,) = (each.partition("=")[2] for each in arguments if each.startswith("--backend-directory="))
        (prefix,) = (each.rpartition("=")[2] for each in arguments if "shm-region-prefix-name=" in each)
        self.folder = Path(backends).parent
        self.shm_prefix = prefix
        self.pids = [parent_of(pid), pid, *descendants(pid)]

    def shared_memory(self) -> list[str]:
        return [name for name in os.listdir("/dev/shm") if name.startswith(self.shm_prefix)]

    def left(self) -> list[str]:
        """What is still there."""
        processes = [f"process {pid}" for pid in self.pids if is_running(pid)]
        return processes + self.shared_memory() + ([str(self.folder)] if self.folder.exists() else [])


@pytest.fixture
def tiny_triton(make_triton_server: TritonFactory) -> RunningTriton:
    """A server of its own with only `tiny` loaded, which has one Python-backend stub."""
    running = make_triton_server(load=False)
    running.run(load(running.endpoint, "tiny"))
    return running


def test_a_ready_server_tells_about_itself(tiny_triton: RunningTriton) -> None:
    launch = tiny_triton.server.launch()
    assert launch.state == LaunchState.READY
    assert launch.pid == tiny_triton.pid
    assert launch.exit_code is None
    assert launch.restarts == 0
    assert launch.command.startswith("env PATH=")
    assert "--model-control-mode=explicit" in launch.command
    assert launch.log_path == str(tiny_triton.log_path)
    assert any("successfully loaded 'tiny'" in line for line in launch.log_tail)
    endpoint = tiny_triton.endpoint
    metadata = tiny_triton.run(call(endpoint, "ServerMetadata", service_pb2.ServerMetadataRequest()))
    assert metadata.version == "2.51.0"
    assert endpoint.metrics_url.startswith(f"http://{HOST}:")
    assert {endpoint.grpc_port, endpoint.http_port} < listening_ports(tiny_triton.pid)


def test_stop_is_graceful_and_leaves_nothing_but_the_log(tiny_triton: RunningTriton) -> None:
    traces = Traces(tiny_triton.pid)
    assert len(traces.pids) == 3, "guardian, tritonserver and one stub"
    assert traces.shared_memory()
    tiny_triton.stop()
    assert traces.left() == []
    launch = tiny_triton.server.launch()
    assert (launch.state, launch.exit_code, launch.explanation) == (LaunchState.STOPPED, 0, "It was stopped.")
    assert launch.pid is None
    assert launch.log_tail
    assert tiny_triton.log_path.exists()


def test_no_bytecode_is_written_so_that_an_instance_can_be_added_in_place(tiny_triton: RunningTriton) -> None:
    assert not list(tiny_triton.repository.rglob("__pycache__"))
    endpoint = tiny_triton.endpoint
    first_stubs = set(descendants(tiny_triton.pid))
    config = tiny_triton.run(config_of(endpoint, "tiny"))
    config.instance_group[0].count = 2
    tiny_triton.run(load(endpoint, "tiny", config))
    assert first_stubs < set(descendants(tiny_triton.pid)), "a full reload would have replaced the first stub"


def test_an_idle_http_connection_cannot_hold_up_the_end_beyond_the_grace(tiny_triton: RunningTriton) -> None:
    traces = Traces(tiny_triton.pid)
    connection = http.client.HTTPConnection(HOST, tiny_triton.endpoint.http_port, timeout=10)
    try:
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().read() == b""
        tiny_triton.run(tiny_triton.server.stop(grace_s=0.2))
    finally:
        connection.close()
    assert traces.left() == []
    launch = tiny_triton.server.launch()
    assert launch.state == LaunchState.STOPPED
    assert launch.exit_code == -signal.SIGKILL
    assert "killed" in launch.explanation


def test_kill_from_a_foreign_thread_leaves_nothing(tiny_triton: RunningTriton) -> None:
    traces = Traces(tiny_triton.pid)
    tiny_triton.server.kill()
    assert traces.left() == []
    assert tiny_triton.server.launch().state == LaunchState.STOPPED


def test_a_crash_is_explained_and_a_new_start_is_another_server(tiny_triton: RunningTriton) -> None:
    server = tiny_triton.server
    traces = Traces(tiny_triton.pid)
    os.kill(tiny_triton.pid, signal.SIGKILL)
    wait_until(lambda: server.launch().state == LaunchState.CRASHED, "the crash is noticed")
    launch = server.launch()
    assert launch.exit_code == -signal.SIGKILL
    assert "SIGKILL" in launch.explanation
    assert launch.pid is None
    assert not [pid for pid in traces.pids[1:] if is_running(pid)], "stubs outlived their server"
    assert traces.shared_memory() == []
    with pytest.raises(RuntimeFailure, match="crashed"):
        tiny_triton.run(server.wait_live())
    tiny_triton.run(server.start())
    tiny_triton.run(server.wait_live(LIMIT_S))
    assert traces.left() == []
    assert server.launch().restarts == 1
    with pytest.raises(RuntimeFailure, match="runs already"):
        tiny_triton.run(server.start())


def test_the_end_of_its_guardian_is_a_crash_too(tiny_triton: RunningTriton) -> None:
    traces = Traces(tiny_triton.pid)
    os.kill(traces.pids[0], signal.SIGKILL)
    wait_until(lambda: tiny_triton.server.launch().state == LaunchState.CRASHED, "the crash is noticed")
    assert "guardian" in tiny_triton.server.launch().explanation
    tiny_triton.stop()
    wait_until(lambda: traces.left() == [], "stubs are gone")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize("service", ["http", "grpc", "metrics"])
def test_a_taken_port_is_noticed_and_others_are_tried(
    make_triton_server: TritonFactory, taken_port: int, service: str
) -> None:
    offers: list[Ports] = []

    def pick() -> Ports:
        free = free_ports()
        ports = {"http": free.http, "grpc": free.grpc, "metrics": free.metrics}
        if not offers:
            ports[service] = taken_port
        offers.append(Ports(**ports))
        return offers[-1]

    running = make_triton_server(load=False, pick_ports=pick)
    assert len(offers) == 2
    assert running.endpoint.grpc_port == offers[1].grpc
    assert running.server.launch().state == LaunchState.READY
    assert set(vars_of(offers[1])) <= listening_ports(running.pid)


def vars_of(ports: Ports) -> tuple[int, int, int]:
    return ports.http, ports.grpc, ports.metrics


def test_ports_that_stay_taken_are_a_failure_that_names_one(
    triton_loop: LoopThread, tmp_path: Path, taken_port: int
) -> None:
    free = free_ports()
    server = LocalServer(tmp_path, pick_ports=lambda: Ports(taken_port, free.grpc, free.metrics))
    try:
        triton_loop.run(server.start())
        with pytest.raises(RuntimeFailure, match=f"{taken_port} is already in use"):
            triton_loop.run(server.wait_live(LIMIT_S))
        assert server.launch().state == LaunchState.FAILED
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--no-such-flag", "unrecognized option '--no-such-flag'"),
        ("--metrics-config=nonsense", 'Bad option: "--metrics-config"'),
        ("--grpc-use-ssl=1", "Unable to create secure server"),
        ("--cache-config=local,size=nonsense", "could not initialise: .*LocalCache"),
    ],
)
def test_a_wrong_flag_is_a_failure_with_the_servers_words(
    triton_loop: LoopThread, tmp_path: Path, argument: str, words: str
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    server = LocalServer(repository, arguments=(argument,), log_path=tmp_path / "log")
    try:
        triton_loop.run(server.start())
        with pytest.raises(RuntimeFailure, match=words):
            triton_loop.run(server.wait_live(LIMIT_S))
        assert server.launch().state == LaunchState.FAILED
        wait_until(lambda: server.launch().exit_code is not None, "its process is gone")
    finally:
        server.kill()


def test_a_repository_that_is_not_there_is_refused_before_anything_starts(
    triton_loop: LoopThread, tmp_path: Path
) -> None:
    server = LocalServer(tmp_path / "nowhere")
    with pytest.raises(RuntimeFailure, match="nowhere is not a folder"):
        triton_loop.run(server.start())
    assert server.launch().state == LaunchState.STOPPED


def test_stop_while_it_starts(triton_loop: LoopThread, tmp_path: Path) -> None:
    demo = write_repository(tmp_path / "models")
    server = LocalServer(demo.folder, remove_at_end=(demo.folder,))
    try:
        triton_loop.run(server.start())
        assert server.pid is not None
        traces = Traces(server.pid)
        triton_loop.run(server.stop())
        assert traces.left() == []
        assert server.launch().state == LaunchState.STOPPED
        assert not demo.folder.exists()
    finally:
        server.kill()


def test_switched_off_services_are_not_waited_for(make_triton_server: TritonFactory) -> None:
    running = make_triton_server("--allow-metrics=false", "--allow-http=0", load=False)
    assert running.endpoint.metrics_url == ""
    assert listening_ports(running.pid) == {running.endpoint.grpc_port}


def test_restricted_health_is_asked_for_with_its_header(make_triton_server: TritonFactory) -> None:
    running = make_triton_server(
        "--grpc-restricted-protocol=health:health-key=secret",
        load=False,
        headers=(("triton-grpc-protocol-health-key", "secret"),),
    )
    assert running.server.launch().state == LaunchState.READY
    assert "secret" not in repr(running.endpoint)


def test_two_servers_do_not_meet(make_triton_server: TritonFactory) -> None:
    first, second = make_triton_server(load=False), make_triton_server(load=False)
    for running in (first, second):
        running.run(load(running.endpoint, "tiny"))
    traces = Traces(first.pid), Traces(second.pid)
    assert traces[0].shm_prefix != traces[1].shm_prefix
    assert traces[0].folder != traces[1].folder
    first.stop()
    assert traces[0].left() == []
    assert len(traces[1].shared_memory()) == 1
    ready = second.run(call(second.endpoint, "ModelReady", service_pb2.ModelReadyRequest(name="tiny")))
    assert ready.ready


def test_the_log_is_bounded_while_the_server_talks(make_triton_server: TritonFactory) -> None:
    running = make_triton_server("--log-verbose=3", load=False, log_bytes=1 << 16)
    previous = Path(f"{running.log_path}.1")
    endpoint = running.endpoint

    def talk() -> bool:
        running.run(call(endpoint, "RepositoryIndex", service_pb2.RepositoryIndexRequest()))
        return previous.exists()

    wait_until(talk, "the log was turned over")
    assert running.log_path.stat().st_size <= 1 << 16
    assert previous.stat().st_size <= 1 << 16


PARENT = """
import asyncio, sys
from pathlib import Path
from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.runtimes.local import LocalServer

async def main():
    demo = write_repository(Path(sys.argv[1]))
    server = LocalServer(demo.folder, remove_at_end=(demo.folder,))
    await server.start()
    await server.wait_live()
    await load_models(server.endpoint, DemoRepository(demo.folder, ("tiny", "pair")), lambda *_: None)
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_orphan_when_the_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    repository = tmp_path / "models"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(repository)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            traces = Traces(int(parent.stdout.readline()))
            assert len(traces.pids) == 5, "guardian, tritonserver and three stubs"
            assert len(traces.shared_memory()) == 3
            parent.send_signal(number)
            parent.wait(LIMIT_S)
            wait_until(lambda: traces.left() == [], "everything is gone")
            wait_until(lambda: not repository.exists(), "the repository is gone")
        finally:
            parent.kill()
