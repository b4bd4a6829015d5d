"""What the client measured: latencies of successes in high-dynamic-range histograms, errors apart.

The histograms keep three significant digits from 1 us to one hour, so a percentile is within
0.1 % of the nearest-rank percentile of all latencies, which is how perf_analyzer computes its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, deque
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

WINDOW_S = 10.0
"""Length of the sliding window."""
SLOT_S = 1.0
"""The window moves in steps of this."""
MAX_KINDS = 20
"""Different errors that are kept apart; the rest are counted together."""
OTHER_KINDS = "other errors"

_MAX_US = 3_600_000_000
_KIND_LENGTH = 140
# Only whole numbers: the digits of `resnet50` or `v2` are part of a name.
_NUMBER = re.compile(r"(?<!\w)\d+(?:[.:]\d+)*\b")


def error_kind(code: str, details: str) -> str:
    """What two errors have in common: the gRPC code and the first line of the message.

    Numbers become `#`, so that a request id or a size does not make every error a kind of its own,
    and control characters are removed, since the server wrote the text.
    """
    line = next((line for line in details.splitlines() if line.strip()), "").strip()
    line = "".join(char for char in line[: 4 * _KIND_LENGTH] if unicodedata.category(char)[0] != "C")
    text = f"{code}: {_NUMBER.sub('#', line)}" if line else code
    return text if len(text) <= _KIND_LENGTH else f"{text[: _KIND_LENGTH - 3]}..."


@dataclass(frozen=True, slots=True)
class Figures:
    """One window, or everything since the start: counts, and latencies [us] of the successes."""

    seconds: float
    requests: int = 0
    """Successes."""
    inferences: int = 0
    errors: int = 0
    mean_us: float | None = None
    p50_us: float | None = None
    p90_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None
    p999_us: float | None = None
    max_us: float | None = None


class _Slot:
    """Counts and a histogram that are filled for `SLOT_S`, or sum up other slots."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.histogram = HdrHistogram(1, _MAX_US, 3)
        self.requests = 0
        self.inferences = 0
        self.errors = 0
        self.sum_us = 0
        self.max_us = 0

    def add(self, other: _Slot) -> None:
        self.histogram.add(other.histogram)
        self.requests += other.requests
        self.inferences += other.inferences
        self.errors += other.errors
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)

    def figures(self, now_s: float) -> Figures:
        seconds = max(0.0, now_s - self.start_s)
        if not self.requests:
            return Figures(seconds, errors=self.errors)
        at = self.histogram.get_percentile_to_value_dict([50, 90, 95, 99, 99.9])
        # The histogram answers with the upper end of a bucket, which may be above what ever was.
        p50, p90, p95, p99, p999 = (float(min(at[q], self.max_us)) for q in (50, 90, 95, 99, 99.9))
        mean_us = self.sum_us / self.requests
        return Figures(
            seconds, self.requests, self.inferences, self.errors, mean_us, p50, p90, p95, p99, p999, float(self.max_us)
        )


class Latencies:
    """Latencies and errors, over a sliding window and since the last `restart`.

    A request belongs to the instant at which it *ended*. Times are seconds on any clock that does
    not go back.
    """

    def __init__(self, now_s: float) -> None:
        self._total = _Slot(now_s)
        self._slots: deque[_Slot] = deque([_Slot(now_s)])
        self._kinds: Counter[str] = Counter()

    def succeeded(self, now_s: float, latency_us: int, inferences: int) -> None:
        """Count one success."""
        slot = self._current(now_s)
        latency_us = min(max(latency_us, 1), _MAX_US)
        slot.histogram.record_value(latency_us)
        slot.requests += 1
        slot.inferences += inferences
        slot.sum_us += latency_us
        slot.max_us = max(slot.max_us, latency_us)

    def failed(self, now_s: float, kind: str, count: int = 1) -> None:
        """Count failures of one kind; they have no part in any latency."""
        self._current(now_s).errors += count
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = OTHER_KINDS
        self._kinds[kind] += count

    def errors_by_kind(self) -> tuple[tuple[str, int], ...]:
        """(kind, count) since the last `restart`, most frequent first."""
        return tuple(self._kinds.most_common())

    def window(self, now_s: float) -> Figures:
        """The last `WINDOW_S`, or since `restart_window` where that is shorter."""
        self._current(now_s)
        merged = _Slot(self._slots[0].start_s)
        for slot in self._slots:
            merged.add(slot)
        return merged.figures(now_s)

    def total(self, now_s: float) -> Figures:
        """Everything since the last `restart`."""
        merged = _Slot(self._total.start_s)
        merged.add(self._total)
        for slot in self._slots:
            merged.add(slot)
        return merged.figures(now_s)

    def restart(self, now_s: float) -> None:
        """Forget everything: a measurement begins."""
        self._total = _Slot(now_s)
        self._slots = deque([_Slot(now_s)])
        self._kinds.clear()

    def restart_window(self, now_s: float) -> None:
        """Begin a new window, so that it does not mix two settings; the total goes on."""
        for slot in self._slots:
            self._total.add(slot)
        self._slots = deque([_Slot(now_s)])

    def _current(self, now_s: float) -> _Slot:
        slot = self._slots[-1]
        if now_s - slot.start_s < SLOT_S:
            return slot
        # A slot starts on the grid of its window, so that steps stay even when events are rare.
        slot = _Slot(slot.start_s + (now_s - slot.start_s) // SLOT_S * SLOT_S)
        self._slots.append(slot)
        while self._slots[0].start_s < now_s - WINDOW_S:
            self._total.add(self._slots.popleft())
        return slot
