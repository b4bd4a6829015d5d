"""A Docker engine as the collector of its containers sees it: looks, and never touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritop.container_documents import seconds_of
from tritop.runtimes.classify import ExitFacts, classify_exit
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.docker_events import DockerEvents, RunNotes
from tritop.runtimes.docker_stats import DockerStats
from tritop.runtimes.server_log import clean_line
from tritop.runtimes.supervisor import EndingKind

VIEW_TIMEOUT_S = 3.0
"""A look takes milliseconds; an engine that needs longer hangs, and the operator is told so."""
_HEAD_S = 5.0
_HEAD_LINES, _TAIL_LINES = 40, 80


class DockerView:
    """Fulfils `collectors.containers.ContainerEngine`.

    Args:
        address: of the engine.
        events: tells of signals and of memory that ran out, which inspection does not.
    """

    def __init__(self, address: str, events: DockerEvents | None = None) -> None:
        self._engine = Engine(address, timeout_s=VIEW_TIMEOUT_S)
        self._events = events
        self.owner = self._engine.owner

    async def containers(self) -> Sequence[Mapping[str, Any]]:
        """See `Engine.containers`."""
        return await self._engine.containers()

    async def inspect(self, container: str) -> Mapping[str, Any] | None:
        """See `Engine.inspect`."""
        return await self._engine.inspect(container)

    async def why_ended(self, shown: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether a container that does not run any more crashed, and why it ended, in a sentence."""
        state, container_id = shown["State"], str(shown["Id"])
        notes = self._events.notes(container_id) if self._events is not None else RunNotes()
        started, finished = seconds_of(str(state["StartedAt"])), seconds_of(str(state["FinishedAt"]))
        ending = classify_exit(
            ExitFacts(
                exit_code=int(state["ExitCode"]),
                lines=await self._telling_lines(container_id, started),
                signal_sent=notes.signal_sent,
                # The engine's own flag only where no event told anything, because it may be an earlier run's.
                out_of_memory=notes.out_of_memory > 0 or (bool(state.get("OOMKilled")) and not notes.ended),
                memory_limit_bytes=int((shown.get("HostConfig") or {}).get("Memory") or 0) or None,
                ran_s=finished - started if started is not None and finished is not None else None,
                error=clean_line(str(state.get("Error") or "")),
            )
        )
        # 143 and 130 are ends by SIGTERM and SIGINT, which nobody sends by accident.
        asked = ending.kind is EndingKind.ASKED or ending.exit_code in (130, 143)
        return not asked, f"{ending.sentence} {ending.advice}".rstrip()

    async def _telling_lines(self, container_id: str, started: float | None) -> tuple[str, ...]:
        """Both ends of the last run's log; nothing where the engine keeps none."""
        if started is None:
            return ()
        try:
            head = await self._engine.log_lines(container_id, since=started, until=started + _HEAD_S)
            tail = await self._engine.log_lines(container_id, since=started)
        except EngineFailure as failure:
            if failure.kind is EndingKind.LOST:
                raise
            return ()
        return head[:_HEAD_LINES] + tail[-_TAIL_LINES:]

    def follow_stats(self, container_id: str) -> DockerStats:
        """Begin to follow what a container uses."""
        return DockerStats(self._engine.address, container_id)

    def close(self) -> None:
        """Let the connection go; returns at once."""
        self._engine.close()
