"""Why a server refused: the line that it wrote into its log and nowhere else."""

from __future__ import annotations

import asyncio

from tritop.control.server_log import ServerLog
from tritop.errors import RuntimeFailure
from tritop.logs import LogLevel, LogLine

_POLL_S = 0.05
_LOOKS = 20
"""Together the second that a line may take from the server to where it is read here."""
_PLACES = (b"Poll failed for model directory '", b"failed to poll model '", b"failed to load '", b"version directory")


class ReasonInLog:
    """Looks for the reason of one call: make it before the call, ask it after.

    Args:
        log: of the server.
        model: the model that the call is for.
        since: wall time [s] of the call, `None` for now.

    Attributes:
        unreadable: why the log cannot be read, "" where it can, or was not asked for.
    """

    def __init__(self, log: ServerLog, model: str, since: float | None = None) -> None:
        self._log = log
        self._model = model
        self._began_at = log.clock() if since is None else since
        self.unreadable = ""

    async def find(self) -> str:
        """The reason in the server's own words, waiting a moment for the line; "" if there is none."""
        for _ in range(_LOOKS):
            found = await self.found()
            if found or self.unreadable:
                return found
            await asyncio.sleep(_POLL_S)
        return await self.found()

    async def found(self) -> str:
        """The reason, if its line is there."""
        try:
            entries = await self._log.entries_since(self._began_at, *_PLACES)
        except RuntimeFailure as failure:
            self.unreadable = failure.sentence
            return ""
        return next((text for entry in entries if (text := self._reason(entry))), "")

    def _reason(self, entry: LogLine) -> str:
        """What an entry says about the model, "" where it is about something else.

        The texts are those of core's `model_repository_manager.cc` and `model_lifecycle.cc` (2.51).
        """
        text = entry.text
        if entry.level not in {LogLevel.WARNING, LogLevel.ERROR}:
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
