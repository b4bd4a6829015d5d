"""What `derive` is given once per interval: the newest reading of every source of every server."""

from __future__ import annotations

from dataclasses import dataclass

from tritop.change import Drift
from tritop.model import Event, Fault, Traffic
from tritop.operation import OperationStatus
from tritop.reading import Reading
from tritop.trial import TrialStatus


@dataclass(frozen=True, slots=True)
class SourceRound:
    """One source of one server as it stands now.

    Fresh, stale, faulty and switched off are told apart from these fields alone: `off` wins,
    then `fault`, then the age of `reading` (`Round.mono - reading.mono`) against three periods.
    """

    name: str
    """`Collector.name`, unique within the server."""
    period_s: float
    """How often the source is read [s]."""
    reading: Reading | None = None
    """The newest good reading, the same object as in the last round where there is no newer one."""
    fault: Fault | None = None
    """Why the last attempt failed, `None` if it did not fail."""
    off: bool = False
    """The server does not offer it, or it was not asked for."""


@dataclass(frozen=True, slots=True)
class ServerRound:
    """One server with its sources."""

    name: str
    """Unique within the session."""
    endpoint: str
    """Its gRPC address, host:port."""
    metrics_endpoint: str = ""
    """URL of its metrics, "" where they are not read."""
    read_only: bool = False
    sources: tuple[SourceRound, ...] = ()
    """Any number of sources of any kind of Reading, in the order in which they are shown."""
    container_id: str = ""
    """Its container, where the session found it by its container; its runtime may name one as well."""


@dataclass(frozen=True, slots=True)
class Round:
    """Everything known at one instant. `derive` looks at no clock but these two."""

    at: float
    """Wall time [s since the epoch], for people only."""
    mono: float
    """Monotonic time [s], on the clock of `Reading.mono`."""
    interval_s: float
    servers: tuple[ServerRound, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    """Our own traffic, beside what sources say with a TrafficReading."""
    operations: tuple[OperationStatus, ...] = ()
    events: tuple[Event, ...] = ()
    """New events since the last round that the session itself knows of, oldest first."""
    trials: tuple[TrialStatus, ...] = ()
    drifts: tuple[Drift, ...] = ()
    gpus: SourceRound | None = None
    """NVML on this host, `None` while no server on this host is watched."""
    engine: SourceRound | None = None
    """The Docker engine, `None` while none is looked at."""
