"""Measure reading an exposition of 1000 models, from the second scrape on, against prometheus_client.

The exposition is Triton's own with summaries on: 48 series a model. Both readers get the same
bodies in turn in the same run, CPU time is taken, and the medians are compared. Cases:

* all active (the value that is reported): every model served requests since the last scrape, so
  all its counters and summaries moved, and its failures did not;
* tenth active: the same for 100 of the 1000 models;
* idle: only the CPU gauges moved;
* model added: one model came or went, so the body has to be learned again;
* first: nothing is known yet.

Run `python benchmarks/parse.py`; the last line on stdout is one JSON object.
"""

from __future__ import annotations

import gc
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from collectors.exposition import ExpositionReader

MODELS = 1000
ROUNDS = 7
BUDGET_RATIO = 20.0
COUNTERS = (
    ("nv_inference_request_success", "Number of successful inference requests, all batch sizes"),
    ("nv_inference_request_failure", "Number of failed inference requests, all batch sizes"),
    ("nv_inference_count", "Number of inferences performed (does not include cached requests)"),
    ("nv_inference_exec_count", "Number of model executions performed (does not include cached requests)"),
    ("nv_inference_request_duration_us", "Cumulative inference request duration in microseconds"),
    ("nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds"),
    ("nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds"),
    ("nv_inference_compute_infer_duration_us", "Cumulative compute inference duration in microseconds"),
    ("nv_inference_compute_output_duration_us", "Cumulative inference compute output duration in microseconds"),
)
SUMMARIES = (
    ("nv_inference_request_summary_us", "Summary of inference request duration in microseconds"),
    ("nv_inference_queue_summary_us", "Summary of inference queuing duration in microseconds"),
    ("nv_inference_compute_input_summary_us", "Summary of compute input duration in microseconds"),
    ("nv_inference_compute_infer_summary_us", "Summary of compute inference duration in microseconds"),
    ("nv_inference_compute_output_summary_us", "Summary of inference compute output duration in microseconds"),
)
REASONS = ("BACKEND", "CANCELED", "OTHER", "REJECTED")
QUANTILES = ("0.5", "0.9", "0.95", "0.99", "0.999")


def exposition(tick: int, *, models: int = MODELS, active: int = 0, summaries: bool = True) -> bytes:
    """What Triton 2.51 would say at its `tick`-th scrape, while the first `active` models serve requests.

    Triton's default is without `summaries`: 13 series a model instead of 48.
    """
    requests = [1_000_000 + 917 * model + (211 * tick if model < active else 0) for model in range(models)]
    return "\n".join(_lines(tick, requests, SUMMARIES if summaries else ())).encode() + b"\n"


def _lines(tick: int, requests: list[int], summaries: Sequence[tuple[str, str]]) -> Iterator[str]:
    labels = [f'model="production_model_{model:04d}",version="1"' for model in range(len(requests))]
    for factor, (family, text) in enumerate(COUNTERS, start=1):
        yield from (f"# HELP {family} {text}", f"# TYPE {family} counter")
        for model, count in enumerate(requests):
            if family.endswith("_failure"):
                name = f'model="production_model_{model:04d}"'
                yield from (f'{family}{{{name},reason="{reason}",version="1"}} 0' for reason in REASONS)
            else:
                yield f"{family}{{{labels[model]}}} {count * factor}"
    yield from _gauge("nv_inference_pending_request_count", [f"{{{label}}} 0" for label in labels])
    yield from _gauge("nv_pinned_memory_pool_total_bytes", [" 268435456"])
    yield from _gauge("nv_pinned_memory_pool_used_bytes", [" 0"])
    yield from _gauge("nv_cpu_utilization", [f" {0.25 + tick / 1000}"])
    yield from _gauge("nv_cpu_memory_used_bytes", [f" {1_742_491_648 + 4096 * tick}"])
    for factor, (family, text) in enumerate(summaries, start=1):
        yield from (f"# HELP {family} {text}", f"# TYPE {family} summary")
        for label, count in zip(labels, requests, strict=True):
            yield f"{family}_count{{{label}}} {count}"
            yield f"{family}_sum{{{label}}} {count * 1843 * factor}"
            for rank, quantile in enumerate(QUANTILES, start=1):
                value = "Nan" if factor == 5 else 1200 * rank + count % 977
                yield f'{family}{{{label},quantile="{quantile}"}} {value}'


