"""Operations: what the operator asked for. Their progress comes back in the next Snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class SetTraffic:
    """Start, steer or stop our own traffic to a model.

    Exactly one of `concurrency` and `rate_per_s` is set, or neither, which stops the traffic.
    """

    server: str
    model: str
    version: str = ""
    concurrency: int | None = None
    rate_per_s: float | None = None
    poisson: bool = False


@dataclass(frozen=True, slots=True)
class SetInterval:
    """Read the sources every `interval_s` seconds from now on."""

    interval_s: float


@dataclass(frozen=True, slots=True)
class ReadNow:
    """Read every source at once, back-off or not."""


Operation = SetTraffic | SetInterval | ReadNow


class OperationState(StrEnum):
    """How far an operation is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """One operation and what became of it."""

    number: int
    """Counts up from 1 within a session."""
    operation: Operation
    state: OperationState
    started_at: float
    """Wall time [s since the epoch]."""
    finished_at: float | None = None
    text: str = ""
    """Progress while it runs, the outcome or the error once it ended; untrusted."""
