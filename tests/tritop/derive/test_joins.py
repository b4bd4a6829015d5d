"""Series and rows that have to be put together: labels, GPUs, histograms, unknown families, the index."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.derive.readings import (
    CORE,
    FAILURE,
    PENDING,
    SERVER,
    Exposition,
    api,
    make_round,
    only,
    row,
    run,
    source,
    statistics,
)
from tritop.derive import Derivation, Round, ServerRound, derive
from tritop.derive.latency import histogram_quantile
from tritop.model import ModelState, Origin, Traffic, TrafficState
from tritop.reading import IndexEntry, TrafficReading

GPU0, GPU1 = "GPU-00000000", "GPU-11111111"


def two_scrapes(first: Exposition, second: Exposition, span_s: float = 1.0) -> Derivation:
    return run(
        make_round(1.0, source("metrics", first.at(1.0))),
        make_round(1.0 + span_s, source("metrics", second.at(1.0 + span_s))),
    )


def gpu_model(zero: float, one: float) -> Exposition:
    """A model with an instance on each of two GPUs, and the model's own series without `gpu_uuid`."""
    exposition = Exposition()
    exposition.core("m", "1", *[0.0] * 8)
    exposition.core("m", "1", zero, 2 * zero, zero, 3000 * zero, 1000 * zero, 0, 2000 * zero, 0, gpu_uuid=GPU0)
    exposition.core("m", "1", one, 2 * one, one, 3000 * one, 1000 * one, 0, 2000 * one, 0, gpu_uuid=GPU1)
    exposition.set(PENDING, 5, "gauge", model="m", version="1")
    exposition.set(FAILURE, zero / 10, model="m", version="1", reason="BACKEND", gpu_uuid=GPU0)
    exposition.set(FAILURE, one / 10, model="m", version="1", reason="BACKEND", gpu_uuid=GPU1)
    exposition.set(FAILURE, 0, model="m", version="1", reason="REJECTED")
    return exposition


def test_series_are_summed_over_gpus_and_the_missing_label_and_split_by_gpu() -> None:
    found = row(two_scrapes(gpu_model(100, 10), gpu_model(130, 20)).snapshot, "m")
    assert found.requests_per_s == 40.0
    assert found.batch_avg == 2.0
    assert found.queue_us == 1000.0
    assert found.pending == 5
    assert found.gpu_requests_per_s == ((GPU0, 30.0), (GPU1, 10.0))
    assert dict(found.failures_by_reason) == pytest.approx({"BACKEND": 4.0})
    assert found.failures_per_s == pytest.approx(4.0)


def test_a_gpu_that_joins_later_counts_from_zero() -> None:
    first = Exposition()
    first.core("m", "1", *[0.0] * 8)
    found = row(two_scrapes(first, gpu_model(30, 10)).snapshot, "m")
    assert found.requests_per_s == 40.0
    assert not found.counters_restarted


def test_a_series_that_a_bound_had_cut_off_has_an_unknown_past() -> None:
    first = Exposition()
    first.core("m", "1", *[0.0] * 8)
    found = run(
        make_round(1.0, source("metrics", first.at(1.0, dropped=16))),
        make_round(2.0, source("metrics", gpu_model(30, 10).at(2.0))),
    )
    assert row(found.snapshot, "m").requests_per_s is None


def test_a_gpu_that_leaves_takes_nothing_away() -> None:
    second = Exposition()
    second.core("m", "1", *[0.0] * 8)
    second.core("m", "1", *[40.0] * 8, gpu_uuid=GPU0)
    found = row(two_scrapes(gpu_model(10, 10), second).snapshot, "m")
    assert found.requests_per_s == 30.0


def test_namespaces_and_tags_are_summed_over() -> None:
    def at(value: float) -> Exposition:
        exposition = Exposition()
        exposition.core("m", "1", *[value] * 8, namespace="/models/a", _team="red")
        exposition.core("m", "1", *[2 * value] * 8, namespace="/models/b")
        return exposition

    found = two_scrapes(at(0), at(10))
    assert [one.key for one in only(found.snapshot).models] == [("m", "1")]
    assert row(found.snapshot, "m").requests_per_s == 30.0


