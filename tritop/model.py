"""The Snapshot: everything the operator sees at one instant, as frozen values.

Unknown is `None`, never 0. Names carry their units. Nothing here holds a colour, a display
text or a clock. Texts that came from a server (names, reasons) are untrusted: whoever draws
them removes control characters first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tritop.change import Drift, FieldChange
from tritop.operation import OperationStatus
from tritop.trial import TrialStatus


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


class ModelState(StrEnum):
    """State of one model version: Triton's own, with UNAVAILABLE split by its reason."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    FAILED = "FAILED"
    """UNAVAILABLE with a reason other than "unloaded"."""
    UNLOADED = "UNLOADED"
    """In the repository and not loaded, or taken out."""
    UNKNOWN = "UNKNOWN"


class SourceState(StrEnum):
    """How fresh one source is."""

    WAITING = "WAITING"
    """Asked, no answer yet."""
    OK = "OK"
    STALE = "STALE"
    """The last good answer is older than three periods; its numbers are kept with their age."""
    FAULT = "FAULT"
    """The last attempt failed; `Source.fault` says how."""
    OFF = "OFF"
    """The server does not offer it."""


class Origin(StrEnum):
    """Where a latency is from."""

    MEAN = "mean"
    """Difference of two counters."""
    QUANTILE_60S = "60 s quantile"
    """Triton's summary over a sliding window of 60 s."""
    HISTOGRAM = "histogram"
    CLIENT = "client"
    """Measured by our own traffic, transport included."""


class Scheduling(StrEnum):
    """`scheduling_choice` of a model configuration."""

    NONE = "none"
    DYNAMIC_BATCHING = "dynamic batching"
    SEQUENCE_BATCHING = "sequence batching"
    ENSEMBLE = "ensemble"


class VerdictKind(StrEnum):
    """Why a model is slow; see `Verdict`."""

    DELAY = "delay"
    CAPACITY = "capacity"
    INSTANCES = "instances"
    INPUT = "input"
    CLIENT = "client"
    STALLED = "stalled"
    REJECTING = "rejecting"
    FAILING = "failing"
    LOAD_FAILED = "load failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reason with the numbers that speak for it."""

    kind: VerdictKind
    evidence: tuple[tuple[str, float], ...] = ()
    """(name with its unit, value), most telling first."""
    text: str = ""
    """What the server itself said, verbatim and untrusted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a source could not be read."""

    title: str
    """Two or three words; `TritopError.title`."""
    sentence: str
    advice: str
    since: float
    """Wall time [s since the epoch] of the first of the failures in a row."""
    attempts: int = 1
    """Failures in a row."""


RUNTIME_SOURCE = "runtime"
"""Name of the source that is no word of the server's own: what tritop itself knows of a process that it runs."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of one server: when it was last read and what is wrong with it."""

    name: str
    state: SourceState
    age_s: float | None = None
    """Age of the last good reading."""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """One `instance_group` of a model configuration."""

    name: str
    kind: str
    """KIND_CPU, KIND_GPU, KIND_MODEL or KIND_AUTO."""
    count: int
    """Instances for each GPU, or in all where the kind is not KIND_GPU."""
    gpus: tuple[int, ...] = ()

    @property
    def instances(self) -> int:
        """How many instances the group makes."""
        return self.count * max(1, len(self.gpus))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model, as its metadata give it."""

    name: str
    datatype: str
    """Triton's name: FP32, INT64, BYTES, ..."""
    shape: tuple[int, ...]
    """-1 is a dynamic dimension; the batch dimension is included where the model batches."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the screen needs from a model configuration; `pbtxt` is the whole of it."""

    backend: str = ""
    platform: str = ""
    max_batch_size: int = 0
    scheduling: Scheduling = Scheduling.NONE
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    max_queue_size: int = 0
    """0 is unbounded."""
    default_timeout_us: int = 0
    """How long a request may wait in the queue; 0 is no time-out."""
    timeout_action: str = "REJECT"
    """What happens after it: REJECT or DELAY."""
    allow_timeout_override: bool = False
    preserve_ordering: bool = False
    priority_levels: int = 0
    """0 is no priorities."""
    default_priority_level: int = 0
    instance_groups: tuple[InstanceGroup, ...] = ()
    response_cache: bool = False
    decoupled: bool = False
    ensemble_steps: tuple[str, ...] = ()
    """Names of the models that an ensemble calls."""
    version_policy: str = ""
    """`latest: 1`, `all`, `specific: 1,3`; goes stale for versions that were not rebuilt."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    pbtxt: str = field(default="", repr=False)

    @property
    def instances(self) -> int | None:
        """Instances of one version over all groups, `None` for an ensemble, which has none."""
        if self.scheduling is Scheduling.ENSEMBLE:
            return None
        return sum(group.instances for group in self.instance_groups) or 1


@dataclass(frozen=True, slots=True)
class BatchSize:
    """One executed batch size in the window of `ModelVersion.batch_window_s`."""

    size: int
    executions_per_s: float
    us_per_inference: float | None
    """Compute time (input, infer, output) divided by inferences."""
    share: float
    """Of all executions in the window, 0..1."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """One quantile that the server itself gives, only while its count moves."""

    stage: str
    """request, queue, compute_input, compute_infer, compute_output or first_response."""
    q: float
    us: float


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of one model; a model that was never loaded is one row with version ""."""

    name: str
    version: str
    state: ModelState
    reason: str = ""
    """The server's own words for its state: untrusted, may hold many lines."""
    config: ModelConfig | None = None
    requests_per_s: float | None = None
    failures_per_s: float | None = None
    failures_by_reason: tuple[tuple[str, float], ...] = ()
    """(reason, failures/s), only reasons that moved in this interval."""
    inferences_per_s: float | None = None
    executions_per_s: float | None = None
    batch_avg: float | None = None
    request_us: float | None = None
    queue_us: float | None = None
    compute_input_us: float | None = None
    compute_infer_us: float | None = None
    compute_output_us: float | None = None
    quantiles: tuple[Quantile, ...] = ()
    p99_us: float | None = None
    p99_origin: Origin | None = None
    pending: int | None = None
    busy_ratio: float | None = None
    """Compute time over wall time and instances, 0..1; may exceed 1 by sampling error."""
    batch_sizes: tuple[BatchSize, ...] = ()
    batch_window_s: float | None = None
    cache_hit_ratio: float | None = None
    last_inference_at: float | None = None
    """Wall time [s since the epoch] by the server's clock."""
    load_duration_s: float | None = None
    memory_bytes: tuple[tuple[str, int], ...] = ()
    """(kind and id, bytes) where the backend reports it, such as ("GPU 0", 123)."""
    gpu_requests_per_s: tuple[tuple[str, float], ...] = ()
    """(gpu_uuid, requests/s) where instances of several GPUs report apart."""
    age_s: float | None = None
    """Age of these numbers where they are older than the interval; `None` when fresh."""
    counters_restarted: bool = False
    """A counter went back in this interval: the model was reloaded or the server restarted."""
    verdict: Verdict | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the row within its server."""
        return (self.name, self.version)


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
    metrics_endpoint: str = ""
    """URL of its metrics, "" where it has none."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process on a GPU."""

    pid: int
    """In the pid namespace of the host, as the driver gives it."""
    used_bytes: int | None
    name: str = ""
    server: str | None = None
    """The server that it belongs to; `None` for a neighbour."""
    container: str | None = None
    """Id of its container, 64 hexadecimal digits, `None` outside of one."""
    kind: str = ""
    """compute, graphics, mps, or several of them joined by `+`."""
    user: str = ""
    gpu_instance: int | None = None
    """Of the MIG device that it runs on."""


