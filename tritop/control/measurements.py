"""What a server's metrics say that a preview needs: time to load, GPUs, memory, response cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritop.endpoint import Endpoint
from tritop.errors import TritopError
from tritop.reading import MetricsReading


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured; `None` and an absent key are unknown."""

    load_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the last load of each model (`nv_model_load_duration_secs`, from 24.11)."""
    gpus: int | None = None
    gpu_free_bytes: int | None = None
    """Of the GPU that has least: the server does not say which of them a model is on."""
    cpu_free_bytes: int | None = None
    response_cache: bool | None = None
    """Whether the server runs with a response cache."""


async def measure(endpoint: Endpoint) -> Measurements:
    """Read the metrics once; a server that offers none, or fails to, is no reason not to change it."""
    if not endpoint.metrics_url:
        return Measurements()
    from collectors.triton_metrics import TritonMetrics

    try:
        metrics = TritonMetrics(endpoint, timeout_s=1.0)
    except TritopError:
        return Measurements()
    try:
        return measurements(await metrics.read())
    except TritopError:
        return Measurements()
    finally:
        await metrics.aclose()


def measurements(reading: MetricsReading) -> Measurements:
    """Pick what is needed out of one scrape."""
    families: dict[str, list[tuple[dict[str, str], float]]] = {}
    for series, value in zip(reading.layout.series, reading.values, strict=True):
        if not math.isnan(value):
            families.setdefault(series.family, []).append((dict(series.labels), value))
    load_s: dict[str, float] = {}
    for labels, seconds in families.get("nv_model_load_duration_secs", []):
        model = labels.get("model", "")
        load_s[model] = max(seconds, load_s.get(model, 0.0))
    total = {labels.get("gpu_uuid"): value for labels, value in families.get("nv_gpu_memory_total_bytes", [])}
    used = {labels.get("gpu_uuid"): value for labels, value in families.get("nv_gpu_memory_used_bytes", [])}
    free = [int(total[uuid] - used[uuid]) for uuid in total if uuid in used]
    return Measurements(
        load_s=load_s,
        gpus=len(total) or None,
        gpu_free_bytes=min(free, default=None),
        cpu_free_bytes=_free(families),
        response_cache="nv_cache_num_entries" in families if families else None,
    )


def _free(families: Mapping[str, list[tuple[dict[str, str], float]]]) -> int | None:
    total, used = families.get("nv_cpu_memory_total_bytes"), families.get("nv_cpu_memory_used_bytes")
    return int(total[0][1] - used[0][1]) if total and used else None
