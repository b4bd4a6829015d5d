"""Waiting for Snapshots: until enough is known, and never without stopping the session."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from tests.tui.samples import FakeSession, sample_series, sample_snapshot
from tritop.cli.waiting import Ended, SamplingWindow, await_snapshot, running
from tritop.model import EMPTY_SNAPSHOT, Server, ServerState, Snapshot, Source, SourceState


def seen(mono: float, **ages: float | SourceState) -> Snapshot:
    """A Snapshot of one server whose sources have these ages or, without one, these states."""
    sources = tuple(
        Source(name, SourceState.OK, age) if isinstance(age, float) else Source(name, age) for name, age in ages.items()
    )
    server = Server("a", "a:8001", ServerState.READY, sources=sources)
    return Snapshot(1, 0.0, mono, 1.0, servers=(server,))


class TestSamplingWindow:
    def test_two_readings_of_every_source_close_it(self) -> None:
        window = SamplingWindow()
        assert not window(seen(10.0, api=0.1, metrics=0.1))
        assert not window(seen(11.0, api=0.1, metrics=1.1))
        assert window(seen(12.0, api=0.1, metrics=0.1))

    def test_the_same_reading_published_again_does_not(self) -> None:
        window = SamplingWindow()
        assert not window(seen(10.0, api=0.1))
        assert not window(seen(10.4, api=0.5))
        assert not window(seen(10.9, api=1.0))
        assert window(seen(11.0, api=0.1))

    def test_waiting_sources_are_waited_for(self) -> None:
        window = SamplingWindow()
        assert not window(seen(10.0, api=0.1, metrics=SourceState.WAITING))
        assert not window(seen(11.0, api=0.1, metrics=SourceState.WAITING))
        assert not window(seen(12.0, api=0.1, metrics=0.1))
        assert window(seen(13.0, api=0.1, metrics=0.1))

    @pytest.mark.parametrize("state", [SourceState.FAULT, SourceState.OFF])
    def test_a_source_that_cannot_be_read_keeps_nobody_waiting(self, state: SourceState) -> None:
        assert SamplingWindow()(seen(10.0, api=state, metrics=state))
        window = SamplingWindow()
        assert not window(seen(10.0, api=0.1, metrics=state))
        assert window(seen(11.0, api=0.1, metrics=state))

    def test_every_server_is_waited_for(self) -> None:
        window = SamplingWindow()

        def both(mono: float, age: float) -> Snapshot:
            one, other = seen(mono, api=0.1), seen(mono, api=age)
            return replace(one, servers=(*one.servers, replace(other.servers[0], name="b")))

        assert not window(both(10.0, 0.1))
        assert not window(both(11.0, 1.1))
        assert window(both(12.0, 0.1))

    def test_nothing_is_known_without_servers_or_sources(self) -> None:
        assert not SamplingWindow()(EMPTY_SNAPSHOT)
        assert not SamplingWindow()(seen(10.0))


def test_the_first_snapshot_that_will_do_is_given_and_the_session_stopped() -> None:
    session = FakeSession(sample_series(5), interval_s=0.001)
    snapshot = await_snapshot(session, lambda snapshot: snapshot.seq == 3, 10.0)
    assert snapshot is not None
    assert snapshot.seq == 3
    assert (session.started, session.stopped) == (1, 1)


def test_after_a_time_out_the_newest_is_given() -> None:
    session = FakeSession([sample_snapshot()], interval_s=0.001)
    snapshot = await_snapshot(session, lambda snapshot: False, 0.2)
    assert snapshot is not None
    assert snapshot.seq == 1
    assert session.stopped == 1
    assert await_snapshot(FakeSession(), lambda snapshot: True, 0.0) is None


def wait_and_receive(session: FakeSession, number: signal.Signals) -> None:
    """Run a session that delivers nothing, and receive a signal meanwhile."""
    with running(session) as arrived:
        signal.raise_signal(number)
        arrived.get(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_and_stops_the_session(number: signal.Signals) -> None:
    session = FakeSession()
    before = signal.getsignal(number)
    with pytest.raises(Ended) as ended:
        wait_and_receive(session, number)
    assert ended.value.signal_number == number
    assert session.stopped == 1
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_break_into_stopping() -> None:
    class FakeSlowStop(FakeSession):
        def stop(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            super().stop()

    session = FakeSlowStop()
    with pytest.raises(Ended):
        wait_and_receive(session, signal.SIGTERM)
    assert session.stopped == 1


def test_ctrl_c_ends_the_wait_and_stops_the_session() -> None:
    session = FakeSession()
    with pytest.raises(KeyboardInterrupt):
        wait_and_receive(session, signal.SIGINT)
    assert session.stopped == 1
