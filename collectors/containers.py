"""The containers with Triton in them of one Docker engine: what they are, and what they use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tritop.container_documents import container_sight, looks_like_triton, usage_of
from tritop.errors import AccessDenied, ReadError, RuntimeFailure, TimedOut, Unreachable
from tritop.reading import ContainerSight, EngineReading

Json = Mapping[str, Any]

INSPECT_EVERY_S = 5.0
"""A container whose line in the engine's list stands still is inspected again after this time."""
MAX_STREAMS = 20
"""Containers that are asked what they use: each takes a thread here and a goroutine and 0.2 % of a core there."""
STALE_SAMPLE_S = 5.0
"""The engine sends a sample a second; an older one says nothing of now."""

_ERRORS: tuple[type[ReadError], ...] = (AccessDenied, TimedOut)


class StatsStream(Protocol):
    """The samples of one container, as the engine sends them."""

    def newest(self) -> tuple[float, Json] | None:
        """When the newest sample came [monotonic s] and its document; `None` before the first one."""
        ...

    def close(self) -> None:
        """End the stream; returns at once."""
        ...


class ContainerEngine(Protocol):
    """What is read of an engine. Its calls raise RuntimeFailure, with the title of the ReadError that it is."""

    @property
    def owner(self) -> str:
        """user@host of this operator, as the labels of containers name it."""
        ...

    async def containers(self) -> Sequence[Json]:
        """Every container of the engine's list, running or not."""
        ...

    async def inspect(self, container: str) -> Json | None:
        """One container by its id, `None` where it is gone."""
        ...

    async def why_ended(self, shown: Json) -> tuple[bool, str]:
        """Whether a container that does not run any more crashed, and why it ended, in a sentence."""
        ...

    def follow_stats(self, container_id: str) -> StatsStream:
        """Begin to follow what a container uses."""
        ...

    def close(self) -> None:
        """Let the connection go; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class _Inspected:
    """One container's facts, and what they may be used for."""

    sight: ContainerSight
    line: tuple[str, ...]
    """What the engine's list said of it at that time."""
    mono: float


class Containers:
    """Reads the containers of one engine; fulfils `tritop.reading.Collector`.

    Args:
        engine: the engine; closed with this.
        clock: wall time [s].
        monotonic: monotonic time [s].
    """

    name = "engine"
    period_s: float | None = None

    def __init__(
        self,
        engine: ContainerEngine,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._monotonic = monotonic
        self._inspected: dict[str, _Inspected] = {}
        self._endings: dict[str, tuple[bool, str]] = {}
        self._streams: dict[str, StatsStream] = {}

    def look_again(self) -> None:
        """Inspect every container with the next read: something happened to one of them."""
        self._inspected.clear()

    async def read(self) -> EngineReading:
        """List the engine's containers, inspect those that changed, and take the newest samples.

        Raises:
            Unreachable: there is no engine, or it cannot be used.
            TimedOut: it hangs.
            AccessDenied: this user may not use it.
        """
        try:
            listed = [one for one in await self._engine.containers() if looks_like_triton(one)]
            sights = [sight for one in listed if (sight := await self._sight(one)) is not None]
        except RuntimeFailure as failure:
            kind = next((kind for kind in _ERRORS if kind.title == failure.title), Unreachable)
            raise kind(failure.sentence, failure.advice) from failure
        self._keep_only({sight.container.id for sight in sights})
        sights = [self._with_usage(sight) for sight in sights]
        sights.sort(key=lambda sight: sight.container.name)
        return EngineReading(self._clock(), self._monotonic(), tuple(sights))

    async def _sight(self, listed: Json) -> ContainerSight | None:
        container_id, line = str(listed["Id"]), _line(listed)
        known, mono = self._inspected.get(container_id), self._monotonic()
        if known is not None and known.line == line and mono - known.mono < INSPECT_EVERY_S:
            return known.sight
        shown = await self._engine.inspect(container_id)
        if shown is None:
            return None
        sight = container_sight(shown, self._engine.owner)
        if sight.container.exit_code is not None:
            crashed, explanation = await self._ending(shown)
            sight = replace(sight, container=replace(sight.container, crashed=crashed, explanation=explanation))
        self._inspected[container_id] = _Inspected(sight, line, mono)
        return sight

    async def _ending(self, shown: Json) -> tuple[bool, str]:
        """How its last run ended; found out once for each run."""
        run = f"{shown['Id']} {shown['State'].get('FinishedAt')}"
        if run not in self._endings:
            self._endings[run] = await self._engine.why_ended(shown)
        return self._endings[run]

    def _with_usage(self, sight: ContainerSight) -> ContainerSight:
        container_id = sight.container.id
        stream = self._streams.get(container_id)
        if not sight.container.runs:
            if stream is not None:
                self._streams.pop(container_id).close()
            return sight
        if stream is None:
            if len(self._streams) < MAX_STREAMS:
                self._streams[container_id] = self._engine.follow_stats(container_id)
            return sight
        sample = stream.newest()
        if sample is None or self._monotonic() - sample[0] > STALE_SAMPLE_S:
            return sight
        return replace(sight, usage=usage_of(sample[1], sample[0]))

    def _keep_only(self, ids: set[str]) -> None:
        """Forget containers that are gone."""
        self._inspected = {one: inspected for one, inspected in self._inspected.items() if one in ids}
        self._endings = {run: ending for run, ending in self._endings.items() if run.partition(" ")[0] in ids}
        for container_id in self._streams.keys() - ids:
            self._streams.pop(container_id).close()

    async def aclose(self) -> None:
        """End every stream and let the engine go."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._engine.close()
        await asyncio.sleep(0)


def _line(listed: Json) -> tuple[str, ...]:
    """What the list says of a container, without its age, which moves."""
    ports = sorted(f"{one.get('IP')}:{one.get('PublicPort')}:{one.get('PrivatePort')}" for one in listed["Ports"] or ())
    return str(listed.get("State", "")), *map(str, listed.get("Names") or ()), *ports
