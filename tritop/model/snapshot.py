"""The Snapshot and the Events in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.change import Drift, FieldChange
from tritop.model.gpus import Gpu
from tritop.model.servers import Server
from tritop.model.sources import Source
from tritop.model.traffic import Traffic
from tritop.operation import OperationStatus
from tritop.trial import TrialStatus


class EventKind(StrEnum):
    """What happened."""

    OPERATION = "operation"
    SERVER_LOST = "server lost"
    SERVER_BACK = "server back"
    SERVER_RESTARTED = "server restarted"
    SERVER_LAUNCHED = "server launched"
    SERVER_STARTED = "server started"
    SERVER_STOPPED = "server stopped"
    SERVER_REMOVED = "server removed"
    SERVER_CRASHED = "server crashed"
    MODEL_LOADED = "loaded"
    MODEL_UNLOADED = "unloaded"
    MODEL_RELOADED = "reloaded"
    MODEL_FAILED = "load failed"
    CONTROL_MODE = "control mode"
    GPU_ERROR = "GPU error"
    TRIAL_BEGUN = "trial begun"
    TRIAL_KEPT = "trial kept"
    TRIAL_TAKEN_BACK = "trial taken back"
    UNDONE = "undone"
    CONFIG_SAVED = "config saved"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; the ledger is the list of Events."""

    at: float
    """Wall time [s since the epoch]."""
    kind: EventKind
    server: str
    model: str = ""
    version: str = ""
    who: str = ""
    """user@host for what tritop did, "" for what it noticed."""
    text: str = ""
    """What it was in a sentence, or the server's words; untrusted."""
    id: str = ""
    """Its entry in the ledger, "" while it has none."""
    diff: tuple[FieldChange, ...] = ()
    outcome: str = ""
    """What became of it, for what tritop did; untrusted."""
    succeeded: bool | None = None
    """`None` for what was only noticed."""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything the operator sees at one instant; compared by identity."""

    seq: int
    at: float
    """Wall time [s since the epoch]."""
    mono: float
    """Monotonic time [s]; differences of it are durations."""
    interval_s: float
    servers: tuple[Server, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    gpu_source: Source | None = None
    """NVML on this host; `None` while no server on this host is watched."""
    gpu_driver: str = ""
    """Version of the driver, "" while it is unknown."""
    engine: Source | None = None
    """The Docker engine; `None` while none is looked at."""
    traffic: tuple[Traffic, ...] = ()
    operations: tuple[OperationStatus, ...] = ()
    events: tuple[Event, ...] = ()
    """The newest events, oldest first, bounded."""
    trials: tuple[TrialStatus, ...] = ()
    """Trials under way, those that ended lately, and those that were found in the ledger."""
    drifts: tuple[Drift, ...] = ()
    """Running configurations against the files, for the models whose repository is readable from here."""
    bug: str = ""
    """Traceback of a bug in tritop itself: the rest of this Snapshot is the one before it."""


EMPTY_SNAPSHOT = Snapshot(seq=0, at=0.0, mono=0.0, interval_s=1.0)
"""What a screen shows before the first delivery."""
