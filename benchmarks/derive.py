"""Measure `derive` on synthetic servers of 5 and 1000 models at 1 Hz, idle, partly busy and all busy.

Every model has the 14 series that Triton 2.51 gives it by default; busy ones move all of their counters and
the statistics of four batch sizes. Run `python benchmarks/derive.py`; the last line is one JSON object.
"""

from __future__ import annotations

import gc
import json
import statistics as stats
import sys
import time
from array import array
from dataclasses import dataclass, field

from tritop.derive import Derivation, Round, ServerRound, SourceRound, derive
from tritop.model import InstanceGroup, ModelConfig, Scheduling
from tritop.reading import (
    ApiReading,
    BatchStatistics,
    Duration,
    IndexEntry,
    Layout,
    MetricsReading,
    Series,
    VersionStatistics,
)

BUDGET_MS = 15.0
ROUNDS = 40
SIZES = (1, 4, 8, 16)
COUNTERS = (
    "nv_inference_request_success",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
STEP = (900.0, 900.0, 100.0, 900 * 3_000.0, 900 * 150.0, 900 * 50.0, 900 * 2_500.0, 900 * 40.0)
"""What a busy model's counters gain in a second."""
REASONS = ("BACKEND", "CANCELED", "OTHER", "REJECTED")
CONFIG = ModelConfig(
    backend="python",
    max_batch_size=16,
    scheduling=Scheduling.DYNAMIC_BATCHING,
    max_queue_delay_us=500,
    instance_groups=(InstanceGroup("g", "KIND_CPU", 2),),
)


@dataclass
class FakeFleet:
    """A server with `models` models of which the first `busy` are busy."""

    models: int
    busy: int
    values: array[float] = field(init=False)
    layout: Layout = field(init=False)
    versions: list[VersionStatistics] = field(init=False)
    index: tuple[IndexEntry, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = [f"model_{number:04d}" for number in range(self.models)]
        labels = [(("model", name), ("version", "1")) for name in names]
        series = [Series(family, f"{family}_total", one, "counter") for family in COUNTERS for one in labels]
        failure = "nv_inference_request_failure"
        series += [
            Series(failure, f"{failure}_total", (one[0], ("reason", reason), one[1]), "counter")
            for one in labels
            for reason in REASONS
        ]
        for family in ("nv_inference_pending_request_count", "nv_model_load_duration_secs"):
            series += [Series(family, family, one, "gauge") for one in labels]
        self.layout = Layout(tuple(series))
        self.values = array("d", [0.0] * len(series))
        self.versions = [VersionStatistics(name, "1") for name in names]
        self.index = tuple(IndexEntry(name, "1", "READY", "") for name in names)

    def advance(self) -> None:
        """One second of traffic."""
        for place, step in enumerate(STEP):
            for column in range(place * self.models, place * self.models + self.busy):
                self.values[column] += step
        for number in range(self.busy):
            self.versions[number] = _later(self.versions[number])

    def round(self, mono: float) -> Round:
        """What the sources say after it."""
        metrics = MetricsReading(mono, mono, self.layout, array("d", self.values))
        keys = [(version.name, version.version) for version in self.versions]
        api = ApiReading(
            mono,
            mono,
            live=True,
            ready=True,
            index=self.index,
            statistics=tuple(self.versions),
            configs=dict.fromkeys(keys, CONFIG),
        )
        sources = (SourceRound("metrics", 1.0, metrics), SourceRound("api", 1.0, api))
        return Round(mono, mono + 0.05, 1.0, (ServerRound("fleet", "127.0.0.1:8001", "", False, sources),))


def _later(last: VersionStatistics) -> VersionStatistics:
    past = {batch.size: batch for batch in last.batches}
    batches = tuple(
        BatchStatistics(
            size,
            (past[size].count if size in past else 0) + 25,
            (past[size].compute_input_ns if size in past else 0) + 25 * 50_000,
            (past[size].compute_infer_ns if size in past else 0) + 25 * 2_500_000,
            (past[size].compute_output_ns if size in past else 0) + 25 * 40_000,
        )
        for size in SIZES
    )
    request = Duration(last.success.count + 900, last.success.ns + 900 * 3_000_000)
    return VersionStatistics(
        last.name,
        last.version,
        last.last_inference_ms + 1000,
        last.inference_count + 900,
        last.execution_count + 100,
        request,
        Duration(),
        request,
        request,
        request,
        request,
        batches=batches,
    )


def measure(models: int, busy: int) -> tuple[float, float]:
    """Median and worst time of one `derive` [ms], once the 10 s window is full."""
    fleet = FakeFleet(models, busy)
    derivation: Derivation | None = None
    spent = []
    for number in range(ROUNDS):
        fleet.advance()
        now = fleet.round(1000.0 + number)
        start = time.perf_counter()
        derivation = derive(derivation, now)
        if number >= 12:
            spent.append((time.perf_counter() - start) * 1e3)
    return stats.median(spent), max(spent)


def main() -> None:
    gc.freeze()
    rows = {}
    for models, busy in ((5, 5), (100, 100), (1000, 0), (1000, 100), (1000, 1000)):
        median, worst = measure(models, busy)
        rows[f"{models} models, {busy} busy"] = median
        print(f"{models:5d} models {busy:5d} busy   median {median:7.3f} ms   worst {worst:7.3f} ms", file=sys.stderr)
    value = rows["1000 models, 1000 busy"]
    print(
        json.dumps(
            {
                "benchmark": "derive",
                "value": round(value, 3),
                "unit": "ms for 1000 busy models",
                "budget": BUDGET_MS,
                "met": value <= BUDGET_MS,
                "median_ms": {name: round(ms, 3) for name, ms in rows.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
