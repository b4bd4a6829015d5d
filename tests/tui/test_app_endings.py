"""However the screen ends, the terminal is as it was and the Session is stopped exactly once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pty_process import TIMEOUT_S, PtyProcess

ALTERNATE_SCREEN_OFF = b"\x1b[?1049l"
CURSOR_ON = b"\x1b[?25h"


class TerminalProcess(PtyProcess):
    """The screen on made-up Snapshots; each stop of its Session leaves a line in a file."""

    def __init__(self, record: Path, mode: str) -> None:
        super().__init__([sys.executable, "-m", "tests.tui.screen_process", str(record), mode])
        self.record = record

    def stops(self) -> int:
        return self.record.read_text().count("stopped") if self.record.exists() else 0


def test_the_size_is_the_terminal_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    started = TerminalProcess(tmp_path / "record", "")
    try:
        started.read_until(b"capacity")  # the last column, for which 80 are too few
        assert b"\x1b[30;1H" in started.output, "the last of its lines"
    finally:
        started.close()


@pytest.fixture
def mode() -> str:
    return ""


@pytest.fixture
def screen(tmp_path: Path, mode: str) -> Iterator[TerminalProcess]:
    started = TerminalProcess(tmp_path / "record", mode)
    try:
        started.read_until(b"capacity")
        yield started
    finally:
        started.close()


@pytest.mark.parametrize(("key", "code"), [(b"q", 0), (b"\x03", 130)])
def test_a_key_ends_it(screen: TerminalProcess, key: bytes, code: int) -> None:
    assert screen.flags() != screen.flags_before
    screen.write(key)
    assert screen.wait() == code
    assert screen.stops() == 1
    assert ALTERNATE_SCREEN_OFF in screen.output
    assert CURSOR_ON in screen.output
    assert screen.flags() == screen.flags_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it(screen: TerminalProcess, number: signal.Signals) -> None:
    screen.process.send_signal(number)
    assert screen.wait() == 128 + number
    assert screen.stops() == 1
    assert ALTERNATE_SCREEN_OFF in screen.output
    assert screen.flags() == screen.flags_before


@pytest.mark.parametrize("mode", ["", "slow"])
def test_a_terminal_that_goes_away_ends_it(screen: TerminalProcess) -> None:
    screen.hang_up()
    screen.process.send_signal(signal.SIGHUP)
    assert screen.process.wait(TIMEOUT_S) == 128 + signal.SIGHUP
    assert screen.stops() == 1


@pytest.mark.parametrize("mode", ["crash"])
def test_a_crash_leaves_the_terminal_and_a_traceback(screen: TerminalProcess) -> None:
    screen.write(b" ")
    assert screen.wait() == 1
    assert screen.stops() == 1
    after = screen.output.rpartition(ALTERNATE_SCREEN_OFF)[2]
    assert b"Traceback" in after
    assert b"ValueError: a bug in a screen" in after
    assert after.count(b"\n") < 100
    assert screen.flags() == screen.flags_before


@pytest.mark.parametrize("mode", ["slow"])
def test_a_slow_stop_is_said(screen: TerminalProcess) -> None:
    screen.write(b"q")
    assert screen.wait() == 0
    assert screen.stops() == 1
    assert "stopping …".encode() in screen.output.rpartition(ALTERNATE_SCREEN_OFF)[2]
