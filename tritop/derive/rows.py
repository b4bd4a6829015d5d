"""One row for each model version: what all sources of a server say about it, joined by (model, version)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tritop.derive.catalogue import entry_state
from tritop.derive.counters import count, gauge
from tritop.derive.exposition import VersionSample
from tritop.derive.latency import p99, quantiles
from tritop.derive.layout import Key
from tritop.derive.rates import NO_RATES, Rates, rates_of_sample, rates_of_summaries, rates_of_tally
from tritop.derive.sources import Standing
from tritop.derive.statistics import VersionTally
from tritop.derive.verdict import WELL, Symptoms, VerdictTrack, is_well, next_verdict
from tritop.derive.view import View
from tritop.model import Gpu, ModelConfig, ModelState, ModelVersion, Origin, Quantile, Traffic, TrafficState
from tritop.reading import IndexEntry


@dataclass(frozen=True, slots=True)
class Device:
    """Utilisation of what models run on."""

    cpu_ratio: float | None = None
    gpu_ratio: float | None = None
    """The busiest GPU that the server reports."""

    def ratio(self, config: ModelConfig | None) -> float | None:
        """Utilisation of what the instances of a model run on, as far as its configuration says."""
        kinds = {group.kind for group in config.instance_groups} if config is not None else set()
        if kinds == {"KIND_CPU"} or self.gpu_ratio is None:
            return self.cpu_ratio
        return self.gpu_ratio


@dataclass(frozen=True, slots=True, eq=False)
class RowSources:
    """What the rows of one server are made of in one round."""

    view: View
    mono: float
    traffic: Mapping[Key, Traffic]
    """Our own traffic by the version that it reaches."""
    device: Device


FROM_METRICS, FROM_STATISTICS, FROM_NOTHING = range(3)
"""Which source a row's rates are from."""


class Ingredients(NamedTuple):
    """What one row is made of; equal ingredients make an equal row, but for its pending requests."""

    sample: VersionSample | None
    tally: VersionTally | None
    entry: IndexEntry | None
    config: ModelConfig | None
    traffic: Traffic | None
    basis: int
    metrics_count: bool
    statistics_count: bool
    listing_counts: bool
    held: bool
    age_s: float | None


class RowTrack(NamedTuple):
    """A row and what it was made of, so that the same ingredients need not be mixed again."""

    row: ModelVersion
    made_of: Ingredients
    verdict: VerdictTrack = WELL
    instances: int | None = None
    """Of the configuration in `made_of`."""


def next_rows(before: Mapping[Key, RowTrack], keys: tuple[Key, ...], sources: RowSources) -> dict[Key, RowTrack]:
    """Make the rows of one server, and keep the ones that did not change as the same objects."""
    view, traffic, held = sources.view, sources.traffic, sources.view.held
    samples = view.exposition.versions if view.exposition is not None else {}
    tallies = view.statistics.versions if view.statistics is not None else {}
    catalogue, configs = view.catalogue, view.api.configs if view.api is not None else {}
    prefer_metrics = _prefers_metrics(view)
    metrics_count, statistics_count = view.metrics.current or held, view.counted.current or held
    listing_counts = view.listed.current or held
    ages = (_age(view.metrics), _age(view.counted), _age(view.listed))
    rows: dict[Key, RowTrack] = {}
    for key in keys:
        sample, tally = samples.get(key), tallies.get(key)
        if sample is not None and sample.columns.loaded and (prefer_metrics or tally is None):
            basis = FROM_METRICS
        else:
            basis = FROM_STATISTICS if tally is not None else FROM_NOTHING
        made_of = Ingredients(
            sample,
            tally,
            catalogue.get(key),
            configs.get(key),
            traffic.get(key),
            basis,
            metrics_count,
            statistics_count,
            listing_counts,
            held,
            ages[basis],
        )
        track = before.get(key)
        same = track is not None and track.made_of == made_of and track.verdict is WELL and not track.row.pending
        rows[key] = track if track is not None and same else _next_row(track, key, made_of, sources)
    return rows


def _prefers_metrics(view: View) -> bool:
    """Prometheus counters continue over a reload, so they come first, unless they are frozen or behind."""
    metrics, counted = view.metrics, view.counted
    if view.exposition is None or view.frozen:
        return False
    if view.statistics is None or metrics.usable:
        return True
    if counted.usable:
        return False
    # Neither is usable: both were read in the last good round, unless one of them was lost before that.
    return (metrics.mono or 0.0) + metrics.late_s >= (counted.mono or 0.0)


def _age(standing: Standing) -> float | None:
    """Age of numbers where they are older than their period allows."""
    return standing.age_s if standing.age_s is not None and standing.age_s > standing.late_s else None


