"""Whether the generator itself limits the rate and adds to the latency that it reports."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

BOUND_BUSY_RATIO = 0.70
"""From here on the generator is called the bottleneck.

Requests are handled one after the other by one thread, so those that come in while it is busy
wait, and the wait becomes part of their latency. Measured on two cores shared with the server: a
model of 6 ms keeps the thread busy 8 to 15 % of the time whatever the concurrency; one of 0.4 ms
27 % at concurrency 1, and 69, 77 and 88 % at 4, 16 and 64, while the rate no longer doubles."""

_SPAN_S = 2.0


class TimedSelector(selectors.SelectSelector):
    """Waits for an event loop and knows how long it has waited.

    It is `select` on purpose: `epoll` counts in milliseconds, which would send scheduled requests
    up to 1 ms late and add that to their latency. There are only a few descriptors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle_s = 0.0
        """Time in which the loop had nothing to do."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the loop asks, and count it."""
        start_s = time.monotonic()
        ready = super().select(timeout)
        self.idle_s += time.monotonic() - start_s
        return ready


@dataclass(frozen=True, slots=True)
class Strain:
    """What the generator costs, over some seconds."""

    cpu_ratio: float
    """CPU of the whole process over one core; gRPC has threads of its own."""
    busy_ratio: float
    """Share of the time in which the event loop was not waiting for something to do.

    Unlike CPU time it also counts when the loop wants to run and other processes have the cores.
    """

    @property
    def is_bound(self) -> bool:
        """Whether the figures say more about the generator than about the server."""
        return self.busy_ratio >= BOUND_BUSY_RATIO


@dataclass(frozen=True, slots=True)
class _Reading:
    time_s: float
    cpu_s: float
    idle_s: float

    def until(self, later: _Reading) -> Strain:
        wall_s = later.time_s - self.time_s
        if wall_s <= 0:
            return Strain(0.0, 0.0)
        idle_ratio = (later.idle_s - self.idle_s) / wall_s
        return Strain((later.cpu_s - self.cpu_s) / wall_s, min(1.0, max(0.0, 1.0 - idle_ratio)))


class StrainGauge:
    """Measures the process that it is in.

    Args:
        idle_s: time that its event loop has waited so far [s], such as of a `TimedSelector`.
        clock: monotonic time [s].
        cpu_clock: CPU time of the process [s].
    """

    def __init__(
        self,
        idle_s: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._start = self._read()
        self._recent: deque[_Reading] = deque([self._start])

    def restart(self) -> None:
        """A measurement begins: `since_restart` counts from here."""
        self._start = self._read()

    def recent(self) -> Strain:
        """Over about the last two seconds; call it a few times a second."""
        now = self._read()
        self._recent.append(now)
        while len(self._recent) > 2 and self._recent[1].time_s <= now.time_s - _SPAN_S:
            self._recent.popleft()
        return self._recent[0].until(now)

    def since_restart(self) -> Strain:
        """Since `restart`, or since it was made."""
        return self._start.until(self._read())

    def _read(self) -> _Reading:
        return _Reading(self._clock(), self._cpu_clock(), self._idle_s())
