"""Which run of a container wrote a line of its log: the engine keeps one log for all of them. Pure."""

from __future__ import annotations

_BANNER = b"== Triton Inference Server =="
"""Printed by the entrypoint of NVIDIA's image before Triton itself says anything."""
_FIRST_WORDS = (b"Pinned memory pool is created", b"pinned memory pool will not be available")
"""What Triton says first, once in each run, at the level of information or of a warning (2.0 to 2.51)."""


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
