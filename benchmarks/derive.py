"""Measure `derive` on synthetic servers of 5 to 1000 models at 1 Hz, idle, partly busy and all busy.

Every model has the 14 series that Triton 2.51 gives it by default; busy ones move all of their counters and
the statistics of four batch sizes. The budget is for 1000 models of which 200 are busy, and the figure is
processor time, which other processes disturb less. Run `python benchmarks/derive.py`; the last line is one
JSON object.
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
from tritop.history import History
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


def measure(models: int, busy: int) -> tuple[float, float, float]:
    """Median and worst of `derive`, median of `History.push` [ms], once the 10 s window is full."""
    fleet, history = FakeFleet(models, busy), History()
    derivation: Derivation | None = None
    derived: list[float] = []
    pushed: list[float] = []
    for _ in range(ROUNDS):
        fleet.advance()
        now = fleet.round(1000.0 + len(derived))
        start = time.process_time()
        derivation = derive(derivation, now)
        middle = time.process_time()
        history.push(derivation.snapshot)
        derived.append((middle - start) * 1e3)
        pushed.append((time.process_time() - middle) * 1e3)
    return stats.median(derived[12:]), max(derived[12:]), stats.median(pushed[12:])


def main() -> None:
    gc.freeze()
    rows = {}
    for models, busy in ((5, 5), (100, 100), (1000, 0), (1000, 200), (1000, 1000)):
        median, worst, push = measure(models, busy)
        rows[f"{models} models, {busy} busy"] = round(median, 3)
        times = f"median {median:7.3f} ms   worst {worst:7.3f} ms   history {push:6.3f} ms"
        print(f"{models:5d} models {busy:5d} busy   {times}", file=sys.stderr)
    value = rows["1000 models, 200 busy"]
    report = {"benchmark": "derive", "value": value, "unit": "ms for 1000 models, 200 of them busy"}
    print(json.dumps({**report, "budget": BUDGET_MS, "met": value <= BUDGET_MS, "median_ms": rows}))


if __name__ == "__main__":
    main()
