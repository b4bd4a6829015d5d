"""What /proc says of processes that really run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors import host_processes
from collectors.host_processes import HostProcesses, listening_ports

CONTAINER = "0123456789abcdef" * 4
TRITON = """
import ctypes, socket, subprocess, sys
ctypes.CDLL(None).prctl(15, b"tritonserver")
listener = socket.create_server(("127.0.0.1", 0))
stub = subprocess.Popen(["sleep", "3600"])
print(listener.getsockname()[1], stub.pid, flush=True)
sys.stdin.read()
stub.kill()
stub.wait()
"""
"""Calls itself tritonserver (PR_SET_NAME), listens, and has a child as the Python backend has."""


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.communicate()


def test_the_ports_of_a_server_are_those_of_its_stubs_too() -> None:
    with running(sys.executable, "-c", TRITON) as triton:
        assert triton.stdout is not None
        port, stub = map(int, triton.stdout.readline().split())
        processes = HostProcesses()
        server, child = processes.look_up(triton.pid, 0.0), processes.look_up(stub, 0.0)
        assert server is not None
        assert child is not None
        assert (server["name"], child["name"]) == ("tritonserver", "sleep")
        assert server["ports"] == child["ports"] == (port,)
        ancestors = child["ancestors"]
        assert isinstance(ancestors, tuple)
        assert ancestors[:2] == (triton.pid, os.getpid())


def test_a_neighbour_has_no_ports_even_where_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.getsockname()[1] in listening_ports(os.getpid())
        me = HostProcesses().look_up(os.getpid(), 0.0)
    assert me is not None
    assert me["ports"] == ()


def test_a_port_that_opens_later_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[int, ...]] = [(), (8001,)]
    asked: list[int] = []

    def ports(pid: int) -> tuple[int, ...]:
        asked.append(pid)
        return opened.pop(0)

    monkeypatch.setattr(host_processes, "listening_ports", ports)
    with running(sys.executable, "-c", TRITON) as triton:
        assert triton.stdout is not None
        triton.stdout.readline()
        processes = HostProcesses()
        seen = [processes.look_up(triton.pid, now_s) for now_s in (0.0, 1.0, 5.0, 99.0)]
    assert [one["ports"] if one is not None else None for one in seen] == [(), (), (8001,), (8001,)]
    assert len(asked) == 2


def test_a_name_that_the_kernel_cuts_is_completed(tmp_path: Path) -> None:
    program = tmp_path / "triton_python_backend_stub"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    process = subprocess.Popen([program, "3600"])
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            assert process.poll() is None
        found = HostProcesses().look_up(process.pid, 0.0)
    finally:
        process.kill()
        process.wait()
    assert found is not None
    assert found["name"] == program.name
    assert HostProcesses().look_up(process.pid, 0.0) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"12:memory:/docker/{CONTAINER}", CONTAINER),
        (f"0::/system.slice/docker-{CONTAINER}.scope", CONTAINER),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{CONTAINER}.scope/container", CONTAINER),
        (f"0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{CONTAINER}.scope", CONTAINER),
        ("0::/user.slice/user-1000.slice/session-4.scope", None),
        (f"0::/system.slice/{CONTAINER}f.service", None),
    ],
)
def test_the_container_in_a_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str | None
) -> None:
    folder = tmp_path / "77"
    folder.mkdir()
    (folder / "stat").write_text("77 (a (b) c) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0")
    (folder / "comm").write_text("a (b) c\n")
    (folder / "cgroup").write_text(line + "\n")
    monkeypatch.setattr(host_processes, "_PROC", tmp_path)
    found = HostProcesses().look_up(77, 0.0)
    assert found is not None
    assert (found["container"], found["name"], found["ancestors"]) == (expected, "a (b) c", ())


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "77"
    folder.mkdir()
    monkeypatch.setattr(host_processes, "_PROC", tmp_path)
    processes = HostProcesses()
    for started, name in ((1, "first"), (2, "second")):
        (folder / "stat").write_text(f"77 ({name}) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {started} 0")
        (folder / "comm").write_text(f"{name}\n")
        found = processes.look_up(77, 0.0)
        assert found is not None
        assert found["name"] == name
        processes.forget_unused()
