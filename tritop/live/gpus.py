"""NVML on this host: one source for the whole session, read only while a server on this host is watched."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from tritop.derive.round import SourceRound
from tritop.endpoint import Endpoint, is_loopback
from tritop.live.feed import Feed
from tritop.reading import Collector


class GpuCollector(Collector, Protocol):
    """The collector of the GPUs of this host."""

    pcie: bool
    """Whether PCIe throughput is to be read."""


MakeGpuCollector = Callable[[], GpuCollector]


def nvml_collector() -> GpuCollector:
    """The GPUs through NVML."""
    from collectors.nvml import NvmlGpus

    return NvmlGpus()


def is_on_this_host(endpoint: Endpoint) -> bool:
    """Whether an address is this host's own, told without asking a name server."""
    return is_loopback(endpoint.host) or endpoint.host == socket.gethostname()


class GpuDesk:
    """The feed of the GPUs; there is none until `open`.

    Args:
        make: makes the collector, `None` where GPUs are not wanted.
        clock: wall time [s].
        monotonic: monotonic time [s].
    """

    def __init__(
        self, make: MakeGpuCollector | None, *, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._make = make
        self._clock = clock
        self._monotonic = monotonic
        self._collector: GpuCollector | None = None
        self._feed: Feed | None = None

    def open(self) -> None:
        """Begin to read; a second call does nothing."""
        if self._make is None or self._feed is not None:
            return
        self._collector = self._make()
        self._feed = Feed(self._collector, clock=self._clock, monotonic=self._monotonic)

    def pulse(self, interval_s: float, *, now: bool = False) -> asyncio.Task[None] | None:
        """See `Feed.pulse`."""
        return self._feed.pulse(interval_s, now=now) if self._feed is not None else None

    def read_pcie(self, wanted: bool) -> None:
        """Read PCIe throughput from the next reading on, or no more."""
        if self._collector is not None:
            self._collector.pcie = wanted

    def as_round(self, interval_s: float) -> SourceRound | None:
        """What `derive` is told of the GPUs."""
        return self._feed.as_round(interval_s) if self._feed is not None else None

    async def close(self) -> None:
        """End the collector and its process."""
        if self._feed is not None:
            await self._feed.close()
            self._feed = self._collector = None