def test_the_order_of_labels_and_series_does_not_matter() -> None:
    one, other = gpu_model(30, 10), Exposition()
    other.values = dict(reversed(one.values.items()))
    expected = two_scrapes(gpu_model(0, 0), one).snapshot
    assert row(two_scrapes(gpu_model(0, 0), other).snapshot, "m").requests_per_s == row(expected, "m").requests_per_s


def test_a_series_that_stands_there_twice_counts_once() -> None:
    first, second = Exposition(), Exposition()
    for exposition, value in ((first, 0.0), (second, 10.0)):
        exposition.core("m", "1", *[value] * 8)
    doubled = second.at(2.0)
    layout = type(doubled.layout)(doubled.layout.series * 2)
    reading = type(doubled)(doubled.at, doubled.mono, layout, [*doubled.values, *doubled.values])
    found = run(make_round(1.0, source("metrics", first.at(1.0))), make_round(2.0, source("metrics", reading)))
    assert row(found.snapshot, "m").requests_per_s == 10.0


def test_the_names_that_the_grammar_gives_counters_are_understood() -> None:
    """prometheus_client calls the samples of a counter `..._total`, whatever the server calls them."""

    def at(mono: float, value: float) -> Round:
        plain = Exposition()
        plain.core("m", "1", *[value] * 8)
        reading = plain.at(mono)
        total = tuple(type(one)(one.family, f"{one.name}_total", one.labels, one.kind) for one in reading.layout.series)
        return make_round(
            mono, source("metrics", type(reading)(mono, mono, type(reading.layout)(total), reading.values))
        )

    assert row(run(at(1.0, 0), at(2.0, 3)).snapshot, "m").requests_per_s == 3.0


def test_gauges_of_the_host_and_nan_for_an_interval_that_was_too_short() -> None:
    exposition = Exposition()
    exposition.set("nv_cpu_utilization", 0.25, "gauge")
    exposition.set("nv_cpu_memory_used_bytes", 3e9, "gauge")
    exposition.set("nv_cpu_memory_total_bytes", 4e9, "gauge")
    exposition.set("nv_pinned_memory_pool_used_bytes", 1024, "gauge")
    exposition.set("nv_pinned_memory_pool_total_bytes", 4096, "gauge")
    server = only(run(make_round(1.0, source("metrics", exposition.at(1.0)))).snapshot)
    assert (server.cpu_ratio, server.memory_used_bytes, server.memory_total_bytes) == (0.25, 3 * 10**9, 4 * 10**9)
    assert (server.pinned_used_bytes, server.pinned_total_bytes) == (1024, 4096)
    exposition.set("nv_cpu_utilization", nan, "gauge")
    assert only(run(make_round(1.0, source("metrics", exposition.at(1.0)))).snapshot).cpu_ratio is None


def gpu_gauges(utilization: float, total: float = 100.0) -> Exposition:
    exposition = Exposition()
    exposition.set("nv_gpu_utilization", utilization, "gauge", gpu_uuid=GPU0)
    exposition.set("nv_gpu_memory_used_bytes", 40.0, "gauge", gpu_uuid=GPU0)
    exposition.set("nv_gpu_memory_total_bytes", total, "gauge", gpu_uuid=GPU0)
    exposition.set("nv_gpu_power_usage", 300.0, "gauge", gpu_uuid=GPU0)
    exposition.set("nv_gpu_power_limit", 700.0, "gauge", gpu_uuid=GPU0)
    return exposition


