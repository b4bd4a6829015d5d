"""The model rows of `tests.tui.samples`: what a handful of believable models do under traffic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tritop.model import (
    BatchSize,
    InstanceGroup,
    ModelConfig,
    ModelState,
    ModelVersion,
    Origin,
    Quantile,
    Scheduling,
    TensorSpec,
    Verdict,
    VerdictKind,
)

FAILED_REASON = (
    "Internal: FileNotFoundError: [Errno 2] No such file or directory: '/models/ranker/1/weights.npz'\n"
    "\nAt:\n  /models/ranker/1/model.py(31): initialize\n"
)
IMAGE = (TensorSpec("INPUT", "FP32", (-1, 3, 224, 224)),)
SCORES = (TensorSpec("OUTPUT", "FP32", (-1, 1000)),)
PBTXT = 'name: "{name}"\nbackend: "python"\nmax_batch_size: 32\ninstance_group {{\n  count: 2\n  kind: KIND_CPU\n}}\n'


def sample_models(
    seq: int, now: float, *, count: int, failing: bool, traffic: bool, batching: bool, names: Sequence[str]
) -> tuple[ModelVersion, ...]:
    """Make `count` rows sorted as a server lists them; see `sample_snapshot` for the arguments."""
    rows: list[ModelVersion] = []
    for number in range(count):
        kind = number % len(_KINDS)
        row = _KINDS[kind](Moment(seq + number, now, traffic, batching, failing))
        if number < len(names):
            row = replace(row, name=names[number])
        elif number >= len(_KINDS):
            row = replace(row, name=f"{row.name}_{number:04d}")
        rows.append(row)
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the numbers of a row depend on."""

    seq: int
    now: float
    traffic: bool
    batching: bool
    failing: bool

    def moving(self, value: float) -> float:
        """`value` with a slow wave of two percent."""
        return value * (1.0 + 0.02 * math.sin(self.seq / 3))


def _config(name: str, **changes: object) -> ModelConfig:
    base = ModelConfig(
        backend="python",
        platform="",
        max_batch_size=32,
        instance_groups=(InstanceGroup(f"{name}_0", "KIND_CPU", 2),),
        version_policy="latest: 1",
        inputs=IMAGE,
        outputs=SCORES,
        pbtxt=PBTXT.format(name=name),
    )
    change: Callable[..., ModelConfig] = replace
    return change(base, **changes)


def _idle(row: ModelVersion) -> ModelVersion:
    """The row on a server that nobody asks: rates are 0, times and ratios are unknown."""
    return replace(
        row,
        requests_per_s=0.0,
        failures_per_s=0.0,
        failures_by_reason=(),
        inferences_per_s=0.0,
        executions_per_s=0.0,
        batch_avg=None,
        request_us=None,
        queue_us=None,
        compute_input_us=None,
        compute_infer_us=None,
        compute_output_us=None,
        quantiles=(),
        p99_us=None,
        p99_origin=None,
        pending=0,
        busy_ratio=0.0,
        batch_sizes=(),
        cache_hit_ratio=None,
        verdict=None,
    )


def _matrix(moment: Moment) -> ModelVersion:
    """The model that batching speeds up: 1512 requests/s in batches of twelve, 161 without."""
    rate = moment.moving(1512.3 if moment.batching else 161.2)
    batch = 12.4 if moment.batching else 1.0
    queue_us = moment.moving(4100.0 if moment.batching else 186_000.0)
    infer_us = moment.moving(7400.0 if moment.batching else 6100.0)
    stages = (("request", queue_us + infer_us), ("queue", queue_us), ("compute_infer", infer_us))
    quantiles = tuple(Quantile(stage, q, us * (1 + q)) for stage, us in stages for q in (0.5, 0.9, 0.95, 0.99))
    evidence = (("pending", 31.0), ("busy ratio", 0.98), ("queue_us", queue_us))
    row = ModelVersion(
        "matrix",
        "2",
        ModelState.READY,
        config=_matrix_config(moment.batching),
        requests_per_s=rate,
        failures_per_s=0.0,
        inferences_per_s=rate,
        executions_per_s=rate / batch,
        batch_avg=batch,
        request_us=queue_us + infer_us + 600.0,
        queue_us=queue_us,
        compute_input_us=100.0,
        compute_infer_us=infer_us,
        compute_output_us=500.0,
        quantiles=quantiles,
        p99_us=19_100.0 if moment.batching else 214_000.0,
        p99_origin=Origin.QUANTILE_60S,
        pending=31,
        busy_ratio=0.98,
        batch_sizes=_matrix_batch_sizes(rate, batch),
        batch_window_s=10.0,
        cache_hit_ratio=0.12,
        last_inference_at=moment.now,
        load_duration_s=1.8,
        memory_bytes=(("GPU 0", 22 * 2**30), ("CPU 0", 512 * 2**20)),
        gpu_requests_per_s=(("GPU-00000000-0000-0000-0000-000000000000", rate),),
        verdict=Verdict(VerdictKind.CAPACITY, evidence),
    )
    return row if moment.traffic else _idle(row)


