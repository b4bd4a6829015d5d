"""`tritop logs`: which log, which of its entries, and in which form."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.tritop.logs.samples import DEFAULT, read
from tritop.cli import log_places
from tritop.cli import main as tritop
from tritop.cli.log_places import LogPlace
from tritop.errors import RuntimeFailure
from tritop.runtimes.log_find import FoundLog
from tritop.runtimes.log_place import FilePlace


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "server.log"
    path.write_bytes(DEFAULT + b"\n")
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert tritop(["logs", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_file_is_printed_with_dates_and_whole_entries(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, str(log))
    assert len(lines) == len(read(DEFAULT))
    found = next(line for line in lines if "failed to load 'broken'" in line)
    assert found.endswith("'/models/broken/1/weights.npz'")
    assert "E 26658 model_lifecycle.cc:642] failed to load 'broken'" in found
    assert all(line.isprintable() for line in lines)


def test_entries_are_chosen(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, str(log), "--filter", "zerodivision")) == 5
    assert len(printed(capsys, str(log), "--model", "matrix")) == 3
    assert len(printed(capsys, str(log), "--level", "error", "-n", "2")) == 2
    assert not any("Started" in line for line in printed(capsys, str(log), "--filter", "!started"))


def test_json_lines(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [json.loads(line) for line in printed(capsys, str(log), "--json")]
    loading = next(entry for entry in entries if entry["text"] == "loading: matrix:1")
    assert (loading["level"], loading["model"], loading["pid"]) == ("info", "matrix", 26658)
    assert next(entry for entry in entries if entry["text"] == "plain print red")["at"] is None


def test_the_run_before(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.with_name("server.log.1").write_text('I1122 01:00:10.8 77 server.cc:1] "an earlier process"\n')
    assert [line.split("] ")[1] for line in printed(capsys, str(log), "--previous")] == ["an earlier process"]
    assert any("started again: run 2" in line for line in printed(capsys, str(log)))


def test_a_rotated_log_is_one_run(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.with_name("server.log.1").write_text('I1122 01:00:10.8 26658 server.cc:1] "the same process"\n')
    lines = printed(capsys, str(log))
    assert lines[0].endswith("the same process")
    assert not any("started again" in line for line in lines)


def test_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DEFAULT)))
    assert len(printed(capsys, "-", "-n", "3")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/no/such/file"], "there is no file /no/such/file"),
        (["x", "--level", "fatal"], "there is no log level 'fatal'"),
        (["x", "-f", "-p"], "--follow and --previous do not go together"),
        (["x", "-n", "-1"], "--lines -1 is negative"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tritop(["logs", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[FoundLog]:
    """The servers of a host without an engine."""
    found: list[FoundLog] = []
    monkeypatch.setattr(log_places, "find_logs", lambda: found)
    monkeypatch.setattr(log_places, "_containers", lambda: ([], "no Docker engine answers"))
    return found


def test_the_only_server_of_a_host_needs_no_name(host: list[FoundLog], log: Path) -> None:
    host.append(FoundLog(7, 9001, log))
    assert log_places.find_place("") == LogPlace("127.0.0.1:9001", FilePlace(log))
    assert log_places.find_place("127.0.0.1:9001").log == FilePlace(log)


def test_several_servers_must_be_told_apart(
    host: list[FoundLog], log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host += [FoundLog(7, 9001, log), FoundLog(8, 9011, log)]
    assert tritop(["logs"]) == 2
    assert "2 servers have a log: 127.0.0.1:9001, 127.0.0.1:9011" in capsys.readouterr().err
    assert tritop(["logs", "other"]) == 2
    said = capsys.readouterr().err
    assert "is called 'other' (127.0.0.1:9001, 127.0.0.1:9011); no Docker engine answers." in said


def test_no_server_says_what_was_tried(host: list[FoundLog]) -> None:
    host.append(FoundLog(7, 9001, None, "process 7 does not write to a file."))
    with pytest.raises(RuntimeFailure, match=r"process 7 does not write to a file; no Docker engine answers"):
        log_places.find_place("")


def test_following_prints_what_comes_until_it_is_interrupted(log: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tritop", "logs", "-f", "-n", "1", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"Signal (15) received.\n"
        with log.open("ab") as file:
            file.write(b'E1123 02:00:00.5 26658 server.cc:1] "came later"\n')
        assert process.stdout.readline().endswith(b"E 26658 server.cc:1] came later\n")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None, "it has ended")
        assert process.returncode == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()
