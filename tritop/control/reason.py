"""Why a server refused: the line that it wrote into its log and nowhere else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

LogLines = Callable[[], Sequence[str]]
"""Gives the newest lines of a server's log, oldest first."""

_POLL_S = 0.05
_LOOKS = 20
"""Together the second that a line may take from the server to the file that is read here."""
_PREFIX = re.compile(r'^[EW]\d{4} [\d:.]+ \d+ [\w.]+:\d+\] "?')


class ReasonInLog:
    """Looks for the reason of one call: make it before the call, ask it after.

    Args:
        log_lines: the log, `None` where it cannot be read.
        model: the model that the call is for.
    """

    def __init__(self, log_lines: LogLines | None, model: str) -> None:
        self._log_lines = log_lines
        self._model = model
        # Every line begins with the time to the microsecond, so an equal line is an old one.
        self._before = frozenset(log_lines()) if log_lines is not None else frozenset()

    async def find(self) -> str:
        """The reason in the server's own words, waiting a moment for the line; "" if there is none."""
        if self._log_lines is None:
            return ""
        for _ in range(_LOOKS):
            if found := self.found():
                return found
            await asyncio.sleep(_POLL_S)
        return self.found()

    def found(self) -> str:
        """The reason, if its line is there."""
        lines = self._log_lines() if self._log_lines is not None else ()
        return next((text for line in lines if line not in self._before and (text := self._reason(line))), "")

    def _reason(self, line: str) -> str:
        """What a line says about the model, "" where it is about something else.

        The texts are those of core's `model_repository_manager.cc` and `model_lifecycle.cc` (2.51).
        """
        text = _PREFIX.sub("", line).rstrip('"')
        if text == line:
            return ""
        _, found, reason = text.partition(f"Poll failed for model directory '{self._model}': ")
        if found:
            return reason.removesuffix(f" for {self._model}")
        _, found, reason = text.partition(f"failed to poll model '{self._model}': ")
        if found:
            return reason
        _, found, reason = text.partition(f"failed to load '{self._model}' version ")
        if found:
            return f"version {reason}"
        if "version directory is not present" in text and f"model '{self._model}'" in text:
            return text
        return ""
