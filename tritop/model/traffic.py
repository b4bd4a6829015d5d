"""Our own traffic to a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrafficState(StrEnum):
    """What the traffic generator of one model does."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Our own traffic to one model, measured by the client over `window_s`."""

    server: str
    model: str
    version: str
    """"" where the server chooses."""
    state: TrafficState
    concurrency: int | None = None
    """Closed loop: requests kept in flight."""
    rate_per_s: float | None = None
    """Open loop: requests scheduled per second."""
    poisson: bool = False
    window_s: float | None = None
    requests_per_s: float | None = None
    errors_per_s: float | None = None
    errors_by_kind: tuple[tuple[str, int], ...] = ()
    """(kind, errors since the start), such as ("UNAVAILABLE: Exceeds maximum queue size", 20)."""
    p50_us: float | None = None
    p90_us: float | None = None
    p99_us: float | None = None
    max_us: float | None = None
    in_flight: int | None = None
    late: int | None = None
    """Open loop: requests sent after their time, since too many others waited, since the start."""
    client_cpu_ratio: float | None = None
    """CPU of the generator's process over one core."""
    client_bound: bool = False
    """The generator, not the server, limits the rate."""
    fault: str = ""
