"""One version of one model: its state, its configuration, its numbers, and why it is slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


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
