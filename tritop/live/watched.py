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

MakeCollectors = Callable[[Endpoint], Sequence[Collector]]
"""Makes the collectors of one server."""


class Watched:
    """A server of the session and everything that reads it.

    Args:
        name: unique within the session.
        endpoint: its addresses, `None` for a hosted server that has not been started.
        hosted: its runtime, where the session runs it.
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
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.hosted = hosted
        self._make_collectors = make_collectors
        self._clock = clock
        self._monotonic = monotonic
        self._launch_fault: Fault | None = None
        self._begun = False
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
        if endpoint == self.endpoint:
            return False
        former = self.feeds
        self._launch_fault = None
        self._open_feeds(endpoint)
        await asyncio.gather(*(feed.close() for feed in former))
        return True

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

    def log_lines(self) -> Callable[[], Sequence[str]] | None:
        """Reads the newest lines of the server's log, `None` where its log is not ours to read."""
        hosted = self.hosted
        return None if hosted is None else lambda: hosted.launch().log_tail

    def as_round(self, interval_s: float, at: float, mono: float) -> ServerRound:
        """What `derive` is told of this server."""
        sources = [feed.as_round(interval_s) for feed in self.feeds]
        if self.hosted is not None:
            reading = LaunchReading(at=at, mono=mono, launch=self.hosted.launch())
            sources.insert(0, SourceRound(RUNTIME_SOURCE, interval_s, reading=reading, fault=self._launch_fault))
        endpoint = self.endpoint
        return ServerRound(
            name=self.name,
            endpoint=endpoint.grpc_address if endpoint else "",
            metrics_endpoint=endpoint.metrics_url if endpoint else "",
            read_only=endpoint.read_only if endpoint else False,
            sources=tuple(sources),
        )

    async def close_feeds(self) -> None:
        """Close every connection of ours to the server: an open one can hold up its shutdown."""
        await asyncio.gather(*(feed.close() for feed in self.feeds))
        self.feeds = []
