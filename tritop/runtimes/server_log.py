"""The end of a server's log, safe to show, and what it says about the server's end."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

_TAIL_BYTES = 16384
_LINE_CHARACTERS = 400
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_PORT_IN_USE = re.compile(r"Socket '([^']+)' already in use")
_LOG_PREFIX = re.compile(r"^[IWEF]\d{4} [\d:.]+ +\d+ \S+\] +")


def clean_line(line: str) -> str:
    """A line without escape sequences and control characters, cut to 400 characters."""
    line = _ESCAPE_SEQUENCE.sub("", line).replace("\t", " ")
    return "".join(character if character.isprintable() else "�" for character in line)[:_LINE_CHARACTERS]


def sentence_case(text: str) -> str:
    """The text with a capital letter in front."""
    return text[:1].upper() + text[1:]


class ServerLog:
    """The last lines of a log file that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._lines: tuple[str, ...] = ()

    def head(self, count: int = 5) -> tuple[str, ...]:
        """The oldest lines of the file, cleaned."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_TAIL_BYTES).decode(errors="replace")
        except OSError:
            return ()
        return tuple(clean_line(line) for line in text.split("\n")[:count] if line.strip())

    def tail(self, count: int = 20) -> tuple[str, ...]:
        """The newest lines, cleaned, oldest first; reads the file only when it changed.

        The lines stay what they were once the file is gone.
        """
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                seen = (self._path.stat().st_ino, size)
                if seen != self._seen:
                    start = file.seek(max(0, size - _TAIL_BYTES))
                    lines = file.read(_TAIL_BYTES).decode(errors="replace").split("\n")
                    # The first piece of a cut file is not a whole line.
                    self._lines = tuple(clean_line(line) for line in lines[1 if start else 0 :] if line.strip())
                    self._seen = seen
        except OSError:
            pass
        return self._lines[-count:]


def port_in_use(lines: Sequence[str]) -> str:
    """The address that the server found taken, "" where that is not why it ended."""
    for line in reversed(lines):
        if match := _PORT_IN_USE.search(line):
            return match[1]
    return ""


def crash_hint(lines: Sequence[str]) -> str:
    """What is known of a segmentation fault whose stack Triton printed, as a sentence; "" for nothing."""
    if any("pthread_mutex_lock" in line for line in lines):
        return (
            "Triton before 25.04 crashes like this where a client cancels a request, or its deadline passes, "
            "in the moment it is answered (server issue 8034)."
        )
    return ""


def explain_exit(exit_code: int | None, lines: Sequence[str]) -> str:
    """Why a server ended that nobody stopped, in one sentence.

    Args:
        exit_code: negative for a signal, `None` where nobody saw the end.
        lines: the cleaned end of its log.
    """
    if exit_code is None:
        return "Its guardian process was killed, and the server with it."
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        if exit_code == -signal.SIGKILL:
            return "It was killed (SIGKILL): by somebody, or by the kernel for want of memory."
        hint = crash_hint(lines) if exit_code == -signal.SIGSEGV else ""
        return f"It was ended by {name}. {hint}".rstrip()
    if exit_code == 0:
        return "It ended by itself with exit code 0: somebody sent it SIGTERM or SIGINT."
    reason = failure_reason(lines)
    return f"It ended with exit code {exit_code}" + (f": {reason}" if reason else ".")


def failure_reason(lines: Sequence[str]) -> str:
    """What a log says about a failure, "" where it says nothing."""
    for number, line in enumerate(lines):
        if "unrecognized option" in line:
            return line[line.index("unrecognized option") :]
        if line.startswith("Bad option:"):
            return " ".join(lines[number : number + 2])
    if address := port_in_use(lines):
        return f"{address} is already in use."
    for line in reversed(lines):
        if line.startswith("error:") or "error while loading shared libraries" in line:
            return line
    for line in reversed(lines):
        if _LOG_PREFIX.match(line) and line.startswith(("E", "F")):
            return _LOG_PREFIX.sub("", line)
    return lines[-1] if lines else ""
