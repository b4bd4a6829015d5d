"""The JSON contract and the tables: names, null for unknown, nothing that harms a terminal."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.sample_conditions import Condition
from tests.tui.samples import HOSTILE_NAMES, sample_snapshot
from tritop.cli.output import as_json, exit_code, iso8601, snapshot_document
from tritop.cli.table import models_table, rates_table, why
from tritop.cli.text import aligned, cells, microseconds, number, printable, rate, ratio
from tritop.model import (
    EMPTY_SNAPSHOT,
    ModelState,
    ModelVersion,
    Server,
    ServerState,
    Snapshot,
    Source,
    SourceState,
    Traffic,
    TrafficState,
    Verdict,
    VerdictKind,
)

# Design section 8, word for word: a name that vanishes here breaks somebody's script.
SERVER_NAMES = {"name", "endpoint", "version", "control_mode", "state", "models", "sources"}
MODEL_NAMES = {
    "name", "version", "state", "reason", "requests_per_s", "failures_per_s", "inferences_per_s", "executions_per_s",
    "batch_avg", "queue_us", "compute_input_us", "compute_infer_us", "compute_output_us", "pending", "busy_ratio",
    "batch_sizes",
}  # fmt: skip
BATCH_SIZE_NAMES = {"size", "executions_per_s", "us_per_inference"}
SOURCE_NAMES = {"name", "state", "age_s", "fault"}
GPU_NAMES = {"uuid", "name", "utilization_ratio", "used_bytes", "total_bytes", "power_w"}


def round_trip(snapshot: Snapshot) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(as_json(snapshot_document(snapshot)))
    return document


def with_models(*models: ModelVersion, state: ServerState = ServerState.READY) -> Snapshot:
    return replace(EMPTY_SNAPSHOT, servers=(Server("a", "a:8001", state, version="2.51.0", models=models),))


class TestContract:
    def test_every_name_is_there(self) -> None:
        document = round_trip(sample_snapshot(40, gpus=1))
        assert {"at", "servers", "gpus", "events"} <= set(document)
        (server,) = document["servers"]
        assert set(server) >= SERVER_NAMES
        assert all(set(model) >= MODEL_NAMES for model in server["models"])
        sizes = [size for model in server["models"] for size in model["batch_sizes"]]
        assert sizes
        assert all(set(size) >= BATCH_SIZE_NAMES for size in sizes)
        assert all(set(source) >= SOURCE_NAMES for source in server["sources"])
        assert set(document["gpus"][0]) >= GPU_NAMES
        assert document["events"]

    def test_every_number_of_a_model_is_the_models_own(self) -> None:
        snapshot = sample_snapshot(40)
        for model, shown in zip(snapshot.servers[0].models, round_trip(snapshot)["servers"][0]["models"], strict=True):
            for name in MODEL_NAMES - {"batch_sizes", "state"}:
                assert shown[name] == getattr(model, name), name
            assert shown["state"] == model.state.value
            assert [size["us_per_inference"] for size in shown["batch_sizes"]] == [
                size.us_per_inference for size in model.batch_sizes
            ]

    def test_no_field_of_a_model_is_forgotten(self) -> None:
        shown = round_trip(with_models(ModelVersion("m", "1", ModelState.READY)))["servers"][0]["models"][0]
        assert {field.name for field in fields(ModelVersion)} <= set(shown)

    def test_no_field_of_traffic_is_forgotten(self) -> None:
        traffic = Traffic("a", "m", "", TrafficState.RUNNING, rate_per_s=50.0, late=3)
        snapshot = replace(with_models(ModelVersion("m", "1", ModelState.READY)), traffic=(traffic,))
        (shown,) = round_trip(snapshot)["servers"][0]["traffic"]
        assert {field.name for field in fields(Traffic)} - {"server"} <= set(shown)
        assert shown["late"] == 3

    def test_unknown_is_null(self) -> None:
        (model,) = round_trip(with_models(ModelVersion("m", "", ModelState.UNLOADED)))["servers"][0]["models"]
        unknown = MODEL_NAMES - {"name", "version", "state", "reason", "batch_sizes"}
        assert {name: model[name] for name in unknown} == dict.fromkeys(unknown)
        assert model["batch_sizes"] == []

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_json_does_not_have_is_null(self, value: float) -> None:
        model = ModelVersion("m", "1", ModelState.READY, requests_per_s=value, queue_us=value)
        shown = round_trip(with_models(model))["servers"][0]["models"][0]
        assert (shown["requests_per_s"], shown["queue_us"]) == (None, None)

    @pytest.mark.parametrize("condition", get_args(Condition))
    def test_every_condition_has_a_document_and_a_table(self, condition: Condition) -> None:
        snapshot = sample_snapshot(3, condition=condition, servers=2, gpus=1)
        assert len(round_trip(snapshot)["servers"]) == 2
        assert rates_table(snapshot).count("control mode") == 2
        assert models_table(snapshot)

    def test_a_fault_says_what_it_says_on_stderr(self) -> None:
        snapshot = sample_snapshot(3, condition="unreachable")
        faults = [source["fault"] for source in round_trip(snapshot)["servers"][0]["sources"] if source["fault"]]
        assert faults
        assert all(fault["sentence"] and fault["since"] for fault in faults)

    def test_one_line_of_ascii_whatever_the_server_sends(self) -> None:
        text = as_json(snapshot_document(sample_snapshot(3, models=len(HOSTILE_NAMES), names=HOSTILE_NAMES)))
        assert text.isascii()
        assert text.isprintable()

    def test_time_is_utc(self) -> None:
        assert iso8601(1_760_000_000.25) == "2025-10-09T08:53:20.250Z"


class TestExitCode:
    def test_healthy(self) -> None:
        assert exit_code(with_models(ModelVersion("m", "1", ModelState.READY))) == 0
        assert exit_code(with_models(ModelVersion("m", "", ModelState.UNLOADED))) == 0

    def test_a_failed_model_or_a_server_that_is_not_ready_is_unhealthy(self) -> None:
        assert exit_code(with_models(ModelVersion("m", "1", ModelState.FAILED))) == 1
        assert exit_code(with_models(state=ServerState.NOT_READY)) == 1

    @pytest.mark.parametrize(
        "state",
        [ServerState.UNREACHABLE, ServerState.UNRESPONSIVE, ServerState.NOT_TRITON, ServerState.CONNECTING],
    )
    def test_a_server_that_cannot_be_read_is_unreachable(self, state: ServerState) -> None:
        assert exit_code(with_models(ModelVersion("m", "1", ModelState.FAILED), state=state)) == 3
        both = replace(EMPTY_SNAPSHOT, servers=(*with_models().servers, *with_models(state=state).servers))
        assert exit_code(both) == 3
        assert exit_code(EMPTY_SNAPSHOT) == 3

    def test_a_server_that_lets_nobody_in_is_unreachable_and_one_source_is_enough_to_reach_it(self) -> None:
        denied, fine = Source("api", SourceState.FAULT), Source("metrics", SourceState.OK, 0.1)
        (server,) = with_models(state=ServerState.NOT_READY).servers
        assert exit_code(replace(EMPTY_SNAPSHOT, servers=(replace(server, sources=(denied,)),))) == 3
        assert exit_code(replace(EMPTY_SNAPSHOT, servers=(replace(server, sources=(denied, fine)),))) == 1


class TestTable:
    def test_columns_line_up_also_with_wide_characters(self) -> None:
        names = ["short", "日本語の模型名", "é" * 3, "e\N{COMBINING ACUTE ACCENT}" * 3]
        lines = rates_table(sample_snapshot(3, models=4, names=names)).splitlines()[1:]
        column = lines[0].index("STATE")
        for line in lines[1:]:
            position = next(at for at in range(len(line)) if line[at:].startswith(("READY", "FAILED", "LOADING")))
            assert cells(line[:position]) == column

    def test_nothing_hostile_is_printed(self) -> None:
        snapshot = sample_snapshot(3, models=len(HOSTILE_NAMES), names=HOSTILE_NAMES)
        for table in (rates_table(snapshot), models_table(snapshot)):
            assert all(line.isprintable() for line in table.split("\n"))

    def test_what_is_not_there_is_said(self) -> None:
        assert "no models" in rates_table(with_models())
        unread = replace(EMPTY_SNAPSHOT, servers=(Server("a", "a:8001", ServerState.UNREACHABLE),))
        assert "nothing read" in rates_table(unread)

    def test_why_is_one_line_with_the_strongest_numbers(self) -> None:
        model = ModelVersion("m", "1", ModelState.READY)
        verdict = Verdict(VerdictKind.CAPACITY, (("pending", 31.0), ("busy_ratio", 0.98), ("queue_us", 4100.0)))
        assert why(replace(model, verdict=verdict)) == "capacity: pending 31, busy_ratio 0.98"
        failed = replace(model, reason="\n  no such file\nat: line 3\n")
        assert why(failed) == "no such file ..."
        assert why(replace(failed, verdict=Verdict(VerdictKind.LOAD_FAILED))) == "load failed: no such file ..."
        assert why(model) == ""

    def test_numbers_carry_units_and_unknown_is_not_zero(self) -> None:
        assert [rate(value) for value in (None, 0.0, 0.04, 1512.34, 250_000.0)] == ["--", "0", "<0.1", "1512.3", "250k"]
        assert [microseconds(value) for value in (None, 0.0, 820.4, 4100.0, 1_250_000.0)] == [
            "--", "0us", "820us", "4.1ms", "1.25s",
        ]  # fmt: skip
        assert (ratio(None), ratio(0.98), number(None), number(12.44, 1)) == ("--", "98%", "--", "12.4")

    @given(st.text(max_size=50))
    def test_printable_text_is_printable(self, text: str) -> None:
        assert printable(text).isprintable()

    @given(st.lists(st.lists(st.text("ab日é", max_size=8), min_size=2, max_size=2), min_size=1, max_size=5))
    def test_aligned_rows_begin_their_second_column_together(self, rows: list[list[str]]) -> None:
        marked = [[first, "|" + second] for first, second in rows]
        starts = {cells(line[: line.index("|")]) for line in aligned(marked, [False, False])}
        assert len(starts) == 1
