"""Following files that are appended to, rotated, removed and begun anew by somebody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.processes import wait_until
from tritop.logs import LogChunk
from tritop.model import Launch
from tritop.runtimes.guardian import LogFile
from tritop.runtimes.log_follow import FileLog, PathLog, RotatingFile, before


def drain(file: RotatingFile) -> list[bytes]:
    lines: list[bytes] = []
    while piece := file.read():
        lines += piece.lines
    return lines


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tritonserver.log"


def test_a_file_may_appear_later(path: Path) -> None:
    file = RotatingFile(path)
    assert file.read() is None
    append(path, b"one\ntwo\n")
    assert drain(file) == [b"one", b"two"]
    assert file.read() is None


def test_a_line_waits_for_its_end(path: Path) -> None:
    file = RotatingFile(path)
    append(path, b"one\ntw")
    assert drain(file) == [b"one"]
    append(path, b"o\n")
    assert drain(file) == [b"two"]


def test_only_the_end_of_a_large_file_is_read_and_begins_with_a_whole_line(path: Path) -> None:
    append(path, b"".join(b"line %d\n" % number for number in range(1000)))
    assert drain(RotatingFile(path, start_bytes=30)) == [b"line 997", b"line 998", b"line 999"]


def test_rotation_by_the_guardian_loses_nothing(path: Path) -> None:
    writer = LogFile(str(path), limit_bytes=65536)
    file = RotatingFile(path)
    written = [b"%06d %s" % (number, b"x" * 90) for number in range(3000)]
    seen: list[bytes] = []
    for begin in range(0, 3000, 100):
        for line in written[begin : begin + 100]:
            writer.write(line + b"\n")
        seen += drain(file)
    writer.close()
    assert before(path).exists(), "it must have been rotated, or this shows nothing"
    assert seen == written


def test_what_was_written_between_the_last_look_and_the_rotation_is_read(path: Path) -> None:
    append(path, b"one\n")
    file = RotatingFile(path)
    assert drain(file) == [b"one"]
    append(path, b"late\nunfinished")
    path.rename(before(path))
    append(path, b"new\n")
    pieces = []
    while piece := file.read():
        pieces.append(piece)
    assert [line for piece in pieces for line in piece.lines] == [b"late", b"unfinished", b"new"]
    assert [(piece.begun, piece.lost) for piece in pieces] == [(False, False), (False, False), (True, False)]


def test_two_rotations_at_once_are_told(path: Path) -> None:
    append(path, b"one\n")
    file = RotatingFile(path)
    drain(file)
    path.rename(before(path))
    append(path, b"never seen\n")
    path.rename(before(path))
    append(path, b"new\n")
    piece = file.read()
    assert piece is not None
    assert (piece.lines, piece.begun, piece.lost) == ((b"new",), True, True)


def test_a_removed_file_is_read_to_its_end(path: Path) -> None:
    append(path, b"one\n")
    file = RotatingFile(path)
    drain(file)
    append(path, b"last words\n")
    path.unlink()
    assert drain(file) == [b"last words"]


def test_a_file_that_was_cut_back_begins_anew(path: Path) -> None:
    append(path, b"one\ntwo\n")
    file = RotatingFile(path)
    drain(file)
    path.write_bytes(b"x\n")
    assert drain(file) == [b"x"]


class Collected:
    """Chunks that a follower got, over threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.chunks: list[LogChunk] = []

    def __call__(self, chunk: LogChunk) -> None:
        with self._lock:
            self.chunks.append(chunk)

    @property
    def lines(self) -> list[tuple[int, bytes]]:
        with self._lock:
            return [(chunk.run, line) for chunk in self.chunks for line in chunk.lines]


class FakeRuntime:
    """Says of a server what a runtime would."""

    def __init__(self, path: Path) -> None:
        self.now = Launch(runtime="local", state="READY", log_path=str(path), pid=7)

    def launch(self) -> Launch:
        return self.now

    def change(self, **fields: object) -> None:
        self.now = replace(self.now, **fields)  # type: ignore[arg-type]  # names of fields of Launch


@pytest.fixture
def follow() -> Iterator[Callable[[FakeRuntime], tuple[FileLog, Collected]]]:
    logs: list[FileLog] = []

    def begin(runtime: FakeRuntime) -> tuple[FileLog, Collected]:
        logs.append(FileLog(runtime.launch))
        collected = Collected()
        logs[-1].follow(collected)
        return logs[-1], collected

    yield begin
    for log in logs:
        log.close()


Follow = Callable[[FakeRuntime], tuple[FileLog, Collected]]


