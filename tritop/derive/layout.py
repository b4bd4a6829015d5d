"""Which column of an exposition is what: Layout -> Columns, made once for each Layout.

Families and labels are Triton's (docs/user_guide/metrics.md): per-model series carry `model` and
`version`, and possibly `gpu_uuid`, `namespace`, `reason` and `_<tag>`. One row is (model, version), so
every other label is summed over, the missing one included: instances on a GPU report under its
`gpu_uuid`, and the model itself owns a second set of series without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from operator import itemgetter

from tritop.reading import Layout, Series

Key = tuple[str, str]
"""(model, version)."""
Labels = tuple[tuple[str, str], ...]
Taker = Callable[[Sequence[float]], tuple[float, ...]]

SUCCESS, INFERENCES, EXECUTIONS, REQUEST_US, QUEUE_US, INPUT_US, INFER_US, OUTPUT_US, HITS, MISSES, FAILURE = range(11)
"""What a counter of a model counts. FAILURE has one column for each reason."""
CUMULATIVE = 11
"""A `_count`, `_sum` or `_bucket` of a summary or histogram, kept with the counters for its increments."""

_COUNTERS = {
    "nv_inference_request_success": SUCCESS,
    "nv_inference_count": INFERENCES,
    "nv_inference_exec_count": EXECUTIONS,
    "nv_inference_request_duration_us": REQUEST_US,
    "nv_inference_queue_duration_us": QUEUE_US,
    "nv_inference_compute_input_duration_us": INPUT_US,
    "nv_inference_compute_infer_duration_us": INFER_US,
    "nv_inference_compute_output_duration_us": OUTPUT_US,
    "nv_cache_num_hits_per_model": HITS,
    "nv_cache_num_misses_per_model": MISSES,
    "nv_inference_request_failure": FAILURE,
}
_SUMMARIES = {
    f"nv_inference_{stage}_summary_us": stage
    for stage in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
_HISTOGRAMS = {
    **{
        f"nv_inference_{stage}_duration_histogram_us": (stage, 1.0)
        for stage in ("request", "queue", "compute_input", "compute_infer", "compute_output")
    },
    "nv_inference_first_response_histogram_ms": ("first_response", 1000.0),
}
"""Family -> (stage, microseconds in one unit of its buckets)."""
_SUM = " sum"
"""Tells the `_sum` of a summary from its `_count`; no family has a space in it."""
_PENDING = "nv_inference_pending_request_count"
_LOAD_DURATION = "nv_model_load_duration_secs"
SERVER_GAUGES = (
    "nv_cpu_utilization",
    "nv_cpu_memory_used_bytes",
    "nv_cpu_memory_total_bytes",
    "nv_pinned_memory_pool_used_bytes",
    "nv_pinned_memory_pool_total_bytes",
)
GPU_GAUGES = (
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_power_usage",
    "nv_gpu_power_limit",
)
_MODEL_FAMILIES = {*_COUNTERS, *_SUMMARIES, *_HISTOGRAMS, _PENDING, _LOAD_DURATION}


@dataclass(frozen=True, slots=True)
class SummaryColumns:
    """One summary: where its `_count` and `_sum` are among the counters, and its quantiles in the exposition."""

    stage: str
    count_at: int
    sum_at: int | None
    quantiles: tuple[tuple[float, int], ...]
    """(q, column)."""


@dataclass(frozen=True, slots=True)
class HistogramColumns:
    """One stage's histograms, all label sets together."""

    stage: str
    us_per_unit: float
    bounds: tuple[float, ...]
    """Upper bounds, ascending, the last one infinite."""
    buckets_at: tuple[tuple[int, ...], ...]
    """For each bound the places of its cumulative counts among the counters."""