def test_gpus_are_those_of_all_servers_together() -> None:
    def at(mono: float, *servers: str) -> Round:
        sources = (source("metrics", gpu_gauges(0.5).at(mono)),)
        return Round(mono, mono, 1.0, tuple(ServerRound(name, "", sources=sources) for name in servers))

    derivation = derive(None, at(1.0, "a", "b"))
    (gpu,) = derivation.snapshot.gpus
    assert (gpu.uuid, gpu.origin, gpu.servers) == (GPU0, "triton", ("a", "b"))
    assert (gpu.utilization_ratio, gpu.used_bytes, gpu.total_bytes) == (0.5, 40, 100)
    assert (gpu.power_w, gpu.power_limit_w) == (300.0, 700.0)
    (again,) = derive(derivation, at(2.0, "a", "b")).snapshot.gpus
    assert again is gpu


def test_a_gpu_whose_gauges_are_stale_has_no_values() -> None:
    reading = gpu_gauges(0.9).at(1.0)
    derivation = derive(run(make_round(1.0, source("metrics", reading))), make_round(20.0, source("metrics", reading)))
    (gpu,) = derivation.snapshot.gpus
    assert (gpu.utilization_ratio, gpu.used_bytes, gpu.servers) == (None, None, (SERVER,))
    assert gpu.fault


def test_a_gpu_field_that_failed_for_good_is_unknown() -> None:
    (gpu,) = run(make_round(1.0, source("metrics", gpu_gauges(0.0, total=0.0).at(1.0)))).snapshot.gpus
    assert gpu.total_bytes is None


def with_custom(tokens: float, gauge: float) -> Exposition:
    exposition = Exposition()
    exposition.set("vllm:prompt_tokens_total", tokens, model="m", version="1")
    exposition.set("nv_trt_llm_request_metrics", gauge, "gauge", model="m", version="1", request_type="waiting")
    exposition.set("vllm:e2e_request_latency_seconds_bucket", tokens, "histogram", le="+Inf", model="m", version="1")
    exposition.set("anything", nan, "unknown")
    return exposition


def test_families_without_a_meaning_here_are_kept() -> None:
    first = {
        one.name or one.family: one for one in only(two_scrapes(with_custom(5, 1), with_custom(9, 2)).snapshot).custom
    }
    assert first["vllm:prompt_tokens_total"].per_s == 4.0
    assert first["vllm:prompt_tokens_total"].value == 9.0
    assert (first["nv_trt_llm_request_metrics"].value, first["nv_trt_llm_request_metrics"].per_s) == (2.0, None)
    assert first["nv_trt_llm_request_metrics"].labels == (
        ("model", "m"),
        ("request_type", "waiting"),
        ("version", "1"),
    )
    bucket = first["vllm:e2e_request_latency_seconds_bucket"]
    assert (bucket.family, bucket.per_s) == ("vllm:e2e_request_latency_seconds", 4.0)
    assert first["anything"].kind == "unknown"


def test_a_custom_counter_has_no_rate_at_first_and_counts_from_zero_after_a_restart() -> None:
    once = run(make_round(1.0, source("metrics", with_custom(5, 1).at(1.0))))
    assert all(one.per_s is None for one in only(once.snapshot).custom)
    found = derive(once, make_round(2.0, source("metrics", with_custom(3, 1).at(2.0))))
    assert {one.per_s for one in only(found.snapshot).custom if one.kind == "counter"} == {3.0}


def test_a_known_family_without_the_labels_of_a_model_is_kept_as_it_is() -> None:
    exposition = Exposition()
    exposition.set(CORE[0], 5, instance="x")
    exposition.set("nv_gpu_utilization", 0.5, "gauge")
    found = only(run(make_round(1.0, source("metrics", exposition.at(1.0)))).snapshot)
    assert found.models == ()
    assert [one.family for one in found.custom] == [CORE[0], "nv_gpu_utilization"]


BOUNDS = {"100": 100.0, "1000": 1000.0, "+Inf": inf}


def with_histogram(counts: tuple[float, float, float], family: str, **labels: str) -> Exposition:
    exposition = Exposition()
    exposition.core("m", "1", *[counts[-1]] * 8)
    for bound, count in zip(BOUNDS, counts, strict=True):
        exposition.set(f"{family}_bucket", count, "histogram", model="m", version="1", le=bound, **labels)
    exposition.set(f"{family}_count", counts[-1], "histogram", model="m", version="1", **labels)
    exposition.set(f"{family}_sum", 1.0, "histogram", model="m", version="1", **labels)
    return exposition


