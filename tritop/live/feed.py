"""One collector under supervision: time-out, back-off, and the newest reading or fault."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from tritop.derive.round import SourceRound
from tritop.errors import ReadError, TimedOut, TritopError, Unavailable
from tritop.model import Fault
from tritop.reading import Collector, Reading

READ_TIMEOUT_S = 5.0
"""Last bound on one read; collectors have tighter ones of their own."""
MAX_BACK_OFF_S = 2.0
"""A server that comes back is seen within this time."""


def fault_after(error: TritopError, previous: Fault | None, at: float) -> Fault:
    """The fault of a failed attempt; `since` and `attempts` go on while failures are in a row."""
    return Fault(
        title=error.title,
        sentence=error.sentence,
        advice=error.advice,
        since=previous.since if previous else at,
        attempts=previous.attempts + 1 if previous else 1,
    )


class Feed:
    """Runs one collector when told to and keeps what it said last.

    Args:
        collector: the source.
        clock: wall time [s], stamps faults.
        monotonic: monotonic time [s], decides when the source is due.
    """

    def __init__(self, collector: Collector, *, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.collector = collector
        self._clock = clock
        self._monotonic = monotonic
        self._reading: Reading | None = None
        self._fault: Fault | None = None
        self._off = False
        self._due_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def pulse(self, interval_s: float, *, now: bool = False) -> asyncio.Task[None] | None:
        """Start a read if the source is due and idle; return the read under way, if any."""
        if self._task is not None and not self._task.done():
            return self._task
        # A tenth of the interval is allowed for, so that a tick a little early does not skip a read.
        if not now and self._monotonic() < self._due_at - interval_s / 10:
            return None
        self._task = asyncio.create_task(self._read_once(interval_s), name=f"read {self.collector.name}")
        return self._task

    async def _read_once(self, interval_s: float) -> None:
        period_s = self.collector.period_s or interval_s
        self._due_at = self._monotonic() + period_s
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                self._reading = await self.collector.read()
        except ReadError as error:
            self._failed(error, period_s)
        except TimeoutError:
            self._failed(TimedOut(f"{self.collector.name} gave no answer within {READ_TIMEOUT_S:.0f} s."), period_s)
        except Exception as error:  # noqa: BLE001  the supervising loop: a bug in one source must not end the others
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._failed(
                ReadError(
                    f"{self.collector.name} met a bug in tritop: {type(error).__name__}: {error} "
                    f"({where.name}, line {where.lineno}).",
                    "The other sources go on. Please report it.",
                ),
                period_s,
            )
        else:
            self._fault, self._off = None, False

    def _failed(self, error: ReadError, period_s: float) -> None:
        self._fault = fault_after(error, self._fault, self._clock())
        self._off = isinstance(error, Unavailable)
        back_off_s = min(period_s * 2.0 ** min(self._fault.attempts - 1, 8), max(MAX_BACK_OFF_S, period_s))
        self._due_at = self._monotonic() + back_off_s

    def as_round(self, interval_s: float) -> SourceRound:
        """What `derive` is told of this source."""
        return SourceRound(
            name=self.collector.name,
            period_s=self.collector.period_s or interval_s,
            reading=self._reading,
            fault=self._fault,
            off=self._off,
        )

    async def close(self) -> None:
        """End the read under way and close the collector."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.collector.aclose()