def test_a_follower_gets_what_there_is_and_what_comes(path: Path, follow: Follow) -> None:
    append(path, b"before\n")
    _, collected = follow(FakeRuntime(path))
    wait_until(lambda: collected.lines == [(1, b"before")], "the line from before")
    append(path, b"after\n")
    wait_until(lambda: collected.lines == [(1, b"before"), (1, b"after")], "the new line")


def test_a_second_follower_gets_everything_and_an_ended_one_nothing_more(path: Path, follow: Follow) -> None:
    append(path, b"one\n")
    log, first = follow(FakeRuntime(path))
    wait_until(lambda: len(first.lines) == 1, "the first line")
    second = Collected()
    end = log.follow(second)
    wait_until(lambda: len(second.lines) == 1, "what is kept")
    end()
    append(path, b"two\n")
    wait_until(lambda: len(first.lines) == 2, "the second line")
    assert len(second.lines) == 1


def test_a_restart_with_a_new_file_in_a_new_folder_is_another_run(path: Path, tmp_path: Path, follow: Follow) -> None:
    append(path, b"crash is near\nlast wor")
    runtime = FakeRuntime(path)
    _, collected = follow(runtime)
    wait_until(lambda: len(collected.lines) == 1, "the first run")
    append(path, b"ds")
    path.unlink()
    again = tmp_path / "again.log"
    append(again, b"second run\n")
    runtime.change(log_path=str(again), restarts=1, pid=8)
    wait_until(lambda: len(collected.lines) == 3, "the second run")
    assert collected.lines == [(1, b"crash is near"), (1, b"last words"), (2, b"second run")]


def test_a_restart_at_the_same_path_is_another_run_and_a_rotation_is_not(path: Path, follow: Follow) -> None:
    append(path, b"one\n")
    runtime = FakeRuntime(path)
    _, collected = follow(runtime)
    wait_until(lambda: len(collected.lines) == 1, "the first line")
    path.rename(before(path))
    append(path, b"rotated\n")
    wait_until(lambda: len(collected.lines) == 2, "the rotated file")
    runtime.change(restarts=1, pid=8)
    path.rename(before(path))
    append(path, b"restarted\n")
    wait_until(lambda: len(collected.lines) == 3, "the restarted server")
    assert [run for run, _ in collected.lines] == [1, 1, 2]


def test_a_restart_between_the_look_at_the_server_and_at_its_file_is_another_run(path: Path, follow: Follow) -> None:
    append(path, b"one\n")
    begin_anew = threading.Event()

    class FakeRestarting(FakeRuntime):
        """Restarts right after it was asked how it is."""

        def launch(self) -> Launch:
            seen = super().launch()
            if begin_anew.is_set():
                begin_anew.clear()
                self.change(restarts=1, pid=8)
                path.rename(before(path))
                append(path, b"restarted\n")
            return seen

    _, collected = follow(FakeRestarting(path))
    wait_until(lambda: len(collected.lines) == 1, "the first line")
    begin_anew.set()
    wait_until(lambda: len(collected.lines) == 2, "the restarted server")
    assert collected.lines == [(1, b"one"), (2, b"restarted")]


@pytest.mark.parametrize(("writer", "runs"), [(7, [1, 1]), (6, [1, 2])])
def test_the_predecessor_is_of_the_same_run_where_the_same_process_wrote_it(
    path: Path, follow: Follow, writer: int, runs: list[int]
) -> None:
    append(before(path), b'I1123 01:00:10.832808 %d model_lifecycle.cc:472] "loading: matrix:1"\n' % writer)
    append(path, b"now\n")
    _, collected = follow(FakeRuntime(path))
    wait_until(lambda: len(collected.lines) == 2, "both files")
    assert [run for run, _ in collected.lines] == runs


def test_the_last_words_of_a_crashed_server_need_no_line_break(path: Path, follow: Follow) -> None:
    append(path, b"Segmentation fau")
    runtime = FakeRuntime(path)
    _, collected = follow(runtime)
    append(path, b"lt")
    runtime.change(state="CRASHED", pid=None)
    wait_until(lambda: collected.lines == [(1, b"Segmentation fault")], "the last words")


def test_a_log_that_nobody_follows_is_kept_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritop.runtimes.log_follow.KEPT_LINES", 5000)
    append(path, b"".join(b"%d %s\n" % (number, b"y" * 200) for number in range(20_000)))
    log = PathLog(path)
    try:
        collected = Collected()
        log.follow(collected)
        wait_until(lambda: collected.lines[-1:] == [(1, b"19999 " + b"y" * 200)], "the end of the file")
        late = Collected()
        log.follow(late)
        wait_until(lambda: late.lines[-1:] == [(1, b"19999 " + b"y" * 200)], "the end of what is kept")
        assert 1000 < len(late.lines) <= 5000
    finally:
        log.close()
