"""Discovery: servers found by their command line and on the usual port, and what is said of the others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tritop import discovery
from tritop.discovery import discover, running_servers, server_at, target_of_command
from tritop.target import Target

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
HTTP_ANSWER = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A port on 127.0.0.1 that answers one connection.

    Nothing to answer leaves it silent for as long as the block lasts, an empty answer closes it.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(64)
            if answer is not None:
                connection.sendall(answer)
            if answer != b"":
                done.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
def proc(tmp_path: Path) -> Callable[..., Path]:
    """Make a process file system: `proc({pid: (network, arguments)})`; this process is in network `host`."""

    def make(processes: dict[int, tuple[str | None, list[str]]]) -> Path:
        named: dict[str, tuple[str | None, list[str]]] = {"self": ("host", ["tritop"])}
        named |= {str(pid): process for pid, process in processes.items()}
        for name, (network, arguments) in named.items():
            folder = tmp_path / name
            (folder / "ns").mkdir(parents=True)
            (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in arguments) + b"\0")
            if network is not None:
                (folder / "ns" / "net").symlink_to(network)
        (tmp_path / "meminfo").write_text("")
        (tmp_path / "77").mkdir()  # a process that ends while it is looked at has no files any more
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ([], Target("127.0.0.1", 8001, 8000, "http://127.0.0.1:8002/metrics")),
        (
            ["--grpc-port=9001", "--http-port", "9000", "--metrics-port=9002"],
            Target("127.0.0.1", 9001, 9000, "http://127.0.0.1:9002/metrics"),
        ),
        (["--allow-metrics=false"], Target("127.0.0.1", 8001, 8000, "")),
        (["--grpc-use-ssl=true"], Target("127.0.0.1", 8001, 8000, "http://127.0.0.1:8002/metrics", tls=True)),
        (
            ["--grpc-address=10.0.0.5", "--http-address=0.0.0.0"],
            Target("10.0.0.5", 8001, 8000, "http://127.0.0.1:8002/metrics"),
        ),
        (["--metrics-address=::1"], Target("127.0.0.1", 8001, 8000, "http://[::1]:8002/metrics")),
        (["--grpc-port=none", "--strict-readiness"], Target("127.0.0.1", 8001, 8000, "http://127.0.0.1:8002/metrics")),
        (["--allow-grpc=false"], None),
    ],
)
def test_where_a_server_listens_by_its_command_line(arguments: list[str], target: Target | None) -> None:
    assert target_of_command(arguments) == target


def test_processes_are_found_by_name_and_network(proc: Callable[..., Path]) -> None:
    folder = proc(
        {
            200: ("host", ["/opt/tritonserver/bin/tritonserver", "--grpc-port=9001"]),
            30: ("container", ["tritonserver"]),
            31: (None, ["tritonserver", "--grpc-port=9101"]),
            40: ("host", ["docker", "run", "image", "tritonserver"]),
            41: ("host", [""]),
        }
    )
    found = [(process.pid, process.target.grpc_port, process.same_network) for process in running_servers(folder)]
    assert found == [(30, 8001, False), (31, 9101, True), (200, 9001, True)]


def test_what_a_command_line_says_of_the_repository_and_the_control_mode(proc: Callable[..., Path]) -> None:
    folder = proc(
        {
            30: ("host", ["tritonserver", "--grpc-port=9001", "--model-repository", "models", "--model-store=/srv/m"]),
            31: ("host", ["tritonserver", "--grpc-port=9101", "--model-control-mode=POLL", "--model-store=s3://b/m"]),
            32: ("host", ["tritonserver", "--grpc-port=9201", "--model-repository=/models"]),
            33: ("container", ["tritonserver", "--grpc-port=9301", "--model-control-mode=explicit"]),
        }
    )
    for name, files in (("self", "own"), ("30", "own"), ("31", "own"), ("32", "other")):
        (folder / name / "ns").mkdir(exist_ok=True, parents=True)
        (folder / name / "ns" / "mnt").symlink_to(files)
        (folder / name / "cwd").symlink_to("/home/triton")
    found = {port: server_at(port, folder) for port in (9001, 9101, 9201, 9301)}
    modes = {port: one.control_mode for port, one in found.items() if one is not None}
    assert modes == {9001: "none", 9101: "poll", 9201: "none"}, "a port of another network is no port of this host"
    repositories = {port: one.repositories for port, one in found.items() if one is not None}
    assert repositories == {9001: ("/home/triton/models", "/srv/m"), 9101: (), 9201: ()}


def test_a_server_on_the_usual_port_is_found_by_asking(
    proc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(SETTINGS) as port:
        monkeypatch.setattr(discovery, "GRPC_PORT", port)
        found = discover(proc({}))
    assert [target.grpc_port for target in found.targets] == [port]


@pytest.mark.parametrize(
    ("answer", "said"), [(HTTP_ANSWER, "not gRPC"), (None, "does not answer as gRPC"), (b"", "not gRPC")]
)
def test_something_else_on_the_usual_port_is_no_server(
    proc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, answer: bytes | None, said: str
) -> None:
    with answering(answer) as port:
        monkeypatch.setattr(discovery, "GRPC_PORT", port)
        found = discover(proc({}))
    assert found.targets == ()
    assert any(said in sentence and str(port) in sentence for sentence in found.tried)


def test_what_was_tried_is_said_where_nothing_is_found(
    proc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(discovery, "GRPC_PORT", port)
    found = discover(proc({30: ("container", ["tritonserver"])}))
    assert found.targets == ()
    assert found.tried == (
        "tritonserver, process 30: its ports belong to another network, probably a container's",
        f"127.0.0.1:{port}: nobody listens",
    )


def test_no_process_file_system_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(discovery, "GRPC_PORT", port)
    assert discover(tmp_path / "absent").targets == ()
