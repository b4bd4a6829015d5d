"""When requests are sent: so many in flight (closed loop), or so many a second (open loop)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from tritop.errors import UsageError

MAX_CONCURRENCY = 4096
MAX_RATE_PER_S = 100_000.0


@dataclass(frozen=True, slots=True)
class Aim:
    """What the traffic is to be: exactly one of `concurrency` and `rate_per_s` is set.

    Raises:
        UsageError: neither or both are set, a number is out of its range, or Poisson arrivals are
            asked for in a closed loop, which has no arrivals of its own.
    """

    concurrency: int | None = None
    """Closed loop: requests kept in flight; the next one is sent when one has been answered."""
    rate_per_s: float | None = None
    """Open loop: requests scheduled per second, whatever the server does."""
    poisson: bool = False
    """Open loop: exponentially distributed gaps instead of equal ones."""

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.rate_per_s is None):
            raise UsageError("traffic needs either a concurrency or a rate.", "Give --concurrency N or --rate R.")
        if self.concurrency is not None and not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(f"a concurrency of {self.concurrency} is not between 1 and {MAX_CONCURRENCY}.")
        if self.rate_per_s is not None and not (0 < self.rate_per_s <= MAX_RATE_PER_S):
            raise UsageError(f"a rate of {self.rate_per_s:g} per second is not above 0 and up to {MAX_RATE_PER_S:g}.")
        if self.poisson and self.rate_per_s is None:
            raise UsageError("Poisson arrivals need a rate.", "Give --rate R with --poisson.")


class Arrivals:
    """The scheduled times of an open loop.

    The times do not depend on what the server does, and latency is counted from them: a server
    that stalls for a second is charged with every request that should have been sent in that
    second, not only with those that happened to be in flight ("coordinated omission").

    Args:
        rate_per_s: requests per second on average.
        poisson: draw the gaps from an exponential distribution (a Poisson process).
        start_s: time of the first arrival of a constant rate; a Poisson process draws a gap first.
        seed: of the gaps, so that two runs can be compared.
    """

    def __init__(self, rate_per_s: float, *, poisson: bool, start_s: float, seed: int = 0) -> None:
        if not (math.isfinite(rate_per_s) and rate_per_s > 0):
            raise ValueError(f"rate_per_s is {rate_per_s}")
        self._rate_per_s = rate_per_s
        self._gaps = Random(seed) if poisson else None
        self._start_s = start_s
        self._count = 0
        self.next_s = start_s
        """When the next request is to be sent, on the clock of `start_s`."""
        if self._gaps is not None:
            self.next_s += self._gaps.expovariate(rate_per_s)

    def advance(self) -> None:
        """Take the next arrival."""
        self._count += 1
        if self._gaps is not None:
            self.next_s += self._gaps.expovariate(self._rate_per_s)
        else:
            # From the start each time: adding 1/rate up would drift by rounding over hours.
            self.next_s = self._start_s + self._count / self._rate_per_s

    def skip_until(self, time_s: float) -> int:
        """Take every arrival before `time_s` without sending it; how many that were."""
        skipped = 0
        while self.next_s < time_s:
            self.advance()
            skipped += 1
        return skipped
