"""BUSY and the sliding window of the batch-size spectrum; readings made by hand."""

from __future__ import annotations

import pytest

from tests.tritop.derive.readings import SERVER, api, make_round, row, run, source, statistics
from tritop.derive import derive
from tritop.model import InstanceGroup, ModelConfig


def test_busy_is_the_share_of_all_instances() -> None:
    config = ModelConfig(instance_groups=(InstanceGroup("g", "KIND_CPU", 2),))
    rounds = [
        make_round(mono, source("api", api(mono, statistics("m", requests=requests, us=1000), config=config)))
        for mono, requests in ((1.0, 0), (2.0, 500))
    ]
    assert row(run(*rounds).snapshot, "m").busy_ratio == pytest.approx(0.25)


def test_long_executions_are_smoothed_over_the_window() -> None:
    """Four executions of 2 s each, back to back: each interval sees one end or none."""
    config = ModelConfig(instance_groups=(InstanceGroup("g", "KIND_CPU", 1),))
    rounds = [
        make_round(
            float(mono), source("api", api(mono, statistics("m", requests=mono // 2, us=2_000_000), config=config))
        )
        for mono in range(9)
    ]
    derivation, busy = None, []
    for now in rounds:
        derivation = derive(derivation, now)
        busy.append(row(derivation.snapshot, "m").busy_ratio)
    assert all(one is not None and 0.6 <= one <= 1.01 for one in busy[3:])


def test_the_spectrum_slides_and_ends_ten_seconds_after_the_last_execution() -> None:
    derivation, shown = None, []
    for mono in range(30):
        requests = min(mono, 5) * 10
        derivation = derive(
            derivation, make_round(float(mono), source("api", api(mono, statistics("m", requests=requests))))
        )
        found = row(derivation.snapshot, "m")
        shown.append(
            [(one.size, round(one.executions_per_s * (found.batch_window_s or 0))) for one in found.batch_sizes]
        )
    assert shown[5] == [(1, 50)]
    assert shown[12] == [(1, 30)]
    assert shown[15] == []
    assert shown[29] == []


def test_traffic_after_a_long_rest_is_not_spread_over_the_rest() -> None:
    derivation = None
    for mono in range(100):
        derivation = derive(derivation, make_round(float(mono), source("api", api(mono, statistics("m", requests=7)))))
    derivation = derive(derivation, make_round(100.0, source("api", api(100.0, statistics("m", requests=17)))))
    found = row(derivation.snapshot, "m")
    assert found.batch_window_s == pytest.approx(1.0)
    assert {one.size: one.executions_per_s for one in found.batch_sizes} == {1: pytest.approx(10.0)}


def test_points_of_the_window_stay_bounded_at_short_intervals() -> None:
    derivation = None
    for tick in range(400):
        mono = tick * 0.25
        now = make_round(mono, source("api", api(mono, statistics("m", requests=tick)), period_s=0.25))
        derivation = derive(derivation, now)
    assert derivation is not None
    view = derivation.tracks[SERVER].view
    assert view.statistics is not None
    assert len(view.statistics.versions["m", "1"].window) <= 25
    assert row(derivation.snapshot, "m").batch_window_s == pytest.approx(10.0, abs=1.0)
