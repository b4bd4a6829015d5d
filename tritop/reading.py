"""Readings: what one source said at one instant, and the Collector that says it.

A Reading is stamped when it was read: `at` is wall time [s since the epoch] for people, `mono`
is monotonic time [s] for rates. Nothing is derived here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tritop.model import Container, ControlMode, Fault, Gpu, Launch, ModelConfig, Traffic


@dataclass(frozen=True, slots=True)
class Series:
    """One sample line of a Prometheus exposition without its value."""

    family: str
    """Metric family, such as `nv_inference_count` or `vllm:prompt_tokens_total`."""
    name: str
    """Sample name; differs from the family for `_bucket`, `_sum` and `_count`."""
    labels: tuple[tuple[str, str], ...]
    """Sorted by label name, values unescaped; untrusted text."""
    kind: str
    """counter, gauge, histogram, summary or unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The series of an exposition in order; the same object for as long as they do not change."""

    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MetricsReading:
    """One scrape of /metrics: `values[i]` belongs to `layout.series[i]`; NaN is kept."""

    at: float
    mono: float
    layout: Layout
    values: Sequence[float]
    body_bytes: int = 0
    dropped_series: int = 0
    """Series beyond the bound that were left out."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A StatisticDuration of Triton's statistics extension: `count` events took `ns` in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Executions of one batch size since the model object was made."""

    size: int
    count: int
    """Executions."""
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


@dataclass(frozen=True, slots=True)
class VersionStatistics:
    """ModelStatistics of one model version; restarts at 0 with every full reload."""

    name: str
    version: str
    last_inference_ms: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()
    batches: tuple[BatchStatistics, ...] = ()
    memory_bytes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One row of the repository index, verbatim."""

    name: str
    version: str
    """"" for a model that was never loaded."""
    state: str
    """UNKNOWN, LOADING, READY, UNLOADING, UNAVAILABLE, or "" for never loaded."""
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ApiReading:
    """What the gRPC API said. A part that could not be read is `None`, with its fault named."""

    at: float
    mono: float
    live: bool | None = None
    ready: bool | None = None
    server_name: str = ""
    version: str = ""
    extensions: tuple[str, ...] = ()
    control_mode: ControlMode = ControlMode.UNKNOWN
    index: tuple[IndexEntry, ...] | None = None
    statistics: tuple[VersionStatistics, ...] | None = None
    configs: Mapping[tuple[str, str], ModelConfig] = field(default_factory=dict)
    """(name, version) -> configuration, for every loaded version read so far."""
    part_faults: tuple[Fault, ...] = ()
    """Parts that are restricted or failed while the rest was read."""


@dataclass(frozen=True, slots=True, eq=False)
class TrafficReading:
    """The newest report of every traffic generator of one server."""

    at: float
    mono: float
    traffic: tuple[Traffic, ...]


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What the processes of a server use, all of them together."""

    started_at: float | None = None
    """When the first of them started, wall time [s since the epoch]."""
    cpu_s: float | None = None
    """CPU time of those that there are now, since each began."""
    memory_bytes: int | None = None
    """Resident, without pages of files and without what is shared."""


@dataclass(frozen=True, slots=True, eq=False)
class LaunchReading:
    """What the runtime of a server that tritop runs said."""

    at: float
    mono: float
    launch: Launch
    usage: ProcessUsage = ProcessUsage()
    """Of a server outside of a container; for the others see `EngineReading`."""


@dataclass(frozen=True, slots=True)
class HostProcess:
    """What this host's /proc says of a process that uses a GPU."""

    pid: int
    name: str = ""
    """Basename of its program."""
    user: str = ""
    container: str | None = None
    """Id of its container, 64 hexadecimal digits."""
    ancestors: tuple[int, ...] = ()
    """Pids of its parent, its parent's parent, and so on, without pid 1."""
    ports: tuple[int, ...] = ()
    """TCP ports that a `tritonserver`, itself or an ancestor, listens on in tritop's network namespace."""


@dataclass(frozen=True, slots=True, eq=False)
class GpuReading:
    """What NVML on this host said of every GPU."""

    at: float
    mono: float
    driver_version: str
    gpus: tuple[Gpu, ...]
    """As NVML gives them: their processes have no name, container or server yet."""
    processes: tuple[HostProcess, ...] = ()
    """Those of all GPUs."""


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """One sample of what a container uses. Counters run since its start, and start again with it."""

    at: float
    """By the engine's clock [s since the epoch]; differences between samples are durations."""
    mono: float
    """When it came."""
    cpu_ns: int | None = None
    """CPU time of all its processes."""
    memory_bytes: int | None = None
    """With the file cache."""
    inactive_file_bytes: int | None = None
    """The part of it that is file cache which can be dropped."""
    received_bytes: int | None = None
    """By all its networks; `None` where it has none of its own."""
    sent_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerSight:
    """One container with Triton in it, as the engine showed it."""

    container: Container
    """Its facts, without what it uses."""
    profile: str = ""
    """tritop's name for it, "" for one that tritop did not make."""
    host: str = ""
    """Where it answers from this host, "" where its gRPC port is not published or it does not run."""
    grpc_port: int = 0
    http_port: int = 0
    metrics_url: str = ""
    """"" where its metrics are not published."""
    usage: ContainerUsage | None = None
    """The newest sample; `None` where there is none that is recent."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineReading:
    """What a Docker engine said of every container with Triton in it, ours or not."""

    at: float
    mono: float
    containers: tuple[ContainerSight, ...] = ()
    """By name."""


Reading = MetricsReading | ApiReading | TrafficReading | LaunchReading | GpuReading | EngineReading


class Collector(Protocol):
    """One source of one server. It only reads."""

    @property
    def name(self) -> str:
        """What the source strip calls it, such as `metrics`."""
        ...

    @property
    def period_s(self) -> float | None:
        """Its own period where it differs from the session's interval."""
        ...

    async def read(self) -> Reading:
        """Read once.

        Raises:
            ReadError: whatever the source met, typed; no other exception leaves a collector.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and child processes; never raises, returns within a second."""
        ...
