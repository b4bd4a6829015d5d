"""Whatever sources say, deriving gives a Snapshot whose numbers are numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tritop.derive.readings import CORE, FAILURE, FAULT, PENDING, SERVER, SILENCE
from tritop.derive import Derivation, Round, ServerRound, SourceRound, derive
from tritop.derive.layout import read_layout
from tritop.model import (
    CustomSample,
    InstanceGroup,
    Launch,
    ModelConfig,
    Scheduling,
    Snapshot,
    Traffic,
    TrafficState,
)
from tritop.reading import (
    ApiReading,
    BatchStatistics,
    Duration,
    IndexEntry,
    LaunchReading,
    Layout,
    MetricsReading,
    Series,
    TrafficReading,
    VersionStatistics,
)

names = st.sampled_from(["m", "m", "m", "n", "", "\x1b[31mred", "[bold]", "9" * 60])
versions = st.sampled_from(["1", "1", "1", "1", "2", "", "x", "10", "-1", "٣"])
values = (
    st.integers(0, 20).map(float)
    | st.integers(0, 20).map(float)
    | st.integers(0, 10**6).map(float)
    | st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e308, -0.0])
    | st.floats()
)
families = st.sampled_from(
    [
        *CORE,
        FAILURE,
        PENDING,
        "nv_model_load_duration_secs",
        "nv_cache_num_hits_per_model",
        "nv_cache_num_misses_per_model",
        "nv_inference_request_summary_us",
        "nv_inference_queue_summary_us",
        "nv_inference_request_duration_histogram_us",
        "nv_inference_first_response_histogram_ms",
        "nv_cpu_utilization",
        "nv_gpu_utilization",
        "nv_gpu_memory_total_bytes",
        "vllm:prompt_tokens_total",
        "anything",
    ]
)
labels = st.dictionaries(
    st.sampled_from(["model", "version", "gpu_uuid", "reason", "quantile", "le", "namespace", "_tag"]),
    names | versions | st.sampled_from(["0.99", "+Inf", "100", "nan", "GPU-0", "BACKEND"]),
    max_size=6,
)
whole = labels.map(lambda given: {"model": "m", "version": "1", **given})


@st.composite
def series(draw: st.DrawFn) -> Series:
    family = draw(families)
    name = family + draw(st.sampled_from(["", "", "", "_total", "_bucket", "_sum", "_count"]))
    given = draw(labels | whole)
    kind = draw(st.sampled_from(["counter", "gauge", "histogram", "summary", "unknown"]))
    return Series(family, name, tuple(sorted(given.items())), kind)


ONE = (("model", "m"), ("version", "1"))
BARE = tuple(Series(name, name, ONE, "counter") for name in CORE)
"""What a version of a model has at least."""
FULL = (
    *BARE,
    Series(PENDING, PENDING, ONE, "gauge"),
    Series(FAILURE, FAILURE, (ONE[0], ("reason", "BACKEND"), ONE[1]), "counter"),
    *(
        Series("nv_inference_request_summary_us", "nv_inference_request_summary_us" + name, given, "summary")
        for name, given in (("_count", ONE), ("_sum", ONE), ("", (ONE[0], ("quantile", "0.99"), ONE[1])))
    ),
    *(
        Series(
            "nv_inference_queue_duration_histogram_us",
            "nv_inference_queue_duration_histogram_us_bucket",
            (("le", bound), *ONE),
            "histogram",
        )
        for bound in ("10", "1000", "+Inf")
    ),
)
layouts = st.builds(
    lambda known, more: Layout((*known, *more)),
    st.sampled_from([FULL, FULL, BARE, ()]),
    st.lists(series(), max_size=12),
)
numbers = st.integers(0, 50) | st.integers(0, 10**10) | st.integers(-5, 50) | st.integers(-(2**63), 2**64 - 1)
durations = st.builds(Duration, numbers, numbers)
statistics = st.builds(
    VersionStatistics,
    names,
    versions,
    numbers,
    numbers,
    numbers,
    *[durations] * 8,
    batches=st.lists(st.builds(BatchStatistics, *[numbers] * 5), max_size=4).map(tuple),
)
entries = st.builds(
    IndexEntry,
    names,
    versions,
    st.sampled_from(["READY", "LOADING", "UNLOADING", "UNAVAILABLE", "UNKNOWN", "", "?"]),
    st.sampled_from(["", "unloaded", "\x1b]0;boom\x07"]),
)
configs = st.sampled_from(
    [
        ModelConfig(),
        ModelConfig(scheduling=Scheduling.ENSEMBLE),
        ModelConfig(instance_groups=(InstanceGroup("g", "KIND_GPU", -3, (0,)),), max_queue_delay_us=100),
        ModelConfig(instance_groups=(InstanceGroup("g", "KIND_CPU", 2),), max_batch_size=8),
    ]
)
monos = st.floats(0, 20)
traffic = st.builds(
    Traffic,
    st.just(SERVER),
    names,
    versions,
    st.sampled_from(TrafficState),
    p99_us=st.none() | st.floats(0, 1e6),
    client_bound=st.booleans(),
)

often = st.integers(0, 6).map(bool)


@st.composite
def metrics_readings(draw: st.DrawFn, layout: st.SearchStrategy[Layout]) -> MetricsReading:
    chosen = draw(layout)
    found = draw(st.lists(values, min_size=len(chosen.series), max_size=len(chosen.series)))
    return MetricsReading(0.0, draw(monos), chosen, found, 0, draw(st.sampled_from([0, 0, 3])))


api_readings = st.builds(
    ApiReading,
    st.just(0.0),
    monos,
    live=st.none() | st.booleans(),
    ready=st.none() | st.booleans(),
    index=st.none() | st.lists(entries, max_size=5).map(tuple),
    statistics=st.none() | st.lists(statistics, max_size=5).map(tuple),
    configs=st.dictionaries(st.tuples(names, versions), configs, max_size=4),
    part_faults=st.sampled_from([(), (FAULT,)]),
)
launches = st.builds(
    LaunchReading,
    st.just(0.0),
    monos,
    st.builds(
        Launch,
        st.just("local"),
        st.sampled_from(["STARTING", "READY", "CRASHED", "?"]),
        pid=st.sampled_from([None, 1, 2]),
    ),
)


@st.composite
def sequences(draw: st.DrawFn) -> list[Round]:
    """A few rounds of one server, mostly a second apart, whose layouts come and go."""
    shared = draw(st.lists(layouts, min_size=1, max_size=2))
    metrics = metrics_readings(st.sampled_from(shared))
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "metrics": metrics,
        "api": api_readings,
        "runtime": launches,
        "traffic": st.builds(TrafficReading, st.just(0.0), monos, st.lists(traffic, max_size=2).map(tuple)),
    }
    last: dict[str, Any] = dict.fromkeys(kinds)
    rounds = []
    for number in range(draw(st.integers(2, 6))):
        sources = []
        for name, kind in kinds.items():
            if draw(often):
                reading = draw(kind)
                last[name] = dataclasses.replace(reading, mono=float(number)) if draw(often) else reading
            fault = None if draw(often) else draw(st.sampled_from([FAULT, SILENCE]))
            period_s = draw(st.sampled_from([1.0, 1.0, 0.25, 60.0]))
            sources.append(SourceRound(name, period_s, last[name], fault, not draw(often)))
        server = ServerRound(SERVER, "", sources=tuple(sources))
        mono = float(number) if draw(often) else draw(st.floats(0, 25))
        rounds.append(Round(0.0, mono, 1.0, (server,), tuple(draw(st.lists(traffic, max_size=1)))))
    return rounds


def floats_in(value: object) -> Iterator[float]:
    """Every float that a frozen value holds; samples of unknown families keep what they were given."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, CustomSample):
        if value.per_s is not None:
            yield value.per_s
    elif isinstance(value, tuple):
        for one in value:
            yield from floats_in(one)
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from floats_in(getattr(value, one.name))


def check(snapshot: Snapshot) -> None:
    for server in snapshot.servers:
        assert all(math.isfinite(value) and value >= 0 for value in floats_in((server, snapshot.gpus)))
        keys = [model.key for model in server.models]
        assert len(keys) == len(set(keys))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sequences())
def test_no_reading_makes_it_raise_or_give_a_number_that_is_none(rounds: list[Round]) -> None:
    derivation: Derivation | None = None
    for now in rounds:
        derivation = derive(derivation, now)
        check(derivation.snapshot)


@given(layouts)
def test_every_column_is_known_custom_or_an_ending_of_a_known_family(layout: Layout) -> None:
    columns = read_layout(layout)
    assert set(columns.custom) <= set(range(len(layout.series)))
    for version in columns.versions.values():
        taken = version.take([float(place) for place in range(len(layout.series))])
        assert len(taken) >= version.counters
        assert not set(map(int, taken)) & set(columns.custom)