def test_quantiles_of_the_interval_are_interpolated_from_histograms() -> None:
    family = "nv_inference_request_duration_histogram_us"
    found = row(
        two_scrapes(with_histogram((50, 60, 60), family), with_histogram((100, 160, 160), family)).snapshot, "m"
    )
    by_q = {one.q: one.us for one in found.quantiles if one.stage == "request"}
    assert by_q[0.5] == pytest.approx(100.0)
    assert by_q[0.99] == pytest.approx(100 + 900 * 49 / 50)
    assert (found.p99_us, found.p99_origin) == (by_q[0.99], Origin.HISTOGRAM)
    assert only(two_scrapes(with_histogram((1, 1, 1), family), with_histogram((2, 2, 2), family)).snapshot).custom == ()


def test_a_quantile_above_the_last_bound_is_unknown() -> None:
    family = "nv_inference_request_duration_histogram_us"
    found = row(two_scrapes(with_histogram((0, 0, 0), family), with_histogram((50, 60, 100), family)).snapshot, "m")
    assert {one.q for one in found.quantiles} == {0.5}
    assert found.p99_us is None


def test_a_histogram_that_stands_still_gives_no_quantile() -> None:
    family = "nv_inference_request_duration_histogram_us"
    same = (50.0, 60.0, 60.0)
    assert row(two_scrapes(with_histogram(same, family), with_histogram(same, family)).snapshot, "m").quantiles == ()


def test_the_first_response_is_in_milliseconds() -> None:
    family = "nv_inference_first_response_histogram_ms"
    found = row(two_scrapes(with_histogram((0, 0, 0), family), with_histogram((0, 100, 100), family)).snapshot, "m")
    (median,) = (one.us for one in found.quantiles if (one.stage, one.q) == ("first_response", 0.5))
    assert median == pytest.approx(550_000)
    assert found.p99_us is None


@given(st.floats(0, 1), st.lists(st.integers(0, 1000), min_size=1, max_size=10))
def test_an_interpolated_quantile_lies_in_its_bucket(q: float, buckets: list[int]) -> None:
    bounds = [float(10 * place) for place in range(1, len(buckets))] + [inf]
    cumulative = [float(sum(buckets[: place + 1])) for place in range(len(buckets))]
    found = histogram_quantile(q, bounds, cumulative)
    if found == found:  # noqa: PLR0124  not NaN
        assert 0 <= found <= bounds[-2]
        at_most = max((count for bound, count in zip(bounds, cumulative, strict=True) if bound <= found), default=0)
        assert at_most <= q * sum(buckets) + 1e-6
    else:
        assert sum(buckets) == 0 or q * sum(buckets) > cumulative[-1] - buckets[-1] - 1e-9 or q == 0


def summary(count: float, us: float, **labels: str) -> Exposition:
    exposition = Exposition()
    exposition.core("m", "1", *[count] * 8)
    name = "nv_inference_request_summary_us"
    exposition.set(f"{name}_count", count, "summary", model="m", version="1", **labels)
    exposition.set(name, us, "summary", model="m", version="1", quantile="0.99", **labels)
    return exposition


def test_quantiles_of_two_summaries_are_not_put_together() -> None:
    def both(first: float, second: float) -> Exposition:
        exposition = summary(first, 100.0, gpu_uuid=GPU0)
        exposition.values.update(summary(second, 900.0, gpu_uuid=GPU1).values)
        return exposition

    assert row(two_scrapes(both(1, 1), both(2, 2)).snapshot, "m").p99_us is None
    only_one_moves = row(two_scrapes(both(1, 1), both(2, 1)).snapshot, "m")
    assert (only_one_moves.p99_us, only_one_moves.p99_origin) == (100.0, Origin.QUANTILE_60S)


def traffic(version: str = "", **fields: object) -> Traffic:
    return Traffic(SERVER, "m", version, TrafficState.RUNNING, p99_us=4321.0, **fields)  # type: ignore[arg-type]  # fields by name