def _gauge(family: str, samples: list[str]) -> Iterator[str]:
    yield from (f"# HELP {family} A gauge", f"# TYPE {family} gauge")
    yield from (family + sample for sample in samples)


def check_equal(reader: ExpositionReader, body: bytes) -> int:
    """Compare every name, label and value with prometheus_client's; gives the number of samples."""
    layout, values = reader.read(body)
    expected = [
        (sample.name, tuple(sorted(sample.labels.items())), metric.type, sample.value)
        for metric in text_string_to_metric_families(body.decode())
        for sample in metric.samples
    ]
    if len(expected) != len(values):
        raise SystemExit(f"{len(values)} samples instead of {len(expected)}")
    for series, value, (name, labels, kind, number) in zip(layout.series, values, expected, strict=True):
        # prometheus_client gives the samples of a counter another name than the server does.
        ours = series.name + "_total" if series.kind == "counter" else series.name
        same_value = value == number or (math.isnan(value) and math.isnan(number))
        if (ours, series.labels, series.kind) != (name, labels, kind) or not same_value:
            raise SystemExit(f"{series} {value} instead of {name} {labels} {kind} {number}")
    return len(values)


def parse_all(body: bytes) -> list[Metric]:
    """What prometheus_client has to do for each scrape."""
    return list(text_string_to_metric_families(body.decode()))


def cpu_ms(read: Callable[[bytes], object], body: bytes) -> float:
    """CPU time of one reading."""
    gc.collect()
    start = time.process_time_ns()
    read(body)
    return (time.process_time_ns() - start) / 1e6


def measure() -> tuple[dict[str, float], int, int]:
    """Give the median CPU time in ms for each case, the number of samples and the size of a body."""
    cases: dict[str, Callable[[int], bytes]] = {
        "all_active": lambda tick: exposition(tick, active=MODELS),
        "tenth_active": lambda tick: exposition(tick, active=MODELS // 10),
        "idle": exposition,
        "model_added": lambda tick: exposition(tick, models=MODELS + tick % 2),
    }
    times: dict[str, list[float]] = {name: [] for name in (*cases, "first", "prometheus_client")}
    readers = {name: ExpositionReader() for name in cases}
    samples = size = 0
    for name, make in cases.items():
        samples, size = check_equal(readers[name], make(0)), len(make(0))
    for tick in range(1, ROUNDS + 1):
        for name, make in cases.items():
            body, reader = make(tick), readers[name]
            times[name].append(cpu_ms(reader.read, body))
            if tick == ROUNDS:
                check_equal(reader, body)
        body = exposition(tick, active=MODELS)
        times["first"].append(cpu_ms(ExpositionReader().read, body))
        times["prometheus_client"].append(cpu_ms(parse_all, body))
    return {name: median(values) for name, values in times.items()}, samples, size


def main() -> None:
    times_ms, samples, size = measure()
    theirs_ms = times_ms["prometheus_client"]
    print(f"{samples} samples, {size / 1e6:.1f} MB, median CPU time of {ROUNDS} scrapes", file=sys.stderr)
    for name, ms in times_ms.items():
        print(f"  {name:18} {ms:8.1f} ms {theirs_ms / ms:8.1f} x", file=sys.stderr)
    ratios = {name: round(theirs_ms / ms, 1) for name, ms in times_ms.items() if name != "prometheus_client"}
    value = ratios.pop("all_active")
    print(
        json.dumps(
            {
                "benchmark": "parse",
                "value": value,
                "unit": "x faster than prometheus_client",
                "budget": BUDGET_RATIO,
                "met": value >= BUDGET_RATIO,
                "case": "all_active",
                "samples": samples,
                "body_bytes": size,
                "other_ratios": ratios,
                "ms": {name: round(ms, 2) for name, ms in times_ms.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
