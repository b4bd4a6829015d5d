"""The generator in virtual time: every figure here is exact, and no test waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.tritop.load.virtual_time import run_virtually
from tritop.load.engine import MAX_BEHIND_S, NOT_SENT, Engine
from tritop.load.latencies import Figures, Latencies
from tritop.load.requests import Request
from tritop.load.schedule import Aim


class FakeTransport:
    """A server with a service time, which may stall, refuse, and answer only so many at once."""

    def __init__(self, service_s: float = 0.01, workers: int = 10**6) -> None:
        self.service_s = service_s
        self.error = ""
        self.stalled_until_s = 0.0
        self.bodies: Counter[bytes] = Counter()
        self.sent_at_s: list[float] = []
        self.cancelled = 0
        self.most_in_flight = 0
        self._in_flight = 0
        self._workers = asyncio.Semaphore(workers)

    async def infer(self, body: bytes) -> str:
        now_s = asyncio.get_running_loop().time
        self.bodies[body] += 1
        self.sent_at_s.append(now_s())
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.error:
                return self.error
            async with self._workers:
                await asyncio.sleep(max(0.0, self.stalled_until_s - now_s()))
                await asyncio.sleep(self.service_s)
            return ""
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._in_flight -= 1


class Bench:
    def __init__(self, transport: FakeTransport, max_in_flight: int = 1024) -> None:
        self.clock: Callable[[], float] = asyncio.get_running_loop().time
        self.latencies = Latencies(self.clock())
        requests = [Request(b"a", 1), Request(b"b", 3)]
        self.engine = Engine(transport, requests, self.latencies, max_in_flight=max_in_flight)

    @property
    def total(self) -> Figures:
        return self.latencies.total(self.clock())


@asynccontextmanager
async def bench_of(transport: FakeTransport, max_in_flight: int = 1024) -> AsyncIterator[Bench]:
    bench = Bench(transport, max_in_flight)
    try:
        yield bench
        bench.engine.check()
    finally:
        await bench.engine.close(drain_s=1.0)


def test_a_closed_loop_keeps_exactly_so_many_in_flight() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.01)
        async with bench_of(transport) as bench:
            bench.engine.steer(Aim(concurrency=4))
            await asyncio.sleep(1.005)
            assert bench.engine.in_flight == transport.most_in_flight == 4
            assert bench.total.requests == 400
            assert bench.total.p50_us == pytest.approx(10_000, rel=0.001)
            assert bench.total.p999_us == pytest.approx(10_000, rel=0.001)

    run_virtually(scenario())


def test_requests_are_sent_in_turn_and_counted_with_their_inferences() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.01)
        async with bench_of(transport) as bench:
            bench.engine.steer(Aim(concurrency=1))
            await asyncio.sleep(0.105)
            assert transport.bodies == {b"a": 6, b"b": 5}
            assert (bench.total.requests, bench.total.inferences) == (10, 20)
            bench.engine.replace_requests([Request(b"c", 1)])
            await asyncio.sleep(0.1)
            assert transport.bodies[b"c"] == 10

    run_virtually(scenario())


def test_steering_loses_no_request() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.013)
        async with bench_of(transport) as bench:
            for aim in (Aim(8), Aim(2), Aim(16), Aim(rate_per_s=500.0), Aim(1), Aim(rate_per_s=90.0, poisson=True)):
                bench.engine.steer(aim)
                await asyncio.sleep(0.2)
            bench.engine.steer(Aim(concurrency=3))
            await asyncio.sleep(0.5)
            assert bench.engine.in_flight == 3
            assert len(transport.sent_at_s) == bench.total.requests + 3
            assert transport.cancelled == 0

    run_virtually(scenario())


def test_fewer_in_flight_comes_by_not_sending_more_in_flight_at_once() -> None:
    async def scenario() -> None:
        transport = FakeTransport(1.0)
        async with bench_of(transport) as bench:
            bench.engine.steer(Aim(8))
            await asyncio.sleep(0.5)
            bench.engine.steer(Aim(2))
            assert bench.engine.in_flight == 8
            await asyncio.sleep(1.0)
            assert bench.engine.in_flight == 2
            bench.engine.steer(Aim(5))
            await asyncio.sleep(0)
            assert bench.engine.in_flight == 5

    run_virtually(scenario())


def test_lowered_and_raised_again_before_anything_ended_is_still_the_number_asked_for() -> None:
    async def scenario() -> None:
        transport = FakeTransport(1.0)
        async with bench_of(transport) as bench:
            bench.engine.steer(Aim(4))
            await asyncio.sleep(0.1)
            bench.engine.steer(Aim(1))
            bench.engine.steer(Aim(4))
            await asyncio.sleep(3.0)
            assert bench.engine.in_flight == transport.most_in_flight == 4

    run_virtually(scenario())


def test_a_constant_rate_is_kept_to_the_request() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.05)
        async with bench_of(transport) as bench:
            start_s = bench.clock()
            bench.engine.steer(Aim(rate_per_s=200.0))
            await asyncio.sleep(10.001)
            due = [start_s + count / 200.0 for count in range(2001)]
            assert transport.sent_at_s == pytest.approx(due, abs=1e-6)
            assert bench.total.p99_us == pytest.approx(50_000, rel=0.001)
            assert bench.engine.late == 0

    run_virtually(scenario())


def test_a_poisson_rate_is_kept_on_average() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.001)
        async with bench_of(transport) as bench:
            bench.engine.steer(Aim(rate_per_s=100.0, poisson=True))
            await asyncio.sleep(100.0)
            assert bench.total.requests == pytest.approx(10_000, rel=0.04)

    run_virtually(scenario())


def test_a_stall_is_charged_to_every_request_that_was_due_in_it() -> None:
    """Coordinated omission: one stalled second at 100 requests/s spoils 100 latencies, not one."""

    async def scenario() -> None:
        transport = FakeTransport(0.001, workers=1)
        async with bench_of(transport) as bench:
            transport.stalled_until_s = bench.clock() + 1.0
            bench.engine.steer(Aim(rate_per_s=100.0))
            await asyncio.sleep(9.999)
            total = bench.total
            assert total.requests == 1000
            # Uniform from 1 s down to 0 for a tenth of all: the median is untouched, p95 is half a second.
            assert total.p50_us == pytest.approx(1000, rel=0.01)
            assert total.p95_us == pytest.approx(545_000, rel=0.03)
            assert total.p99_us == pytest.approx(909_000, rel=0.03)
            assert total.max_us == pytest.approx(1_001_000, rel=0.001)

    run_virtually(scenario())


def test_what_waits_for_room_is_late_and_its_wait_is_in_its_latency() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.5)
        async with bench_of(transport, max_in_flight=10) as bench:
            bench.engine.steer(Aim(rate_per_s=100.0))
            await asyncio.sleep(0.505)
            assert transport.most_in_flight == bench.engine.in_flight == 10
            # The first 10 went in time; from 0.1 s on the next ones wait until 0.5 s.
            assert bench.engine.late == 1
            await asyncio.sleep(0.495 + 0.05)
            assert transport.most_in_flight == 10
            assert bench.total.requests == 20 - 5
            assert bench.total.max_us == pytest.approx(900_000, rel=0.001)

    run_virtually(scenario())


def test_a_request_that_is_too_late_is_given_up_and_counted_as_an_error() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.001)
        async with bench_of(transport, max_in_flight=5) as bench:
            transport.stalled_until_s = bench.clock() + 2 * MAX_BEHIND_S
            bench.engine.steer(Aim(rate_per_s=10.0))
            await asyncio.sleep(2 * MAX_BEHIND_S + 1.0)
            kinds = dict(bench.latencies.errors_by_kind())
            # Due between 0.5 s and 10 s, when room came at 20 s.
            assert kinds == {NOT_SENT: pytest.approx(95, abs=1)}
            assert bench.total.max_us == pytest.approx(2 * MAX_BEHIND_S * 1e6, rel=0.001)
            await asyncio.sleep(1.0)
            assert dict(bench.latencies.errors_by_kind()) == kinds

    run_virtually(scenario())


def test_errors_have_no_part_in_latency_and_slow_a_closed_loop_down() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.01)
        async with bench_of(transport) as bench:
            transport.error = "UNAVAILABLE: gone"
            bench.engine.steer(Aim(concurrency=2))
            await asyncio.sleep(10.0)
            failed = bench.total.errors
            # Each of the two at 0, 10, 30, 70, 150, 310 and 630 ms, then twice a second.
            assert failed == 2 * (7 + 18)
            assert bench.total.p50_us is None
            assert bench.latencies.errors_by_kind() == (("UNAVAILABLE: gone", failed),)
            transport.error = ""
            await asyncio.sleep(1.0)
            assert bench.total.requests >= 2 * 50
            assert bench.total.max_us == pytest.approx(10_000, rel=0.001)

    run_virtually(scenario())


def test_errors_do_not_slow_an_open_loop_down() -> None:
    async def scenario() -> None:
        transport = FakeTransport()
        async with bench_of(transport) as bench:
            transport.error = "UNAVAILABLE"
            bench.engine.steer(Aim(rate_per_s=50.0))
            await asyncio.sleep(1.999)
            assert bench.total.errors == 100

    run_virtually(scenario())


def test_it_tells_when_what_was_in_flight_has_come_back() -> None:
    async def scenario() -> None:
        transport = FakeTransport(1.0)
        told_at_s: list[float] = []
        async with bench_of(transport) as bench:
            start_s = bench.clock()

            def tell() -> None:
                told_at_s.append(bench.clock() - start_s)

            bench.engine.steer(Aim(rate_per_s=10.0), settled=tell)
            assert told_at_s == [0.0]
            await asyncio.sleep(0.55)
            bench.engine.steer(Aim(3), settled=tell)
            assert not bench.engine.is_settled
            await asyncio.sleep(1.4)
            assert told_at_s == [0.0, pytest.approx(1.5)]
            assert bench.engine.is_settled

    run_virtually(scenario())


def test_closing_waits_for_answers_and_then_cancels() -> None:
    async def scenario() -> None:
        transport = FakeTransport(0.4)
        bench = Bench(transport)
        bench.engine.steer(Aim(rate_per_s=10.0))
        await asyncio.sleep(0.95)
        sent = len(transport.sent_at_s)
        transport.service_s = 100.0
        await asyncio.sleep(0.1)
        start_s = bench.clock()
        await bench.engine.close(drain_s=0.5)
        assert bench.clock() - start_s == pytest.approx(0.5)
        assert len(transport.sent_at_s) == sent + 1
        assert bench.total.requests == sent
        assert transport.cancelled == 1
        assert bench.engine.in_flight == 0
        bench.engine.check()

    run_virtually(scenario())


def test_a_bug_in_a_transport_is_not_swallowed() -> None:
    class FakeBrokenTransport:
        async def infer(self, body: bytes) -> str:
            raise ZeroDivisionError(body)

    async def scenario(aim: Aim) -> None:
        engine = Engine(FakeBrokenTransport(), [Request(b"a", 1)], Latencies(0.0))
        engine.steer(aim)
        await asyncio.sleep(0.1)
        with pytest.raises(ZeroDivisionError):
            engine.check()
        await engine.close(0.1)

    run_virtually(scenario(Aim(concurrency=1)))
    run_virtually(scenario(Aim(rate_per_s=100.0)))
