"""What the exposition says beside the models: the host, the GPUs, and families without a meaning here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritop.derive.counters import count, gauge, increments, rate, ratio
from tritop.derive.exposition import GAP_PERIODS, Exposition
from tritop.derive.layout import GPU_GAUGES, SERVER_GAUGES, Labels
from tritop.model import CustomSample, Gpu
from tritop.reading import Series


@dataclass(frozen=True, slots=True)
class HostGauges:
    """`nv_cpu_*` and `nv_pinned_*` in the order and meaning of the fields of Server."""

    cpu_ratio: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    pinned_used_bytes: int | None = None
    pinned_total_bytes: int | None = None


def host_gauges(exposition: Exposition) -> HostGauges:
    """The gauges of the host; NaN, which Triton gives when its poll interval is too short, is unknown."""
    cpu, *sizes = (_value(exposition, exposition.columns.server, family) for family in SERVER_GAUGES)
    used, total, pinned_used, pinned_total = (count(size) for size in sizes)
    return HostGauges(ratio(cpu), used, total, pinned_used, pinned_total)


def _value(exposition: Exposition, columns: Mapping[str, int], family: str) -> float:
    column = columns.get(family)
    return exposition.reading.values[column] if column is not None else float("nan")


def triton_gpus(exposition: Exposition, server: str) -> tuple[Gpu, ...]:
    """One Gpu for each `gpu_uuid` of the `nv_gpu_*` gauges."""
    found = []
    for uuid, columns in exposition.columns.gpus.items():
        utilization, used, total, power, limit = (_value(exposition, columns, family) for family in GPU_GAUGES)
        found.append(
            Gpu(
                uuid=uuid,
                utilization_ratio=ratio(utilization),
                used_bytes=count(used),
                # DCGM leaves a field at 0 for ever after three failures; no GPU has 0 bytes or a limit of 0 W.
                total_bytes=count(total) or None,
                power_w=gauge(power),
                power_limit_w=gauge(limit) or None,
                servers=(server,),
            )
        )
    return tuple(found)


_CUMULATIVE_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True, eq=False)
class CustomTrack:
    """The samples of unknown families, and the exposition that they were made from."""

    exposition: Exposition | None = None
    samples: tuple[CustomSample, ...] = ()


def next_custom(before: CustomTrack, exposition: Exposition, period_s: float) -> CustomTrack:
    """Keep every sample whose family means nothing here, with its rate where it is a counter."""
    if before.exposition is exposition:
        return before
    columns = exposition.columns
    if not columns.custom:
        return CustomTrack(exposition)
    series, values = columns.layout.series, exposition.reading.values
    span_s = exposition.span_s
    past = _past_values(before) if span_s is not None else {}
    gap = span_s is not None and span_s > GAP_PERIODS * period_s
    samples = []
    for column in columns.custom:
        one, value = series[column], values[column]
        per_s = None
        if is_cumulative(one):
            last = past.get((one.name, one.labels))
            if last is not None:
                (gained,), restarted = increments((value,), (last,))
                per_s = None if restarted and gap else rate(gained, span_s)
        name = one.name if one.name != one.family else ""
        samples.append(CustomSample(one.family, one.labels, value, per_s, one.kind, name))
    return CustomTrack(exposition, tuple(samples))


def _past_values(before: CustomTrack) -> dict[tuple[str, Labels], float]:
    return {(sample.name or sample.family, sample.labels): sample.value for sample in before.samples}


def is_cumulative(series: Series) -> bool:
    """Whether a sample only ever grows: a counter, or a count, sum or bucket of a histogram or summary."""
    if series.kind == "counter":
        return True
    return series.kind in {"histogram", "summary"} and series.name.endswith(_CUMULATIVE_SUFFIXES)
