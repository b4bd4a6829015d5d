"""One Triton server: its state, its start where tritop runs it, and its container."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.model.containers import Container
from tritop.model.models import ModelVersion
from tritop.model.sources import Source


class ServerState(StrEnum):
    """What is known about one server, from its answers and, where we run it, from its runtime."""

    CONNECTING = "CONNECTING"
    """Nothing has been read yet and nothing has failed yet."""
    STARTING = "STARTING"
    """Its runtime says that it runs; its endpoints are not open yet."""
    READY = "READY"
    NOT_READY = "NOT_READY"
    """It answers `live`, and `ready` says no: a model is loading, unloading or failed to load."""
    UNRESPONSIVE = "UNRESPONSIVE"
    """Connections are accepted and nothing answers in time."""
    UNREACHABLE = "UNREACHABLE"
    """Nobody answers at its address."""
    NOT_TRITON = "NOT_TRITON"
    """Something answers at its address that is not Triton."""
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    CRASHED = "CRASHED"
    """It ended by itself; a restart may be under way (see `Launch`)."""
    FAILED = "FAILED"
    """It cannot be started, and nobody tries any more."""


class ControlMode(StrEnum):
    """`--model-control-mode` of a server, as far as it can be found out over its API."""

    EXPLICIT = "explicit"
    POLL = "poll"
    NONE = "none"
    NONE_OR_POLL = "none or poll"
    """The server refuses to load and unload; it gives the same answer in both modes."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CustomSample:
    """One sample of a family that tritop does not know (backend metrics, vLLM, TRT-LLM)."""

    family: str
    labels: tuple[tuple[str, str], ...]
    value: float
    per_s: float | None
    """Change per second for counters, `None` for the rest and for the first reading."""
    kind: str = "unknown"
    name: str = ""
    """Sample name where it differs from the family (`_bucket`, `_sum`, `_count`)."""


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of an image that is being pulled. Texts are the engine's: untrusted."""

    id: str
    status: str
    """The engine's words: Waiting, Downloading, Extracting, Pull complete, ..."""
    done_bytes: int = 0
    total_bytes: int | None = None
    """Compressed; unknown until its download begins."""

    @property
    def downloaded(self) -> bool:
        """Whether all of it is here."""
        return self.status in ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done about it."""
        return self.status in ("Pull complete", "Already exists")


@dataclass(frozen=True, slots=True)
class Launch:
    """The supervised start of a server that tritop runs: desired against observed."""

    runtime: str
    """local or docker."""
    state: str
    """The supervisor's state, such as STARTING, READY, BACKOFF."""
    step: str = ""
    """What is being done now, such as "loading matrix"."""
    done: int | None = None
    total: int | None = None
    """`done` of `total` models loaded, or bytes pulled."""
    layers: tuple[ImageLayer, ...] = ()
    """Of its image, while that is pulled."""
    restarts: int = 0
    exit_code: int | None = None
    explanation: str = ""
    """Why it ended, in a sentence."""
    restart_in_s: float | None = None
    log_path: str = ""
    log_tail: tuple[str, ...] = ()
    command: str = ""
    """The equivalent shell command line, copyable."""
    pid: int | None = None
    container_id: str = ""
    """All 64 hexadecimal digits, "" outside of a container."""
    supervisor_pid: int | None = None
    """Process of another tritop, where that one acts on this server and this one only watches."""


@dataclass(frozen=True, slots=True)
class Processes:
    """What the processes of one server use together."""

    started_at: float | None = None
    """When the first of them started, wall time [s since the epoch]."""
    cpu_cores: float | None = None
    """CPU time over wall time: 1.0 is one core."""
    memory_used_bytes: int | None = None
    """Resident, without pages of files and without what is shared."""


@dataclass(frozen=True, slots=True)
class Server:
    """One Triton server as seen at one instant."""

    name: str
    endpoint: str
    """Its gRPC address, host:port."""
    state: ServerState = ServerState.CONNECTING
    version: str | None = None
    control_mode: ControlMode = ControlMode.UNKNOWN
    extensions: tuple[str, ...] = ()
    live: bool | None = None
    """`None` where it is not known now, as while nobody answers."""
    ready: bool | None = None
    read_only: bool = False
    models: tuple[ModelVersion, ...] = ()
    sources: tuple[Source, ...] = ()
    cpu_ratio: float | None = None
    """Of all cores of the server's host, 0..1."""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    pinned_used_bytes: int | None = None
    pinned_total_bytes: int | None = None
    counters_frozen: bool = False
    """The server runs with `counter_latencies=false`: its counters stay 0, statistics serve."""
    custom: tuple[CustomSample, ...] = ()
    launch: Launch | None = None
    """Where tritop runs it."""
    processes: Processes = Processes()
    """What it uses where tritop runs it outside of a container; see `container` for the others."""
    container: Container | None = None
    """Where it runs in a container of an engine that is watched."""
    metrics_endpoint: str = ""
    """URL of its metrics, "" where it has none."""
