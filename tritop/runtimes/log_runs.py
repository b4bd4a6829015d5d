"""Which run of a container wrote a line of its log: the engine keeps one log for all of them. Pure."""

from __future__ import annotations

from typing import Any

from tritop.container_documents import seconds_of

_BANNER = b"== Triton Inference Server =="
"""Printed by the entrypoint of NVIDIA's image before Triton itself says anything."""
_FIRST_WORDS = (b"Pinned memory pool is created", b"pinned memory pool will not be available")
"""What Triton says first, once in each run, at the level of information or of a warning (2.0 to 2.51)."""

_STARTED_LATE_S = 0.5
"""The engine notes `StartedAt` after it has started the process, which may have written by then."""


def earliest_line_s(shown: dict[str, Any]) -> float:
    """When the newest run of a container can have written its first line [s since the epoch].

    Args:
        shown: the container as `inspect` shows it. While it runs, its `FinishedAt` is the end of the run before.
    """
    state = shown.get("State") or {}
    started_s = seconds_of(str(state.get("StartedAt", ""))) or 0.0
    finished_s = seconds_of(str(state.get("FinishedAt", ""))) or 0.0
    earliest_s = started_s - _STARTED_LATE_S
    return max(earliest_s, finished_s) if finished_s <= started_s else earliest_s


class RunCount:
    """Numbers the lines of one container's log by their run, from 1 on."""

    def __init__(self) -> None:
        self.run = 1
        self._lines = 0
        self._greeted = False

    def begin(self) -> None:
        """What follows was written by another run; before the first line of a run this changes nothing."""
        if self._lines:
            self.run += 1
        self._lines, self._greeted = 0, False

    def of(self, line: bytes) -> int:
        """The run of the next line."""
        greets = any(words in line for words in _FIRST_WORDS)
        if self._greeted and (greets or _BANNER in line):
            self.begin()
        self._greeted = self._greeted or greets
        self._lines += 1
        return self.run
