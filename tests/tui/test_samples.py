"""The samples themselves: the same call gives the same Snapshot, and every condition differs."""

from __future__ import annotations

import threading
from typing import get_args

from tests.tui.sample_conditions import Condition
from tests.tui.samples import HOSTILE_NAMES, FakeSession, sample_series, sample_snapshot
from tritop.model import Snapshot
from tritop.operation import ReadNow
from tritop.session import Session


def test_samples_repeat_and_move() -> None:
    assert sample_snapshot(3).servers == sample_snapshot(3).servers
    first, second = sample_series(2)
    assert second.at - first.at == second.mono - first.mono == 1.0
    assert first.servers[0].models[0].requests_per_s != second.servers[0].models[0].requests_per_s


def test_every_condition_is_another_server() -> None:
    seen = {sample_snapshot(condition=condition).servers for condition in get_args(Condition)}
    assert len(seen) == len(get_args(Condition))


def test_sizes_and_names() -> None:
    snapshot = sample_snapshot(models=1000, servers=3, gpus=2, names=HOSTILE_NAMES)
    rows = snapshot.servers[0].models
    assert len({row.key for row in rows}) == 1000
    assert tuple(row.name for row in rows[: len(HOSTILE_NAMES)]) == HOSTILE_NAMES
    assert (len(snapshot.servers), len(snapshot.gpus)) == (3, 2)
    assert sample_snapshot(models=0).servers[0].models == ()


def test_batching_pays_and_nothing_runs_without_traffic() -> None:
    on, off = (sample_snapshot(batching=batching).servers[0].models[0] for batching in (True, False))
    assert on.requests_per_s is not None
    assert off.requests_per_s is not None
    assert on.requests_per_s > 5 * off.requests_per_s
    assert all(not row.requests_per_s for row in sample_snapshot(models=10, traffic=False).servers[0].models)


def test_a_fake_session_on_demand() -> None:
    fake = FakeSession(sample_series(3))
    session: Session = fake
    got: list[Snapshot] = []
    session.start(got.append)
    assert fake.deliver_next() == 1
    assert fake.deliver_next(5) == 2
    assert [snapshot.seq for snapshot in got] == [1, 2, 3]
    session.submit(ReadNow())
    session.stop()
    assert (fake.submitted, fake.started, fake.stopped) == ([ReadNow()], 1, 1)


def test_a_fake_session_on_its_thread() -> None:
    got: list[Snapshot] = []
    arrived = threading.Event()

    def deliver(snapshot: Snapshot) -> None:
        got.append(snapshot)
        if len(got) == 3:
            arrived.set()

    session = FakeSession(sample_series(3), interval_s=0.001)
    session.start(deliver)
    assert arrived.wait(30)
    session.stop()
    assert [snapshot.seq for snapshot in got] == [1, 2, 3]