@dataclass(frozen=True, slots=True)
class Xid:
    """One critical error that the driver reported while it was watched; NVIDIA's catalogue says what a code means."""

    at: float
    """Wall time [s since the epoch]."""
    code: int


@dataclass(frozen=True, slots=True)
class MigDevice:
    """One slice of a GPU in MIG mode; NVML gives no utilisation for it."""

    uuid: str
    gpu_instance: int | None = None
    compute_instance: int | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, from NVML on this host or from Triton's own gauges."""

    uuid: str
    name: str = ""
    origin: str = "triton"
    """nvml, or triton for the server's own `nv_gpu_*`."""
    index: int | None = None
    """NVML's; it ignores CUDA_VISIBLE_DEVICES and may change with a reboot."""
    bus_id: str = ""
    utilization_ratio: float | None = None
    """Share of the last second or less in which a kernel ran; full is not the same as fully used."""
    memory_utilization_ratio: float | None = None
    """Share of that time in which memory was read or written."""
    used_bytes: int | None = None
    """Without what the driver reserves for itself."""
    reserved_bytes: int | None = None
    total_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    """Since the driver was loaded."""
    temperature_c: float | None = None
    slowdown_c: float | None = None
    """The hardware slows down from this temperature on."""
    memory_temperature_c: float | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    max_memory_clock_mhz: int | None = None
    performance_state: int | None = None
    """0 is the fastest, 15 the slowest."""
    fan_ratio: float | None = None
    persistence: bool | None = None
    throttle_reasons: tuple[str, ...] = ()
    ecc_corrected: int | None = None
    """Memory errors since the driver was loaded."""
    ecc_uncorrected: int | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    """Rows wait to be remapped at the next reset."""
    remap_failed: bool | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_sent_bytes_per_s: float | None = None
    """By the GPU, over 20 ms; read only on demand, since each reading takes as long."""
    pcie_received_bytes_per_s: float | None = None
    mig: bool | None = None
    mig_devices: tuple[MigDevice, ...] = ()
    xids: tuple[Xid, ...] = ()
    """The last ones since tritop began to watch, oldest first."""
    processes: tuple[GpuProcess, ...] = ()
    unseen_processes: int = 0
    """Processes in the driver's list that do not exist here: of another pid namespace, or just gone."""
    servers: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    """Names of fields that this GPU, or its driver, does not offer."""
    field_faults: tuple[tuple[str, str], ...] = ()
    """(field, why) for fields that could not be read although they are offered."""
    fault: str = ""
    """Why the whole GPU cannot be read."""


class EventKind(StrEnum):
    """What happened."""

    OPERATION = "operation"
    SERVER_LOST = "server lost"
    SERVER_BACK = "server back"
    SERVER_RESTARTED = "server restarted"
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
