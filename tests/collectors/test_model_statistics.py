"""Rows of the index and the statistics: equal to the answer, and the same objects while nothing moved."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model_statistics import IndexTable, StatisticsTable
from tritop.errors import Garbled
from tritop.protocol import service_pb2
from tritop.reading import BatchStatistics, Duration


def answer(*executions: tuple[str, int]) -> Any:
    """Statistics of versions "1" that executed so often, each execution 3 inferences and 1 ms."""
    response = service_pb2.ModelStatisticsResponse()
    for name, count in executions:
        message = response.model_stats.add(
            name=name, version="1", execution_count=count, inference_count=3 * count, last_inference=count
        )
        for stage in ("success", "queue", "compute_infer"):
            duration = getattr(message.inference_stats, stage)
            duration.count, duration.ns = count, count * 1_000_000
        batch = message.batch_stats.add(batch_size=3)
        batch.compute_infer.count, batch.compute_infer.ns = count, count * 1_000_000
    return response


def test_every_number_of_a_row() -> None:
    response = answer(("a", 2))
    message = response.model_stats[0]
    message.inference_stats.cache_hit.count = 4
    message.inference_stats.cache_hit.ns = 40
    message.inference_stats.fail.count = 1
    message.batch_stats[0].compute_input.ns = 11
    message.batch_stats[0].compute_output.ns = 12
    message.memory_usage.add(type="GPU", id=1, byte_size=1024)
    (row,) = StatisticsTable().update(response.SerializeToString())
    assert (row.name, row.version, row.last_inference_ms) == ("a", "1", 2)
    assert (row.inference_count, row.execution_count) == (6, 2)
    assert (row.success, row.fail) == (Duration(2, 2_000_000), Duration(1, 0))
    assert (row.queue, row.compute_infer) == (Duration(2, 2_000_000), Duration(2, 2_000_000))
    assert (row.cache_hit, row.cache_miss) == (Duration(4, 40), Duration())
    assert row.batches == (BatchStatistics(3, 2, 11, 2_000_000, 12),)
    assert row.memory_bytes == (("GPU 1", 1024),)


def test_a_version_at_rest_keeps_its_row() -> None:
    table = StatisticsTable()
    first = table.update(answer(("a", 1), ("b", 1)).SerializeToString())
    second = table.update(answer(("a", 2), ("b", 1)).SerializeToString())
    assert second[0] is not first[0]
    assert second[1] is first[1]
    third = table.update(answer(("b", 1), ("c", 0), ("a", 2)).SerializeToString())
    assert third[0] is second[1]
    assert third[2] is second[0]
    assert table.update(answer(("b", 1), ("c", 0), ("a", 2)).SerializeToString()) is third


def test_counters_that_go_back_are_named_once() -> None:
    table = StatisticsTable()
    table.update(answer(("a", 5), ("b", 5)).SerializeToString())
    assert table.restarted == frozenset()
    table.update(answer(("a", 1), ("b", 6)).SerializeToString())
    assert table.restarted == {("a", "1")}
    table.update(answer(("a", 1), ("b", 6)).SerializeToString())
    assert table.restarted == frozenset()


def test_a_late_cache_miss_is_seen() -> None:
    table = StatisticsTable()
    response = answer(("a", 1))
    table.update(response.SerializeToString())
    response.model_stats[0].inference_stats.cache_miss.count = 1
    assert table.update(response.SerializeToString())[0].cache_miss.count == 1


ROUNDS = st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 4)), max_size=5), min_size=1, max_size=6)


@given(ROUNDS)
def test_keeping_rows_never_changes_what_they_say(rounds: list[list[tuple[str, int]]]) -> None:
    """Vanishing, reordered, restarted and repeated names: always what a table without a past says."""
    table = StatisticsTable()
    for versions in rounds:
        raw = answer(*versions).SerializeToString()
        assert table.update(raw) == StatisticsTable().update(raw)


def test_the_index_is_the_same_object_while_it_says_the_same() -> None:
    table = IndexTable()
    response = service_pb2.RepositoryIndexResponse()
    assert table.update(response.SerializeToString()) == ()
    response.models.add(name="a", version="1", state="READY")
    first = table.update(response.SerializeToString())
    assert table.update(response.SerializeToString()) is first
    response.models[0].state = "UNLOADING"
    assert table.update(response.SerializeToString())[0].state == "UNLOADING"


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xff\xfe", b"<html>"])
def test_rubbish_is_garbled_and_leaves_the_past_alone(raw: bytes) -> None:
    statistics, index = StatisticsTable(), IndexTable()
    before = statistics.update(answer(("a", 1)).SerializeToString())
    with pytest.raises(Garbled, match="cannot be decoded"):
        statistics.update(raw)
    with pytest.raises(Garbled, match="cannot be decoded"):
        index.update(raw)
    assert statistics.rows is before


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_garbled(raw: bytes) -> None:
    for table in (StatisticsTable(), IndexTable()):
        with suppress(Garbled):
            assert isinstance(table.update(raw), tuple)
