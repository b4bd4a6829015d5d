"""The driver lets go of a terminal that is gone, and of one that does not read."""

from __future__ import annotations

import errno
import io
import threading

import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from tui.driver import LAST_WORDS_S, end_writing, hand_over


class FakeGoneTerminal(io.StringIO):
    """Every write to it fails, as to a terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


class FakeStalledTerminal(io.StringIO):
    """Reads nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.writing.set()
        self.go_on.wait()
        return super().write(text)


def in_time(action: threading.Thread, limit_s: float = 3 * LAST_WORDS_S) -> bool:
    action.start()
    action.join(limit_s)
    return not action.is_alive()


def dead_writer() -> WriterThread:
    writer = WriterThread(FakeGoneTerminal())
    writer.start()
    writer.write("x")
    writer.join()
    while writer._queue.qsize() < MAX_QUEUED_WRITES:
        writer.write("more")
    return writer


def stalled_writer(terminal: FakeStalledTerminal) -> WriterThread:
    """One write is under way, and as many wait as there is room for."""
    writer = WriterThread(terminal)
    writer.start()
    writer.write("x")
    terminal.writing.wait()
    for _ in range(MAX_QUEUED_WRITES):
        writer.write("x")
    return writer


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_room_at_a_terminal_that_is_gone() -> None:
    writer = dead_writer()
    assert in_time(threading.Thread(target=hand_over, args=(writer, "y"), daemon=True))
    assert not hand_over(writer, "y")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_comes_at_a_terminal_that_is_gone() -> None:
    assert in_time(threading.Thread(target=end_writing, args=(dead_writer(),), daemon=True))


def test_the_end_comes_at_a_terminal_that_does_not_read() -> None:
    terminal = FakeStalledTerminal()
    writer = stalled_writer(terminal)
    try:
        assert in_time(threading.Thread(target=end_writing, args=(writer,), daemon=True))
    finally:
        terminal.go_on.set()


def test_everything_is_written_to_a_terminal_that_reads() -> None:
    terminal = io.StringIO()
    writer = WriterThread(terminal)
    writer.start()
    for number in range(100):
        assert hand_over(writer, f"{number} ")
    end_writing(writer)
    assert not writer.is_alive()
    assert terminal.getvalue().split() == [str(number) for number in range(100)]


def test_a_slow_terminal_is_waited_for_while_the_app_runs() -> None:
    terminal = FakeStalledTerminal()
    writer = stalled_writer(terminal)
    handing = threading.Thread(target=hand_over, args=(writer, "last"), daemon=True)
    handing.start()
    handing.join(LAST_WORDS_S)
    assert handing.is_alive()
    terminal.go_on.set()
    handing.join(10)
    end_writing(writer)
    assert terminal.getvalue().endswith("last")
