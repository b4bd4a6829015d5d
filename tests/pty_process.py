"""A process on a pseudo terminal, for what a test has to see as the terminal sees it: byte by byte."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT_S = 60.0


class PtyProcess:
    """A process on a pseudo terminal, and all that it wrote.

    Args:
        command: what runs on it.
        width: cells across.
        height: lines.
        environ: its environment but for TERM, COLORTERM and PYTHONUNBUFFERED, this one's by default.
        folder: where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        width: int = 100,
        height: int = 30,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.output = b""
        self._master, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.flags_before = termios.tcgetattr(follower)[:4]
        self._follower: int | None = follower
        environment = {
            **(os.environ if environ is None else environ),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        environment.pop("PYTHONUNBUFFERED", None)  # what is left in a buffer at the end is part of the end
        self.process = subprocess.Popen(
            command,
            cwd=folder,
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

    def close(self) -> None:
        """End it, and give the terminal back."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._follower):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
