"""However the screen ends, the terminal is as it was and the Session is stopped exactly once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TIMEOUT_S = 60.0
ALTERNATE_SCREEN_OFF = b"\x1b[?1049l"
CURSOR_ON = b"\x1b[?25h"


class TerminalProcess:
    """A process on a pseudo terminal of 100 x 30 cells, and all that it wrote."""

    def __init__(self, record: Path, mode: str) -> None:
        self.record = record
        self.output = b""
        self._master, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.flags_before = termios.tcgetattr(follower)[:4]
        self._follower: int | None = follower
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tui.screen_process", str(record), mode],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
            start_new_session=True,
        )

    def write(self, data: bytes) -> None:
        os.write(self._master, data)

    def read_until(self, wanted: bytes) -> None:
        """Read what the process writes until it wrote something."""
        end = time.monotonic() + TIMEOUT_S
        while wanted not in self.output:
            assert time.monotonic() < end, f"{wanted!r} did not come: {self.output[-400:]!r}"
            self._read(0.1)

    def _read(self, wait_s: float) -> bool:
        if not select.select([self._master], [], [], wait_s)[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            data = os.read(self._master, 65536)
            self.output += data
            return bool(data)
        return False

    def flags(self) -> list[object]:
        """The terminal's modes now."""
        assert self._follower is not None
        return list(termios.tcgetattr(self._follower)[:4])

    def wait(self) -> int:
        """Read until it has ended; its exit code."""
        end = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self._read(0.05)
        while self._read(0.0):
            pass
        return self.process.returncode

    def hang_up(self) -> None:
        """Take the terminal away, as a lost SSH connection does."""
        if self._follower is not None:
            os.close(self._follower)
            self._follower = None
        os.close(self._master)
        self._master = -1

    def stops(self) -> int:
        return self.record.read_text().count("stopped") if self.record.exists() else 0

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._follower):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)


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
