"""CPU of the processes of a server that tritop runs outside of a container, from their CPU time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tritop.derive.counters import rate
from tritop.derive.round import ServerRound
from tritop.derive.sources import newest
from tritop.reading import LaunchReading


@dataclass(frozen=True, slots=True, eq=False)
class ProcessTrack:
    """What was derived, and what the next reading is compared with."""

    reading: LaunchReading | None = None
    cpu_cores: float | None = None


def next_process(before: ProcessTrack, server: ServerRound) -> ProcessTrack:
    """Compare the CPU time with that of the round before; what a process had that ended is gone from it: a reset."""
    reading = newest(server, LaunchReading)
    if reading is None or reading.launch.cpu_s is None:
        return ProcessTrack()
    old = before.reading
    if old is None or old.launch.cpu_s is None or old.launch.pid != reading.launch.pid:
        return ProcessTrack(reading)
    if reading.mono <= old.mono:
        return before
    return ProcessTrack(reading, rate(reading.launch.cpu_s - old.launch.cpu_s, reading.mono - old.mono))