def _matrix_config(batching: bool) -> ModelConfig:
    return _config(
        "matrix",
        scheduling=Scheduling.DYNAMIC_BATCHING if batching else Scheduling.NONE,
        preferred_batch_sizes=(4, 8, 16) if batching else (),
        max_queue_delay_us=1000 if batching else 0,
        instance_groups=(InstanceGroup("matrix_0", "KIND_GPU", 2, (0,)),),
        response_cache=True,
    )


def _matrix_batch_sizes(rate: float, batch: float) -> tuple[BatchSize, ...]:
    if batch == 1.0:
        return (BatchSize(1, rate, 6100.0, 1.0),)
    sizes = ((1, 0.02, 6100.0), (8, 0.31, 940.0), (16, 0.60, 520.0), (32, 0.07, 410.0))
    return tuple(BatchSize(size, rate / batch * share, us, share) for size, share, us in sizes)


def _embed(moment: Moment) -> ModelVersion:
    rate = moment.moving(210.0)
    row = ModelVersion(
        "embed",
        "1",
        ModelState.READY,
        config=_config("embed", max_batch_size=0),
        requests_per_s=rate,
        failures_per_s=0.0,
        inferences_per_s=rate,
        executions_per_s=rate,
        batch_avg=1.0,
        request_us=1150.0,
        queue_us=100.0,
        compute_input_us=60.0,
        compute_infer_us=moment.moving(900.0),
        compute_output_us=40.0,
        p99_us=1240.0,
        p99_origin=Origin.CLIENT,
        pending=0,
        busy_ratio=0.19,
        batch_sizes=(BatchSize(1, rate, 1000.0, 1.0),),
        batch_window_s=10.0,
        last_inference_at=moment.now,
        load_duration_s=0.4,
    )
    return row if moment.traffic else _idle(row)


def _ranker(moment: Moment) -> ModelVersion:
    if not moment.failing:
        return replace(_embed(moment), name="ranker", config=_config("ranker"))
    verdict = Verdict(VerdictKind.LOAD_FAILED, text=FAILED_REASON)
    return ModelVersion("ranker", "1", ModelState.FAILED, FAILED_REASON, verdict=verdict)


def _pipeline(moment: Moment) -> ModelVersion:
    rate = moment.moving(84.0)
    config = _config(
        "pipeline",
        backend="",
        platform="ensemble",
        scheduling=Scheduling.ENSEMBLE,
        instance_groups=(),
        ensemble_steps=("embed", "matrix"),
        max_queue_delay_us=0,
    )
    row = ModelVersion(
        "pipeline",
        "1",
        ModelState.READY,
        config=config,
        requests_per_s=rate,
        failures_per_s=0.0,
        inferences_per_s=rate,
        executions_per_s=rate,
        batch_avg=1.0,
        request_us=moment.moving(13_900.0),
        queue_us=0.0,
        pending=2,
        batch_window_s=10.0,
        last_inference_at=moment.now,
    )
    return row if moment.traffic else _idle(row)


def _matrix_1(moment: Moment) -> ModelVersion:
    row = replace(_matrix(moment), name="matrix", version="1", state=ModelState.READY, counters_restarted=True)
    return _idle(row)


def _whisper(moment: Moment) -> ModelVersion:
    return ModelVersion("whisper", "3", ModelState.LOADING, config=_config("whisper"))


def _guard(moment: Moment) -> ModelVersion:
    rate = moment.moving(38.0)
    rejected = moment.moving(12.0) if moment.failing else 0.0
    reasons = (("REJECTED", rejected),) if moment.failing else ()
    verdict = (
        Verdict(VerdictKind.REJECTING, (("failures/s", rejected), ("max queue size", 8.0))) if moment.failing else None
    )
    row = ModelVersion(
        "guard",
        "1",
        ModelState.READY,
        config=_config("guard", max_queue_size=8, scheduling=Scheduling.DYNAMIC_BATCHING),
        requests_per_s=rate,
        failures_per_s=rejected,
        failures_by_reason=reasons,
        inferences_per_s=rate * 4,
        executions_per_s=rate,
        batch_avg=4.0,
        request_us=24_000.0,
        queue_us=2_000.0,
        compute_input_us=300.0,
        compute_infer_us=21_000.0,
        compute_output_us=700.0,
        p99_us=41_000.0,
        p99_origin=Origin.MEAN,
        pending=8,
        busy_ratio=0.55,
        batch_sizes=(BatchSize(4, rate, 5500.0, 1.0),),
        batch_window_s=10.0,
        last_inference_at=moment.now,
        verdict=verdict,
    )
    return row if moment.traffic else _idle(row)


def _old_ranker(moment: Moment) -> ModelVersion:
    return ModelVersion("old_ranker", "", ModelState.UNLOADED, "unloaded")


def _leaving(moment: Moment) -> ModelVersion:
    return ModelVersion("leaving", "1", ModelState.UNLOADING, config=_config("leaving"), pending=3)


def _odd(moment: Moment) -> ModelVersion:
    return ModelVersion("odd", "1", ModelState.UNKNOWN)


_KINDS: tuple[Callable[[Moment], ModelVersion], ...] = (
    _matrix,
    _embed,
    _ranker,
    _pipeline,
    _matrix_1,
    _whisper,
    _guard,
    _old_ranker,
    _leaving,
    _odd,
)
