"""CPU of the processes of an embedded server."""

from __future__ import annotations

from tritop.derive.process import ProcessTrack, next_process
from tritop.derive.round import ServerRound, SourceRound
from tritop.model import Launch
from tritop.reading import LaunchReading, ProcessUsage


def seen(mono: float, cpu_s: float | None, pid: int = 7) -> ServerRound:
    reading = LaunchReading(1000.0 + mono, mono, Launch("local", "READY", pid=pid), ProcessUsage(cpu_s=cpu_s))
    return ServerRound("demo", "127.0.0.1:1", sources=(SourceRound("runtime", 1.0, reading=reading),))


def cores(*rounds: ServerRound) -> list[float | None]:
    track, found = ProcessTrack(), []
    for one in rounds:
        track = next_process(track, one)
        found.append(track.processes.cpu_cores)
    return found


def test_cpu_is_the_time_used_since_the_round_before() -> None:
    assert cores(seen(0.0, 3.0), seen(2.0, 4.0), seen(4.0, 7.0), seen(4.0, 7.0)) == [None, 0.5, 1.5, 1.5]


def test_another_process_and_one_that_ended_are_not_compared_with_what_was_before() -> None:
    assert cores(seen(0.0, 3.0), seen(1.0, 9.0, pid=8), seen(2.0, 9.5, pid=8)) == [None, None, 0.5]
    assert cores(seen(0.0, 3.0), seen(1.0, 2.0), seen(2.0, 2.5)) == [None, None, 0.5]


def test_nothing_is_known_of_a_server_that_does_not_run_here() -> None:
    assert cores(seen(0.0, 3.0), seen(1.0, None), seen(2.0, 4.0)) == [None, None, None]
