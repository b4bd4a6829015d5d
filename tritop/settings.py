"""How the screen is to look and behave: what the command line, environment and file came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a number begins to stand out: (attention, alarm), the second at least the first."""

    queue_us: tuple[float, float] = (10_000.0, 100_000.0)
    """Mean time in the queue of one interval."""
    busy_ratio: tuple[float, float] = (0.80, 0.95)
    failures_per_s: tuple[float, float] = (0.0, 1.0)
    """Above the first is attention, so that one failure shows."""
    pending: tuple[float, float] = (16.0, 64.0)
    """Requests that wait."""
    gpu_utilization_ratio: tuple[float, float] = (0.80, 0.95)
    gpu_memory_ratio: tuple[float, float] = (0.85, 0.95)


@dataclass(frozen=True, slots=True)
class LaunchProfile:
    """`[servers.NAME]` of the config file, which the form of a new server can be filled with."""

    name: str
    fields: Mapping[str, Any]
    """Those of a ServerSpec that it gives."""
    error: str = ""
    """Why it cannot be used, in a sentence."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the screen. Resolved once by the command line and never changed after."""

    interval_s: float = 1.0
    """Seconds between two readings at the start; the operator may change it on the screen."""
    theme: str | None = None
    """Name of a theme; `None` lets the screen choose."""
    ascii: bool = False
    """Draw with ASCII characters only."""
    color: bool = True
    """False under NO_COLOR and --no-color."""
    mouse: bool = True
    low_bandwidth: bool = False
    """The terminal is on the far side of an SSH connection: paint less often, animate nothing."""
    read_only: bool = False
    """Nothing that changes a server is offered, for any server."""
    title: str = ""
    """What the screen calls this session, such as `demo` or the name of the only target."""
    columns: tuple[str, ...] = ()
    """Keys of the overview's columns in order; empty lets the width decide."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    profiles: tuple[LaunchProfile, ...] = ()
