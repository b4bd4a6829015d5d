"""What the processes of a server use that tritop runs outside of a container. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from tritop.derive.counters import rate
from tritop.derive.round import ServerRound
from tritop.derive.sources import newest
from tritop.model import Processes
from tritop.reading import LaunchReading


@dataclass(frozen=True, slots=True, eq=False)
class ProcessTrack:
    """What was derived, and what the next reading is compared with."""

    reading: LaunchReading | None = None
    processes: Processes = field(default_factory=Processes)


def next_process(before: ProcessTrack, server: ServerRound) -> ProcessTrack:
    """Compare the CPU time with that of the round before; what a process had that ended is gone from it: a reset."""
    reading, old = newest(server, LaunchReading), before.reading
    if reading is None or (old is not None and reading.mono <= old.mono):
        return before if reading is not None else ProcessTrack()
    usage, cores = reading.usage, None
    before_s = old.usage.cpu_s if old is not None and old.launch.pid == reading.launch.pid else None
    if old is not None and usage.cpu_s is not None and before_s is not None:
        cores = rate(usage.cpu_s - before_s, reading.mono - old.mono)
    return ProcessTrack(reading, Processes(usage.started_at, cores, usage.memory_bytes))
