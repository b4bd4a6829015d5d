from __future__ import annotations

import os

import pytest

from tritop.load.strain import BOUND_BUSY_RATIO, Strain, StrainGauge, TimedSelector


class FakeClocks:
    """Wall, CPU and idle time that go on as told."""

    def __init__(self) -> None:
        self.wall_s = 50.0
        self.cpu_s = 1.0
        self.idle_s = 7.0

    def run(self, wall_s: float, *, cpu_s: float, idle_s: float) -> None:
        self.wall_s += wall_s
        self.cpu_s += cpu_s
        self.idle_s += idle_s

    def gauge(self) -> StrainGauge:
        return StrainGauge(lambda: self.idle_s, clock=lambda: self.wall_s, cpu_clock=lambda: self.cpu_s)


def assert_ratios(strain: Strain, ratio: float) -> None:
    assert strain.cpu_ratio == pytest.approx(ratio)
    assert strain.busy_ratio == pytest.approx(ratio)


def test_ratios_are_over_the_time_since_restart() -> None:
    clocks = FakeClocks()
    gauge = clocks.gauge()
    clocks.run(10.0, cpu_s=9.0, idle_s=0.0)
    gauge.restart()
    clocks.run(4.0, cpu_s=1.0, idle_s=3.0)
    strain = gauge.since_restart()
    assert_ratios(strain, 0.25)
    assert not strain.is_bound


def test_recent_forgets_after_two_seconds() -> None:
    clocks = FakeClocks()
    gauge = clocks.gauge()
    for _ in range(40):
        clocks.run(0.25, cpu_s=0.25, idle_s=0.0)
        busy = gauge.recent()
    assert_ratios(busy, 1.0)
    assert busy.is_bound
    for _ in range(9):
        clocks.run(0.25, cpu_s=0.025, idle_s=0.225)
        idle = gauge.recent()
    assert_ratios(idle, 0.1)
    assert not idle.is_bound


def test_a_loop_that_wants_to_run_and_gets_no_core_is_bound_without_cpu_time() -> None:
    clocks = FakeClocks()
    gauge = clocks.gauge()
    clocks.run(1.0, cpu_s=0.2, idle_s=1.0 - BOUND_BUSY_RATIO)
    strain = gauge.recent()
    assert strain.cpu_ratio == pytest.approx(0.2)
    assert strain.is_bound


def test_no_time_gives_no_ratio() -> None:
    assert FakeClocks().gauge().recent() == Strain(0.0, 0.0)


def test_the_selector_counts_what_it_waits() -> None:
    selector = TimedSelector()
    read, write = os.pipe()
    try:
        selector.register(read, 1)
        assert selector.select(0.02) == []
        waited_s = selector.idle_s
        assert waited_s >= 0.02
        os.write(write, b"x")
        assert [key.fd for key, _ in selector.select(None)] == [read]
        assert selector.idle_s >= waited_s
    finally:
        selector.close()
        os.close(read)
        os.close(write)