def test_our_own_traffic_gives_the_p99_of_the_version_that_it_reaches() -> None:
    now = make_round(1.0, source("api", api(1.0, statistics("m", "2"), statistics("m", "10"))), traffic=[traffic()])
    found = run(now)
    assert (row(found.snapshot, "m", "10").p99_us, row(found.snapshot, "m", "10").p99_origin) == (4321.0, Origin.CLIENT)
    assert row(found.snapshot, "m", "2").p99_us is None
    assert found.snapshot.traffic == (traffic(),)
    named = run(make_round(1.0, source("api", api(1.0, statistics("m", "2"))), traffic=[traffic("2")]))
    assert row(named.snapshot, "m", "2").p99_us == 4321.0


def test_traffic_that_a_source_reports_is_shown_like_the_sessions_own() -> None:
    reading = TrafficReading(1.0, 1.0, (traffic(),))
    found = run(make_round(1.0, source("api", api(1.0, statistics("m"))), source("traffic", reading)))
    assert found.snapshot.traffic == (traffic(),)
    assert row(found.snapshot, "m").p99_origin is Origin.CLIENT


def test_the_servers_quantile_goes_before_the_clients() -> None:
    rounds = [
        make_round(
            mono,
            source("metrics", summary(mono, 100.0).at(mono)),
            source("api", api(mono, statistics("m"))),
            traffic=[traffic()],
        )
        for mono in (1.0, 2.0)
    ]
    assert row(run(*rounds).snapshot, "m").p99_origin is Origin.QUANTILE_60S


def test_a_model_that_exists_only_as_files_of_a_load_request_is_ready() -> None:
    found = run(make_round(1.0, source("api", api(1.0, statistics("m"), index=()))))
    assert row(found.snapshot, "m").state is ModelState.READY


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("READY", "", ModelState.READY),
        ("LOADING", "", ModelState.LOADING),
        ("UNLOADING", "", ModelState.UNLOADING),
        ("UNAVAILABLE", "unloaded", ModelState.UNLOADED),
        ("UNAVAILABLE", "Internal: no such file", ModelState.FAILED),
        ("UNAVAILABLE", "", ModelState.UNLOADED),
        ("", "", ModelState.UNLOADED),
        ("UNKNOWN", "", ModelState.UNKNOWN),
        ("WHATEVER", "", ModelState.UNKNOWN),
    ],
)
def test_states_of_the_index(state: str, reason: str, expected: ModelState) -> None:
    reading = api(1.0, index=(IndexEntry("m", "1", state, reason),))
    assert row(run(make_round(1.0, source("api", reading))).snapshot, "m").state is expected


def test_a_version_listed_twice_is_the_one_that_serves() -> None:
    entries = (IndexEntry("m", "1", "UNAVAILABLE", "unloaded"), IndexEntry("m", "1", "READY", ""))
    for index in (entries, entries[::-1]):
        found = run(make_round(1.0, source("api", api(1.0, index=index))))
        assert row(found.snapshot, "m").state is ModelState.READY


def test_rows_are_in_order_of_name_and_number_and_never_loaded_models_have_one_row() -> None:
    entries = [("b", "10"), ("b", "9"), ("a", ""), ("a", "1"), ("c", ""), ("b", "x")]
    index = tuple(IndexEntry(name, version, "READY" if version else "", "") for name, version in entries)
    found = run(make_round(1.0, source("api", api(1.0, index=index))))
    assert [one.key for one in only(found.snapshot).models] == [
        ("a", "1"),
        ("b", "x"),
        ("b", "9"),
        ("b", "10"),
        ("c", ""),
    ]


def test_what_the_server_says_about_itself() -> None:
    reading = api(1.0, version="2.51.0", extensions=("statistics",))
    server = only(run(make_round(1.0, source("api", reading))).snapshot)
    assert (server.version, server.extensions, server.live, server.ready) == ("2.51.0", ("statistics",), True, True)
    assert server.endpoint == "127.0.0.1:8001"