@dataclass(frozen=True, slots=True, eq=False)
class VersionColumns:
    """The columns of one model version."""

    key: Key
    take: Taker
    """Picks the counters, then the pending gauges, then the load durations out of an exposition."""
    counters: int
    """How many counters `take` picks."""
    pending_end: int
    """Where the pending gauges end; the rest of what `take` picks are load durations."""
    identity: tuple[tuple[int, str, Labels], ...]
    """(role, sample, labels but model and version) of each counter, to find it in another layout."""
    simple: bool
    """The roles SUCCESS..OUTPUT_US have exactly one column each, in this order, at the front."""
    roles: tuple[tuple[int, ...], ...]
    """For each role SUCCESS..MISSES the places of its counters."""
    failures: tuple[tuple[str, int], ...]
    """(reason, place)."""
    gpus: tuple[tuple[str, int], ...]
    """(gpu_uuid, place of its SUCCESS counter)."""
    summaries: tuple[SummaryColumns, ...]
    histograms: tuple[HistogramColumns, ...]

    @property
    def loaded(self) -> bool:
        """A failure series outlives its model; only a success series says that there is one."""
        return bool(self.roles[SUCCESS])


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A whole exposition, sorted out."""

    layout: Layout
    versions: dict[Key, VersionColumns]
    loaded: frozenset[Key]
    """The versions that have a success series."""
    frozen: bool
    """The counters stay at 0 by `--metrics-config counter_latencies=false`. Triton then makes no counter of a
    duration, and its IncrementCounter returns early for those of requests, which it does make."""
    server: dict[str, int]
    """Family of SERVER_GAUGES -> column."""
    gpus: dict[str, dict[str, int]]
    """gpu_uuid -> family of GPU_GAUGES -> column."""
    custom: tuple[int, ...]
    """Columns of every family that has no meaning here."""


@dataclass(slots=True, eq=False)
class _Draft:
    """The columns of one model version while they are collected."""

    counters: list[tuple[int, str, Labels, int]] = field(default_factory=list)
    """(role, sample, labels, column)."""
    pending: list[int] = field(default_factory=list)
    load: list[int] = field(default_factory=list)
    quantiles: dict[tuple[str, Labels], list[tuple[float, int]]] = field(default_factory=dict)


def read_layout(layout: Layout) -> Columns:
    """Sort the columns of an exposition by what they mean. Never raises, whatever the labels say."""
    drafts: dict[Key, _Draft] = {}
    server: dict[str, int] = {}
    gpus: dict[str, dict[str, int]] = {}
    custom: list[int] = []
    for column, series in enumerate(layout.series):
        # The grammar may strip or add `_total`; Triton's own names never end in it.
        family = series.family.removesuffix("_total")
        if family in _MODEL_FAMILIES:
            key, rest = _split_key(series.labels)
            if key is not None and _place(drafts.setdefault(key, _Draft()), family, series, rest, column):
                continue
        elif family in SERVER_GAUGES and not series.labels:
            server.setdefault(family, column)
            continue
        elif family in GPU_GAUGES:
            uuid = dict(series.labels).get("gpu_uuid")
            if uuid:
                gpus.setdefault(uuid, {}).setdefault(family, column)
                continue
        custom.append(column)
    versions = {key: _finish(key, draft) for key, draft in drafts.items()}
    loaded = frozenset(key for key, version in versions.items() if version.loaded)
    frozen = bool(loaded) and not any(versions[key].roles[QUEUE_US] for key in loaded)
    return Columns(layout, versions, loaded, frozen, server, gpus, tuple(custom))


def _split_key(labels: Labels) -> tuple[Key | None, Labels]:
    """(model, version) and the remaining labels; no key where either label is missing."""
    model = version = None
    rest = []
    for label in labels:
        name, value = label
        if name == "model":
            model = value
        elif name == "version":
            version = value
        else:
            rest.append(label)
    if model is None or version is None:
        return None, labels
    return (model, version), tuple(rest)


def _place(draft: _Draft, family: str, series: Series, labels: Labels, column: int) -> bool:
    """Put one column into its draft; False where it is nothing that is known."""
    if family in _COUNTERS:
        draft.counters.append((_COUNTERS[family], family, labels, column))
    elif family == _PENDING:
        draft.pending.append(column)
    elif family == _LOAD_DURATION:
        draft.load.append(column)
    elif family in _SUMMARIES:
        return _place_summary(draft, family, series, labels, column)
    elif series.name.endswith("_bucket") and "le" in dict(labels):
        draft.counters.append((CUMULATIVE, family, labels, column))
    else:
        return series.name.endswith(("_sum", "_count"))
    return True


def _place_summary(draft: _Draft, family: str, series: Series, labels: Labels, column: int) -> bool:
    if series.name.endswith("_count"):
        draft.counters.append((CUMULATIVE, family, labels, column))
        return True
    if series.name.endswith("_sum"):
        draft.counters.append((CUMULATIVE, family + _SUM, labels, column))
        return True
    quantile = _number(dict(labels).get("quantile", ""))
    if quantile is None or not 0 <= quantile <= 1:
        return False
    others = tuple(label for label in labels if label[0] != "quantile")
    draft.quantiles.setdefault((family, others), []).append((quantile, column))
    return True


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finish(key: Key, draft: _Draft) -> VersionColumns:
    # A series that stands there twice is counted once.
    counters = sorted({(role, name, labels): column for role, name, labels, column in draft.counters}.items())
    identity = tuple(name for name, _ in counters)
    roles: list[list[int]] = [[] for _ in range(CUMULATIVE)]
    for place, (role, _, _) in enumerate(identity):
        if role < CUMULATIVE:
            roles[role].append(place)
    columns = [column for _, column in counters] + draft.pending + draft.load
    return VersionColumns(
        key=key,
        take=_taker(columns),
        counters=len(counters),
        pending_end=len(counters) + len(draft.pending),
        identity=identity,
        simple=all(roles[role] == [role] for role in range(HITS)),
        roles=tuple(tuple(places) for places in roles[:FAILURE]),
        failures=tuple((dict(identity[place][2]).get("reason", ""), place) for place in roles[FAILURE]),
        gpus=tuple((uuid, place) for place in roles[SUCCESS] if (uuid := dict(identity[place][2]).get("gpu_uuid"))),
        summaries=tuple(_summaries(identity, draft)),
        histograms=tuple(_histograms(identity)),
    )


def _taker(columns: list[int]) -> Taker:
    if not columns:
        return lambda values: ()
    if len(columns) == 1:
        only = columns[0]
        return lambda values: (values[only],)
    return itemgetter(*columns)


def _summaries(identity: tuple[tuple[int, str, Labels], ...], draft: _Draft) -> list[SummaryColumns]:
    """Summaries that have a `_count`: without it nobody knows whether a quantile is current."""
    places = {(family, labels): place for place, (role, family, labels) in enumerate(identity) if role == CUMULATIVE}
    return [
        SummaryColumns(
            _SUMMARIES[family], places[family, labels], places.get((family + _SUM, labels)), tuple(sorted(columns))
        )
        for (family, labels), columns in draft.quantiles.items()
        if (family, labels) in places
    ]


def _histograms(identity: tuple[tuple[int, str, Labels], ...]) -> list[HistogramColumns]:
    """Histograms by family, their label sets put together bound by bound."""
    families: dict[str, dict[float, list[int]]] = {}
    for place, (_, family, labels) in enumerate(identity):
        if family in _HISTOGRAMS:
            bound = _number(dict(labels)["le"])
            if bound is not None and not isnan(bound):
                families.setdefault(family, {}).setdefault(bound, []).append(place)
    found = []
    for family, buckets in families.items():
        bounds = tuple(sorted(buckets))
        if bounds and bounds[-1] == inf:
            stage, us_per_unit = _HISTOGRAMS[family]
            places = tuple(tuple(buckets[bound]) for bound in bounds)
            found.append(HistogramColumns(stage, us_per_unit, bounds, places))
    return found
