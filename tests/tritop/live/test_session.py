"""The session: threads, time-outs, back-off, order of closing. No server is needed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.tritop.live.fakes import Deliveries, FakeCollector, FakeHosted
from tritop.endpoint import Endpoint
from tritop.errors import Unavailable, Unreachable
from tritop.live import LiveSession
from tritop.model import SourceState
from tritop.operation import OperationState, ReadNow, SetInterval, SetTraffic
from tritop.reading import Collector

ENDPOINT = Endpoint(name="box", host="127.0.0.1", grpc_port=1)


@contextmanager
def running(session: LiveSession) -> Iterator[Deliveries]:
    deliveries = Deliveries()
    session.start(deliveries)
    try:
        yield deliveries
    finally:
        session.stop()


def session_of(*collectors: FakeCollector, interval_s: float = 0.1, **options: object) -> LiveSession:
    def make(endpoint: Endpoint) -> Sequence[Collector]:
        return collectors

    return LiveSession([ENDPOINT], interval_s=interval_s, make_collectors=make, **options)  # type: ignore[arg-type]  # options are passed through


def test_it_delivers_from_a_thread_of_its_own_until_it_is_stopped() -> None:
    collector = FakeCollector()
    with running(session_of(collector)) as deliveries:
        snapshot = deliveries.until(lambda s: s.seq >= 3)
    assert snapshot.servers[0].version == "2.51.0"
    assert deliveries.threads == {"tritop-session"}
    assert collector.closed
    deliveries.drain()
    time.sleep(0.3)  # three intervals: a session that went on would have delivered
    assert deliveries.drain() == []
    assert "tritop-session" not in {thread.name for thread in threading.enumerate()}


def test_one_hanging_source_does_not_hold_up_the_others() -> None:
    healthy, hanging = FakeCollector("api"), FakeCollector("metrics")
    hanging.hang = True
    with running(session_of(healthy, hanging)) as deliveries:
        snapshot = deliveries.until(lambda s: s.seq >= 5)
    states = {source.name: source.state for source in snapshot.servers[0].sources}
    assert states["api"] is SourceState.OK
    assert states["metrics"] is SourceState.WAITING
    assert hanging.reads == 1, "a second read must not start while the first one is under way"
    assert healthy.reads >= 5


def test_a_hanging_source_is_no_reason_to_write_on_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    healthy, hanging = FakeCollector("api"), FakeCollector("metrics")
    hanging.hang = True
    with running(session_of(healthy, hanging)) as deliveries:
        deliveries.until(lambda s: s.seq >= 3)
    gc.collect()
    assert caplog.text == "", "what nobody handles goes to stderr, which is the operator's screen"


def test_a_fault_carries_its_sentence_and_counts_failures_in_a_row() -> None:
    collector = FakeCollector()
    collector.error = Unreachable("nobody answers at 127.0.0.1:1.", "Is the server running?")
    with running(session_of(collector)) as deliveries:
        deliveries.until(lambda s: (f := s.servers[0].sources[0].fault) is not None and f.attempts >= 2)
        collector.error = None
        snapshot = deliveries.until(lambda s: s.servers[0].sources[0].state is SourceState.OK)
    assert snapshot.servers[0].sources[0].fault is None


def test_a_source_that_is_switched_off_is_told_from_a_broken_one() -> None:
    collector = FakeCollector("metrics")
    collector.error = Unavailable("metrics are switched off at box.")
    with running(session_of(collector)) as deliveries:
        snapshot = deliveries.until(lambda s: s.seq >= 2)
    assert snapshot.servers[0].sources[0].state is SourceState.OFF


def test_failures_are_retried_less_and_less_often_and_read_now_does_not_wait() -> None:
    collector = FakeCollector()
    collector.error = Unreachable("nobody answers.")
    session = session_of(collector)
    with running(session) as deliveries:
        deliveries.until(lambda s: s.seq >= 25)
        assert 3 <= collector.reads <= 7, "0.1 s doubled each time leaves room for 5 attempts in 2.5 s"
        collector.error = None
        session.submit(ReadNow())
        deliveries.until(lambda s: s.servers[0].sources[0].state is SourceState.OK, timeout_s=1.0)


def test_a_bug_in_one_source_costs_that_source_only() -> None:
    healthy, buggy = FakeCollector("api"), FakeCollector("metrics")
    buggy.error = ZeroDivisionError("division by zero")
    with running(session_of(healthy, buggy)) as deliveries:
        snapshot = deliveries.until(lambda s: s.seq >= 2)
    fault = snapshot.servers[0].sources[1].fault
    assert fault is not None
    assert "ZeroDivisionError" in fault.sentence
    assert snapshot.servers[0].sources[0].state is SourceState.OK


def test_a_shorter_interval_counts_from_the_last_round_not_after_the_old_one() -> None:
    session = session_of(FakeCollector(), interval_s=60.0)
    with running(session) as deliveries:
        deliveries.until(lambda s: s.seq >= 1)
        session.submit(SetInterval(0.1))
        snapshot = deliveries.until(lambda s: s.seq >= 3, timeout_s=5.0)
    assert snapshot.interval_s == pytest.approx(0.1)


def test_the_first_two_rounds_can_be_close_together() -> None:
    collector = FakeCollector()
    with running(session_of(collector, interval_s=60.0, first_interval_s=0.1)) as deliveries:
        deliveries.until(lambda s: s.seq >= 2, timeout_s=5.0)
    assert collector.reads == 2


def test_a_refused_operation_comes_back_as_failed_with_the_reason() -> None:
    session = LiveSession(
        [Endpoint(name="box", host="127.0.0.1", grpc_port=1, read_only=True)],
        interval_s=60.0,
        make_collectors=lambda endpoint: (FakeCollector(),),
    )
    with running(session) as deliveries:
        session.submit(SetTraffic("box", "matrix", concurrency=4))
        session.submit(SetTraffic("nowhere", "matrix", concurrency=4))
        snapshot = deliveries.until(
            lambda s: len(s.operations) == 2 and all(o.state is OperationState.FAILED for o in s.operations),
            timeout_s=5.0,
        )
    assert "read-only" in snapshot.operations[0].text
    assert "nowhere" in snapshot.operations[1].text


def test_a_hosted_server_is_stopped_after_every_connection_of_ours_is_closed() -> None:
    log: list[str] = []

    class FakeClosing(FakeCollector):
        async def aclose(self) -> None:
            log.append("collector closed")

    hosted = FakeHosted(log=log)
    session = LiveSession(hosted=[hosted], interval_s=0.1, make_collectors=lambda endpoint: (FakeClosing(),))
    with running(session) as deliveries:
        snapshot = deliveries.until(lambda s: len(s.servers[0].sources) == 2)
    assert snapshot.servers[0].launch is not None
    assert snapshot.servers[0].launch.step == "loading matrix"
    assert log == ["start", "collector closed", "stop"]


def test_a_hosted_server_that_cannot_start_says_why() -> None:
    hosted = FakeHosted(error=Unreachable("no Triton in this environment.", "Install tritop[demo]."))
    session = LiveSession(hosted=[hosted], interval_s=0.1, make_collectors=lambda endpoint: (FakeCollector(),))
    with running(session) as deliveries:
        snapshot = deliveries.until(lambda s: bool(s.servers[0].sources and s.servers[0].sources[0].fault))
    fault = snapshot.servers[0].sources[0].fault
    assert fault is not None
    assert fault.advice == "Install tritop[demo]."


def test_a_hosted_server_is_followed_to_another_address() -> None:
    made: list[tuple[int | None, FakeCollector]] = []

    def make(endpoint: Endpoint) -> Sequence[Collector]:
        made.append((endpoint.grpc_port, FakeCollector()))
        return (made[-1][1],)

    hosted = FakeHosted()
    session = LiveSession(hosted=[hosted], interval_s=0.1, make_collectors=make)
    with running(session) as deliveries:
        deliveries.until(lambda s: s.servers[0].endpoint == "127.0.0.1:1" and s.servers[0].version is not None)
        hosted.address = Endpoint("mine", "127.0.0.1", grpc_port=2)
        deliveries.until(lambda s: s.servers[0].endpoint == "127.0.0.1:2")
        (_, first), (_, second) = made
        reads = first.reads
        deliveries.until(lambda s: second.reads > 1)
    assert [port for port, _ in made] == [1, 2]
    assert first.closed
    assert first.reads == reads


def test_stop_is_quick_while_a_source_hangs() -> None:
    collector = FakeCollector()
    collector.hang = True
    session = session_of(collector, interval_s=30.0)
    session.start(Deliveries())
    began = time.monotonic()
    session.stop()
    assert time.monotonic() - began < 5.0
