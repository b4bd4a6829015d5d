"""Rows of the overview: cells, order, filter, looks, and rows that are used again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.samples import HOSTILE_NAMES, LONG_NAME, sample_snapshot
from tritop.model import (
    ModelState,
    ModelVersion,
    Origin,
    Server,
    ServerState,
    Snapshot,
    Traffic,
    TrafficState,
    Verdict,
    VerdictKind,
)
from tui.present.filtering import SORT_VALUES, Order, Subject, keep, ordered
from tui.present.look import Look
from tui.present.table import RowMaker, columns_for, subjects_of, traffic_text
from tui.present.verdicts import evidence_text, why
from tui.widgets.line_table import Row

LOOK = Look()


def rows_of(snapshot: Snapshot, width: int = 160, maker: RowMaker | None = None) -> dict[object, dict[str, str]]:
    return {row.key: cells_of(snapshot, row, width) for row in made_rows(snapshot, width, maker)}


def made_rows(snapshot: Snapshot, width: int = 160, maker: RowMaker | None = None) -> list[Row]:
    maker = maker or RowMaker(LOOK, lambda server, model: "trend")
    return maker.rows(subjects_of(snapshot), columns_for(snapshot, LOOK, width), snapshot, range(5000))


def cells_of(snapshot: Snapshot, row: Row, width: int = 160) -> dict[str, str]:
    return dict(zip((column.key for column in columns_for(snapshot, LOOK, width)), row.cells, strict=True))


def test_a_row_says_what_a_model_does() -> None:
    cells = rows_of(sample_snapshot())[("demo", "matrix", "2")]
    assert cells["model"] == "matrix"
    assert cells["state"] == "● READY"
    assert cells["pending"] == "31"
    assert cells["busy"] == "98%"
    assert cells["batch"] == "12.4"
    assert cells["traffic"] == "×32"
    assert cells["why"].startswith("capacity: pending 31, busy 98%")


def test_the_first_reading_has_no_numbers() -> None:
    cells = rows_of(sample_snapshot(condition="first"))[("demo", "matrix", "2")]
    assert {cells[key] for key in ("requests", "failures", "batch", "queue", "compute", "p99", "busy")} == {"--"}


def test_a_failed_model_says_the_first_line_of_its_reason() -> None:
    snapshot = sample_snapshot()
    failed = next(row for row in made_rows(snapshot) if row.tone == "error")
    assert "FileNotFoundError" in cells_of(snapshot, failed)["why"]
    assert "\n" not in cells_of(snapshot, failed)["why"]


def test_stale_numbers_are_dim_and_say_their_age() -> None:
    rows = made_rows(sample_snapshot(condition="stale"))
    ready = [row for row in rows if row.tone != "error"]
    assert {row.tone for row in ready} == {"dim"}
    assert any("12 s ago" in row.cells[-1] for row in ready)
    assert all(row.accents == () for row in ready)


def test_a_row_whose_model_did_not_change_is_the_same_object() -> None:
    snapshot = sample_snapshot()
    maker = RowMaker(LOOK, lambda server, model: "trend")
    first = made_rows(snapshot, maker=maker)
    again = made_rows(replace(snapshot, seq=2), maker=maker)
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_row_is_made_again_when_its_traffic_or_trend_changes() -> None:
    snapshot = sample_snapshot()
    trends = iter(["a"] * 5 + ["b"] * 5)
    maker = RowMaker(LOOK, lambda server, model: next(trends))
    first = made_rows(snapshot, maker=maker)
    assert all(one is not other for one, other in zip(first, made_rows(snapshot, maker=maker), strict=True))


def test_rows_out_of_view_cost_nothing() -> None:
    snapshot = sample_snapshot(models=1000)
    drawn: list[str] = []
    maker = RowMaker(LOOK, lambda server, model: drawn.append(model.name) or "")  # type: ignore[func-returns-value]  # append says None
    rows = maker.rows(subjects_of(snapshot), columns_for(snapshot, LOOK, 120), snapshot, range(10, 50))
    assert len(rows) == 1000
    assert len(drawn) == 40
    assert rows[9].cells == ()
    assert rows[10].cells != ()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_harmless(name: str) -> None:
    snapshot = sample_snapshot(names=[name])
    for row in made_rows(snapshot):
        assert all(cell.isprintable() for cell in row.cells)


def test_a_long_name_does_not_take_the_table() -> None:
    columns = {column.key: column for column in columns_for(sample_snapshot(names=[LONG_NAME]), LOOK, 80)}
    assert columns["model"].width <= 16


def test_every_server_has_a_row() -> None:
    snapshot = sample_snapshot(servers=3, condition="unreachable")
    cells = rows_of(snapshot)[("demo", "", "")]
    assert cells["server"] == "demo"
    assert "UNREACHABLE" in cells["state"]
    assert "refuses connections" in cells["why"]


def test_one_server_has_no_server_column() -> None:
    assert "server" not in {column.key for column in columns_for(sample_snapshot(), LOOK, 160)}
    assert "server" in {column.key for column in columns_for(sample_snapshot(servers=2), LOOK, 160)}


def test_chosen_columns_come_in_the_chosen_order() -> None:
    columns = columns_for(sample_snapshot(), LOOK, 160, ("queue", "model", "nonsense"))
    assert [column.key for column in columns] == ["queue", "model"]


def test_the_heading_says_where_a_p99_is_from() -> None:
    snapshot = sample_snapshot()
    server = snapshot.servers[0]
    models = tuple(replace(model, p99_us=10.0, p99_origin=Origin.CLIENT) for model in server.models)
    one = replace(snapshot, servers=(replace(server, models=models),))
    titles = {column.key: column.title for column in columns_for(one, LOOK, 160)}
    assert titles["p99"] == "P99 cli"
    titles = {column.key: column.title for column in columns_for(snapshot, LOOK, 160)}
    assert titles["p99"] == "P99"
    assert rows_of(snapshot)[("demo", "matrix", "2")]["p99"].endswith(" q")


def test_client_bound_traffic_is_marked() -> None:
    traffic = Traffic("demo", "matrix", "2", TrafficState.RUNNING, concurrency=64, client_bound=True)
    assert traffic_text(traffic, LOOK) == "×64 !"
    assert traffic_text(replace(traffic, concurrency=None, rate_per_s=200.0), LOOK) == "200.0/s !"
    assert traffic_text(replace(traffic, state=TrafficState.STOPPED), LOOK) == ""


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("queue_us", 4100.0, "queue 4.1ms"),
        ("busy ratio", 0.98, "busy 98%"),
        ("failures/s", 3.0, "failures 3.0/s"),
        ("requests_per_s", 12.5, "requests 12.5/s"),
        ("pending", 31.0, "pending 31"),
    ],
)
def test_evidence_has_its_unit(name: str, value: float, text: str) -> None:
    assert evidence_text(name, value) == text


def test_why_is_silent_when_all_is_well() -> None:
    assert why(ModelVersion("a", "1", ModelState.READY, requests_per_s=5.0)) == ""
    assert why(ModelVersion("a", "1", ModelState.READY, verdict=Verdict(VerdictKind.STALLED))) == "stalled"


SERVER = Server("s", "127.0.0.1:8001", ServerState.READY)


def subject(name: str, requests_per_s: float | None = None, version: str = "1") -> Subject:
    return Subject(SERVER, ModelVersion(name, version, ModelState.READY, requests_per_s=requests_per_s))


@given(
    rates=st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=30),
    descending=st.booleans(),
)
def test_order_is_stable_and_unknown_comes_last(rates: list[float | None], descending: bool) -> None:
    subjects = [subject(f"m{number}", per_s) for number, per_s in enumerate(rates)]
    result = ordered(subjects, Order("requests", descending))
    assert sorted(each.key for each in result) == sorted(each.key for each in subjects)
    values = [each.model.requests_per_s for each in result if each.model is not None]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=descending)
    for one, other in pairwise(result):
        if one.model is not None and other.model is not None and one.model.requests_per_s == other.model.requests_per_s:
            assert subjects.index(one) < subjects.index(other)


@pytest.mark.parametrize("column", sorted(SORT_VALUES))
def test_every_column_sorts(column: str) -> None:
    subjects = subjects_of(sample_snapshot(models=40))
    assert len(ordered(subjects, Order(column, True))) == 40


def test_versions_sort_as_numbers() -> None:
    subjects = [subject("m", version=version) for version in ("10", "9", "")]
    versions = [each.model.version for each in ordered(subjects, Order("version")) if each.model is not None]
    assert versions == ["9", "10", ""]


def test_a_filter_finds_names_states_and_verdicts() -> None:
    subjects = subjects_of(sample_snapshot())
    assert {each.key[1] for each in keep(subjects, "MATR")} == {"matrix"}
    assert {each.key[1] for each in keep(subjects, "failed")} == {"ranker"}
    assert {each.key[1] for each in keep(subjects, "capacity")} == {"matrix"}
    assert "matrix" not in {each.key[1] for each in keep(subjects, "!matrix")}
    assert keep(subjects, "!") == subjects
