"""Whether the generator itself limits the rate, or adds to the latency that it reports."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

BOUND_CPU_RATIO = 0.70
"""From here on an asyncio generator on one core no longer answers to more concurrency (measured
against perf_analyzer on a sub-millisecond model: it tops out between 60 and 75 % of a core)."""
BOUND_LAG_SHARE = 0.10
"""Of the median latency: what the generator may add to it by itself."""
BOUND_LAG_US = 200.0
"""Below this the lag is the granularity of timers and of the operating system."""

_TICK_S = 0.02
_SPAN_S = 2.0


@dataclass(frozen=True, slots=True)
class Strain:
    """What the generator costs, over some seconds."""

    cpu_ratio: float
    """CPU of the whole process over one core."""
    thread_cpu_ratio: float
    """CPU of the thread that runs the event loop; 1 is all that one Python thread can have."""
    lag_us: float
    """How late the event loop ran what was due, on average."""

    def is_bound(self, p50_us: float | None) -> bool:
        """Whether the figures say more about the generator than about the server.

        Either its one thread is busy `BOUND_CPU_RATIO` of the time, or answers wait for it so long
        that it adds `BOUND_LAG_SHARE` or more to the median latency. The latter also happens when
        other processes on this host leave it no core, which makes the figures as doubtful.

        Args:
            p50_us: median latency; `None` while nothing succeeded.
        """
        if self.thread_cpu_ratio >= BOUND_CPU_RATIO:
            return True
        return p50_us is not None and self.lag_us >= max(BOUND_LAG_US, BOUND_LAG_SHARE * p50_us)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Sums since the process began."""

    time_s: float
    cpu_s: float
    thread_cpu_s: float
    lag_s: float
    ticks: int

    def until(self, later: _Reading) -> Strain:
        wall_s = max(later.time_s - self.time_s, 1e-9)
        ticks = later.ticks - self.ticks
        return Strain(
            cpu_ratio=(later.cpu_s - self.cpu_s) / wall_s,
            thread_cpu_ratio=(later.thread_cpu_s - self.thread_cpu_s) / wall_s,
            lag_us=(later.lag_s - self.lag_s) / ticks * 1e6 if ticks else 0.0,
        )


class StrainGauge:
    """Measures the process that it is in; made and run on the event loop in question."""

    def __init__(self) -> None:
        self._lag_s = 0.0
        self._ticks = 0
        self._start = self._read()
        self._recent: deque[_Reading] = deque([self._start])

    async def run(self) -> None:
        """Watch how late timers fire; ends by being cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due_s = clock() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._lag_s += max(0.0, clock() - due_s)
            self._ticks += 1

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
        return _Reading(time.monotonic(), time.process_time(), time.thread_time(), self._lag_s, self._ticks)
