from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tritop.load.server_side import CounterDeltas, Counters


def counters(requests: int, batch: int = 1, queue_us: int = 0) -> Counters:
    return {
        "inference_count": requests,
        "execution_count": requests // batch,
        "success.count": requests,
        "success.ns": requests * 9000,
        "queue.count": requests,
        "queue.ns": requests * queue_us * 1000,
    }


def test_means_are_of_what_happened_between_the_readings() -> None:
    deltas = CounterDeltas()
    deltas.add({"1": counters(1000, queue_us=5000), "2": counters(0)})
    deltas.add({"1": counters(1000, queue_us=5000), "2": counters(80, batch=4, queue_us=20)})
    means = deltas.means()
    assert (means.inferences, means.executions, means.batch_avg) == (80, 20, 4.0)
    assert (means.request_us, means.queue_us, means.compute_infer_us) == (9.0, 20.0, None)


def test_one_reading_says_nothing() -> None:
    deltas = CounterDeltas()
    deltas.add({"1": counters(1000)})
    means = deltas.means()
    assert (means.inferences, means.batch_avg, means.request_us) == (0, None, None)


def test_a_reload_takes_the_counters_back_and_nothing_goes_negative() -> None:
    deltas = CounterDeltas()
    deltas.add({"1": counters(1000)})
    deltas.add({"1": counters(1100)})
    deltas.add({})  # read while the model was reloaded
    deltas.add({"1": counters(30)})
    deltas.add({"1": counters(50)})
    assert deltas.means().inferences == 100 + 30 + 20


def test_a_version_that_comes_later_counts_from_zero() -> None:
    deltas = CounterDeltas()
    deltas.add({"1": counters(10)})
    deltas.add({"1": counters(10), "2": counters(7)})
    assert deltas.means().inferences == 7


@given(st.lists(st.integers(0, 1000), min_size=2))
def test_the_sum_is_never_negative_and_exact_without_resets(readings: list[int]) -> None:
    deltas = CounterDeltas()
    for reading in readings:
        deltas.add({"1": counters(reading)})
    moved = deltas.means().inferences
    assert moved >= 0
    if readings == sorted(readings):
        assert moved == readings[-1] - readings[0]
