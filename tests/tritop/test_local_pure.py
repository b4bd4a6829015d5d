"""The runtime of the embedded Triton without a Triton: its log, its ports, and where it cannot run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.errors import RuntimeFailure
from tritop.runtimes import embedded
from tritop.runtimes.embedded import EmbeddedTriton, check_machine, check_numpy, find_embedded_triton
from tritop.runtimes.local import LaunchState, LocalServer
from tritop.runtimes.ports import free_ports, is_free, kept_or_free, listening_ports
from tritop.runtimes.server_log import ServerLog, clean_line, explain_exit, port_in_use
from tritop.server_spec import HOST, Ports


@given(st.text())
def test_no_control_character_passes(line: str) -> None:
    cleaned = clean_line(line)
    assert cleaned.isprintable()
    assert len(cleaned) <= 400


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("plain 'text' ▇", "plain 'text' ▇"),
        ("\x1b[31mred\x1b[0m\tend", "red end"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("over\rwritten\x00\x9b", "over�written��"),
        ("right\u202eto left", "right�to left"),
    ],
)
def test_lines_are_cleaned(line: str, cleaned: str) -> None:
    assert clean_line(line) == cleaned


def test_tail_follows_the_file_and_outlives_it(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = ServerLog(path)
    assert log.tail() == ()
    path.write_text("".join(f"line {number} " + "." * 100 + "\n" for number in range(1000)))
    assert [line.split(" .")[0] for line in log.tail(2)] == ["line 998", "line 999"]
    assert len(log.tail(1000)) > 100
    assert all(line.startswith("line ") for line in log.tail(1000))
    with path.open("a") as file:
        file.write("more\nhalf")
    assert log.tail(2) == ("more", "half")
    path.unlink()
    assert log.tail(1) == ("half",)


E1 = 'E1123 00:13:34.493562 14060 model_lifecycle.cc:777] "it is broken"'
IN_USE = "error: failed to start HTTP service: Unavailable - Socket '127.0.0.1:9100' already in use "


@pytest.mark.parametrize(
    ("exit_code", "lines", "words"),
    [
        (None, [], "guardian"),
        (-signal.SIGKILL, [], "want of memory"),
        (-signal.SIGSEGV, [], "SIGSEGV"),
        (
            -signal.SIGSEGV,
            ["Signal (11) received.", " 2# pthread_mutex_lock in libc.so.6"],
            "a client cancels",
        ),
        (-250, [], "signal 250"),
        (0, [E1], "SIGTERM or SIGINT"),
        (1, [IN_USE, "I1123 later"], "127.0.0.1:9100 is already in use"),
        (1, [E1, "error: creating server: Internal - failed"], "error: creating server"),
        (127, ["tritonserver: error while loading shared libraries: libx.so"], "libx.so"),
        (1, [E1, "I1123 00:13:34.4 1 a.cc:7] bye"], '1: "it is broken"'),
        (1, ["/bin/tritonserver: unrecognized option '--nonsense'", "Usage:", "  more"], "1: unrecognized option '--n"),
        (1, ["Usage:", 'Bad option: "--http-port".', "Got x"], 'Bad option: "--http-port". Got x'),
        (1, [], "exit code 1."),
    ],
)
def test_every_end_is_explained(exit_code: int | None, lines: list[str], words: str) -> None:
    assert words in explain_exit(exit_code, lines)


def test_only_a_taken_port_is_a_taken_port() -> None:
    assert port_in_use([IN_USE]) == "127.0.0.1:9100"
    assert port_in_use([E1]) == ""


def test_free_ports_are_three_free_ones_outside_of_the_range_for_outgoing_connections() -> None:
    ports = free_ports()
    numbers = {ports.http, ports.grpc, ports.metrics}
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(numbers) == 3
    if lowest > 21000:
        assert max(numbers) < lowest
    for number in numbers:
        with socket.socket() as probe:
            probe.bind((HOST, number))


def test_a_port_with_lingering_connections_is_free_and_one_that_is_listened_on_is_not() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
        with socket.create_connection((HOST, port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # first, so that the server's end lingers
            assert client.recv(1) == b""
    with socket.socket() as strict, pytest.raises(OSError, match="in use"):
        strict.bind((HOST, port))
    assert is_free(port)
    free = free_ports()
    kept = Ports(port, free.grpc, free.metrics)
    assert kept_or_free(kept) == kept
    with socket.create_server((HOST, port)):
        assert port not in astuple(kept_or_free(kept))


def test_listening_ports_are_those_of_the_process_itself() -> None:
    with socket.socket() as four, socket.socket(socket.AF_INET6) as six, socket.socket() as unheard:
        for each, host in ((four, HOST), (six, "::ffff:127.0.0.1"), (unheard, HOST)):
            each.bind((host, 0))
        four.listen()
        six.listen()
        mine = listening_ports(os.getpid())
        assert {four.getsockname()[1], six.getsockname()[1]} <= mine
        assert unheard.getsockname()[1] not in mine
        other = subprocess.Popen(["sleep", "600"])
        try:
            assert four.getsockname()[1] not in listening_ports(other.pid)
        finally:
            other.kill()
            other.wait()
    assert listening_ports(other.pid) == frozenset()


@pytest.mark.parametrize(
    ("system", "machine", "libc", "words"),
    [
        ("linux", "aarch64", ("glibc", "2.39"), "linux on aarch64"),
        ("darwin", "x86_64", ("", ""), "darwin on x86_64"),
        ("linux", "x86_64", ("glibc", "2.31"), "glibc 2.31"),
        ("linux", "x86_64", ("", ""), "another C library"),
        ("linux", "x86_64", ("musl", "1.2.5"), "musl 1.2.5"),
    ],
)
def test_machines_without_a_wheel_are_told_so(system: str, machine: str, libc: tuple[str, str], words: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        check_machine(system, machine, libc)
    assert words in caught.value.sentence
    assert "HOST:8001" in caught.value.advice


def test_machines_with_a_wheel_pass() -> None:
    check_machine("linux", "x86_64", ("glibc", "2.35"))
    check_machine("linux", "x86_64", ("glibc", "2.100"))


def test_numpy_2_is_refused_with_advice() -> None:
    check_numpy("1.26.4")
    with pytest.raises(RuntimeFailure, match="empty outputs") as caught:
        check_numpy("2.0.0rc1")
    assert ("'numpy<2'" if sys.version_info < (3, 13) else "Python 3.11 or 3.12") in caught.value.advice


@pytest.mark.parametrize(("missing", "words"), [("pytriton", "nvidia-pytriton"), ("numpy", "numpy")])
def test_a_missing_package_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, words: str, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(embedded, "check_machine", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    if missing == "numpy" and real("pytriton") is None:
        pytest.skip("needs nvidia-pytriton")
    with pytest.raises(RuntimeFailure, match=words) as caught:
        find_embedded_triton()
    assert "pip install 'tritop[demo]'" in caught.value.advice
    server = LocalServer(tmp_path, remove_at_end=(tmp_path / "leftover",))
    (tmp_path / "leftover").mkdir()
    with pytest.raises(RuntimeFailure, match=words):
        asyncio.run(server.start())
    server.kill()
    assert not (tmp_path / "leftover").exists()


def make_wheel(folder: Path, stub_mode: int) -> EmbeddedTriton:
    backend = folder / "wheel" / "backends" / "python"
    (backend / "__pycache__").mkdir(parents=True)
    (backend / "libtriton_python.so").write_bytes(b"library")
    stub = folder / "wheel" / "stub"
    stub.write_bytes(b"stub")
    stub.chmod(stub_mode)
    caches = folder / "wheel" / "caches"
    return EmbeddedTriton(
        "0.7.0", folder / "tritonserver", backend, caches, stub, (folder / "libs",), folder / "packages"
    )


@pytest.mark.parametrize("stub_mode", [0o755, 0o644])
def test_backend_folder_has_the_library_and_a_stub_that_can_be_run(tmp_path: Path, stub_mode: int) -> None:
    backends = make_wheel(tmp_path, stub_mode).arrange_backends(tmp_path / "private")
    assert sorted(path.name for path in (backends / "python").iterdir()) == [
        "libtriton_python.so",
        "triton_python_backend_stub",
    ]
    stub = backends / "python" / "triton_python_backend_stub"
    assert stub.read_bytes() == b"stub"
    assert os.access(stub, os.X_OK)


def test_the_stubs_interpreter_sees_the_packages_and_writes_no_bytecode(tmp_path: Path) -> None:
    triton = make_wheel(tmp_path, 0o755)
    triton.packages.mkdir()
    (triton.packages / "a_package_of_ours.py").touch()
    bin_folder = triton.arrange_interpreter(tmp_path / "private")
    code = "import a_package_of_ours, sys; print(sys.dont_write_bytecode, sys.version_info[:2])"
    answer = subprocess.run([bin_folder / "python3", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"True {sys.version_info[:2]}"
    assert not (triton.packages / "__pycache__").exists()
    path = triton.environment(bin_folder)["PATH"]
    assert path.startswith(f"{bin_folder}{os.pathsep}")


def test_a_server_that_was_never_started(tmp_path: Path) -> None:
    server = LocalServer(tmp_path, name="mine")
    assert server.launch().state == LaunchState.STOPPED
    assert server.launch().command == ""
    assert server.pid is None
    with pytest.raises(RuntimeFailure, match="mine was not started"):
        _ = server.endpoint
    asyncio.run(server.stop())
    server.kill()
