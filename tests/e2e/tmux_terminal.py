"""A terminal that a test types into and reads from: one tmux server of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT_S = 90.0
POLL_S = 0.1
ENDED = "it ended with"


def then_say(command: Sequence[str]) -> str:
    """A shell command that says how `command` ended, and then waits to be read."""
    return f"{shlex.join(command)}; echo {ENDED} $?; exec sleep 600"


class TmuxTerminal:
    """One window of a tmux server that nobody else uses; gone after `close`.

    Args:
        socket: where the server listens; nothing is there yet.
        command: what runs in the window.
        width: cells across.
        height: lines.
    """

    def __init__(self, socket: Path, command: str, width: int, height: int) -> None:
        self._socket = socket
        environment = {key: value for key, value in os.environ.items() if key not in ("TMUX", "NO_COLOR")}
        self._environment = {**environment, "LC_ALL": "C.UTF-8"}
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-f", "/dev/null", "-S", str(self._socket), *arguments]
        return subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True).stdout

    def text(self) -> str:
        """What stands in the window."""
        return self._run("capture-pane", "-p")

    def painted(self) -> str:
        """What stands in the window, with the escape sequences of its looks."""
        return self._run("capture-pane", "-p", "-e")

    @property
    def pid(self) -> int:
        """Pid of what runs in the window."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self._run("send-keys", *keys)

    def press_text(self, text: str) -> None:
        """Type a text."""
        self._run("send-keys", "-l", text)

    def type(self, text: str) -> None:
        """Type a text and Enter."""
        self.press_text(text)
        self.press("Enter")

    def resize(self, width: int, height: int) -> None:
        """Make the window another size."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def wait_for(self, what: str, condition: Callable[[str], bool]) -> str:
        """Wait until the window's text fulfils a condition; returns that text."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            text = self.text()
            if condition(text):
                return text
            assert time.monotonic() < end, f"{what} did not come:\n{text}"
            time.sleep(POLL_S)

    def wait_for_text(self, wanted: str) -> str:
        """Wait until a text stands in the window."""
        return self.wait_for(repr(wanted), lambda text: wanted in text)

    def close(self) -> None:
        """End the tmux server and with it what runs in its window."""
        subprocess.run(
            ["tmux", "-S", str(self._socket), "kill-server"],
            env=self._environment,
            check=False,
            capture_output=True,
        )


Open = Callable[[str, int, int], TmuxTerminal]
"""Opens a terminal with a command, so many cells wide and so many lines high."""
