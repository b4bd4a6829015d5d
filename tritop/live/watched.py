"""One watched server: its address, its feeds, and its runtime where the session runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tritop.derive.round import ServerRound, SourceRound
from tritop.endpoint import Endpoint
from tritop.errors import TritopError
from tritop.live.feed import Feed, fault_after
from tritop.live.hosted import Hosted
from tritop.model import RUNTIME_SOURCE, Fault, Launch
from tritop.operation import Operation
from tritop.reading import Collector, LaunchReading
from tritop.runtimes.group_usage import GroupWatch

_UP = frozenset({"STARTING", "LOADING", "READY", "NOT_READY"})
"""States of a Launch in which its process runs."""

MakeCollectors = Callable[[Endpoint], Sequence[Collector]]
"""Makes the collectors of one server."""


class Watched:
    """A server of the session and everything that reads it.

    Args:
        name: unique within the session.
        endpoint: its addresses, `None` for a hosted server that has not been started.
        hosted: its runtime, where the session runs it.
        read_only: nothing may be changed on it, whatever its endpoint says.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: Endpoint | None,
        hosted: Hosted | None,
        make_collectors: MakeCollectors,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        read_only: bool = False,
    ) -> None:
        self._read_only = read_only
        self.name = name
        self.endpoint = endpoint
        self.hosted = hosted
        self._make_collectors = make_collectors
        self._clock = clock
        self._monotonic = monotonic
        self._group = GroupWatch()
        self._launch_fault: Fault | None = None
        self._begun = False
        self.container_id = ""
        """Its container, where the session found it by that."""
        self.paused = False
        """Our connections are closed, because it is being stopped; they stay so until it runs anew."""
        self._went_down = False
        self.feeds: list[Feed] = []
        if endpoint is not None:
            self._open_feeds(endpoint)

    def _open_feeds(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.feeds = [
            Feed(collector, clock=self._clock, monotonic=self._monotonic)
            for collector in self._make_collectors(endpoint)
        ]

    async def follow(self) -> bool:
        """Read a hosted server where it is now; returns whether that is elsewhere than before."""
        if self.hosted is None or not self._begun:
            return False
        try:
            endpoint = self.hosted.endpoint
        except TritopError:
            return False  # it has no address: what is known of it stays
        if self.paused and not self._runs_anew(self.hosted.launch().state):
            return False
        if endpoint == self.endpoint and not self.paused:
            return False
        self.paused = False
        former = self.feeds
        self._launch_fault = None
        self._open_feeds(endpoint)
        await asyncio.gather(*(feed.close() for feed in former))
        return True

    def _runs_anew(self, state: str) -> bool:
        """Whether a paused server has been down and is up again."""
        self._went_down = self._went_down or state not in _UP
        return self._went_down and state in _UP

    async def pause(self) -> None:
        """Close every connection of ours, because the server is about to be stopped."""
        self.paused, self._went_down = True, False
        await self.close_feeds()

    def resume(self) -> None:
        """Open the connections again, because the server was not stopped after all."""
        if self.paused and self.endpoint is not None:
            self._open_feeds(self.endpoint)
        self.paused = False

    async def move(self, endpoint: Endpoint | None) -> None:
        """Read a server that somebody else runs where it is now; `None` where it is nowhere."""
        if endpoint is None or endpoint != self.endpoint:
            await self.close_feeds()
        if endpoint is not None and not self.feeds:
            self._open_feeds(endpoint)

    async def start(self, submit: Callable[[Operation], None]) -> None:
        """Start the hosted server, if it is one; a failure to do so becomes a fault on the screen."""
        if self.hosted is None:
            return
        try:
            endpoint = await self.hosted.start(submit)
        except TritopError as error:
            self._launch_fault = fault_after(error, None, self._clock())
        else:
            self._open_feeds(endpoint)
        self._begun = True

    def launch(self) -> Launch | None:
        """What the runtime says; `None` for a server that somebody else runs."""
        return self.hosted.launch() if self.hosted else None

    def as_round(self, interval_s: float, at: float, mono: float) -> ServerRound:
        """What `derive` is told of this server."""
        sources = [feed.as_round(interval_s) for feed in self.feeds]
        if self.hosted is not None:
            launch = self.hosted.launch()
            usage = self._group.look(launch.pid if launch.runtime == "local" else None)
            reading = LaunchReading(at=at, mono=mono, launch=launch, usage=usage)
            sources.insert(0, SourceRound(RUNTIME_SOURCE, interval_s, reading=reading, fault=self._launch_fault))
        endpoint = self.endpoint
        return ServerRound(
            name=self.name,
            endpoint=endpoint.grpc_address if endpoint else "",
            metrics_endpoint=endpoint.metrics_url if endpoint else "",
            read_only=self._read_only or (endpoint.read_only if endpoint else False),
            sources=tuple(sources),
            container_id=self.container_id,
        )

    async def close_feeds(self) -> None:
        """Close every connection of ours to the server: an open one can hold up its shutdown."""
        await asyncio.gather(*(feed.close() for feed in self.feeds))
        self.feeds = []