def _next_row(track: RowTrack | None, key: Key, made_of: Ingredients, sources: RowSources) -> RowTrack:
    sample, config = made_of.sample, made_of.config
    if track is not None and track.made_of.config is config:
        instances = track.instances
    else:
        instances = config.instances if config is not None else None
    state, reason = _state(made_of)
    symptoms = Symptoms(
        state,
        reason,
        _rates(made_of, sources),
        count(sample.pending) if sample is not None and made_of.metrics_count else None,
        _busy(made_of, instances),
        config,
        None,
        made_of.traffic,
    )
    verdict = _verdict(track.verdict if track is not None else WELL, symptoms, made_of.held, sources)
    row = _model_version(key, made_of, symptoms, verdict, sources)
    if track is not None and _stands_still(made_of) and row == track.row:
        row = track.row
    return RowTrack(row, made_of, verdict, instances)


def _stands_still(made_of: Ingredients) -> bool:
    """Whether the row may be what it was: a comparison of all fields costs as much as making it."""
    sample, tally = made_of.sample, made_of.tally
    return (sample is None or sample.quiet) and (tally is None or tally.quiet)


def _model_version(
    key: Key, made_of: Ingredients, symptoms: Symptoms, verdict: VerdictTrack, sources: RowSources
) -> ModelVersion:
    sample, tally, rates = made_of.sample, made_of.tally, symptoms.rates
    found, p99_us, p99_origin = _latencies(made_of, sources)
    spectrum = tally if made_of.statistics_count else None
    statistics = tally.statistics if tally is not None else None
    return ModelVersion(
        key[0],
        key[1],
        symptoms.state,
        symptoms.reason,
        made_of.config,
        rates.requests_per_s,
        rates.failures_per_s,
        rates.failures_by_reason,
        rates.inferences_per_s,
        rates.executions_per_s,
        rates.batch_avg,
        rates.request_us,
        rates.queue_us,
        rates.compute_input_us,
        rates.compute_infer_us,
        rates.compute_output_us,
        quantiles=found,
        p99_us=p99_us,
        p99_origin=p99_origin,
        pending=symptoms.pending,
        busy_ratio=symptoms.busy_ratio,
        batch_sizes=spectrum.batch_sizes if spectrum is not None else (),
        batch_window_s=spectrum.window_s if spectrum is not None else None,
        cache_hit_ratio=rates.cache_hit_ratio,
        last_inference_at=_last_inference_at(statistics.last_inference_ms if statistics is not None else 0),
        load_duration_s=gauge(sample.load_duration_s) if sample is not None else None,
        memory_bytes=statistics.memory_bytes if statistics is not None else (),
        gpu_requests_per_s=rates.gpu_requests_per_s,
        age_s=made_of.age_s,
        counters_restarted=(sample is not None and sample.restarted) or (tally is not None and tally.restarted),
        verdict=verdict.shown,
    )


def _verdict(track: VerdictTrack, symptoms: Symptoms, held: bool, sources: RowSources) -> VerdictTrack:
    """Numbers that are merely kept say nothing new, and a row that is well needs no judging."""
    if held or (track is WELL and is_well(symptoms)):
        return track
    return next_verdict(track, symptoms._replace(device_ratio=sources.device.ratio(symptoms.config)), sources.mono)


def _rates(made_of: Ingredients, sources: RowSources) -> Rates:
    exposition = sources.view.exposition
    if made_of.basis == FROM_METRICS and made_of.sample is not None and exposition is not None:
        of_sample = rates_of_summaries if exposition.frozen else rates_of_sample
        return of_sample(made_of.sample, exposition.span_s)
    if made_of.basis == FROM_STATISTICS and made_of.tally is not None and sources.view.statistics is not None:
        return rates_of_tally(made_of.tally, sources.view.statistics.span_s)
    return NO_RATES


def _state(made_of: Ingredients) -> tuple[ModelState, str]:
    """Triton's state of a version; UNKNOWN where it is older than numbers that are not."""
    entry = made_of.entry
    if entry is None or not made_of.listing_counts:
        return ModelState.UNKNOWN, ""
    return entry_state(entry), entry.reason


def _busy(made_of: Ingredients, instances: int | None) -> float | None:
    tally = made_of.tally
    if tally is None or tally.busy_s is None or not made_of.statistics_count or not instances or instances < 0:
        return None
    return tally.busy_s / instances


def _latencies(made_of: Ingredients, sources: RowSources) -> tuple[tuple[Quantile, ...], float | None, Origin | None]:
    """Quantiles by the server, and the 99th percentile by the server or else by our own traffic."""
    found: tuple[Quantile, ...] = ()
    if made_of.sample is not None and made_of.metrics_count and sources.view.exposition is not None:
        found = quantiles(made_of.sample, sources.view.exposition.reading.values)
        if found:
            us, origin = p99(made_of.sample, found)
            if us is not None:
                return found, us, origin
    traffic = made_of.traffic
    if traffic is not None and traffic.state is TrafficState.RUNNING and traffic.p99_us is not None:
        return found, traffic.p99_us, Origin.CLIENT
    return found, None, None


def _last_inference_at(ms: int) -> float | None:
    return ms / 1e3 if ms > 0 else None


def device_of(cpu_ratio: float | None, gpus: tuple[Gpu, ...]) -> Device:
    """Utilisation of the host's cores and of the busiest of the GPUs."""
    known = [gpu.utilization_ratio for gpu in gpus if gpu.utilization_ratio is not None]
    return Device(cpu_ratio, max(known) if known else None)
