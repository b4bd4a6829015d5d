"""What the processes of one group use, as the embedded server leads its stubs': from /proc, proc(5)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MEMBERS_EVERY_S = 5.0
"""Every process of the host is looked at to find the members; what they use is read of them alone."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """One look at a group."""

    started_at: float | None = None
    """When its leader started, wall time [s since the epoch]."""
    cpu_s: float | None = None
    """CPU time of the processes that there are now, since each began."""
    memory_bytes: int | None = None
    """Resident, without pages of files and without what is shared."""


class GroupWatch:
    """Looks at the group of one leader, cheaply and often.

    Args:
        proc: where the process file system is mounted.
        monotonic: monotonic time [s].
    """

    def __init__(self, proc: Path = Path("/proc"), monotonic: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._monotonic = monotonic
        self._leader: int | None = None
        self._members: tuple[str, ...] = ()
        self._found_at = 0.0

    def look(self, leader: int | None) -> GroupUsage:
        """What the group of this leader uses now; nothing is known where there is none.

        Args:
            leader: pid of the process that leads the group.
        """
        if leader is None:
            return GroupUsage()
        now = self._monotonic()
        if leader != self._leader or now - self._found_at >= _MEMBERS_EVERY_S:
            self._leader, self._found_at = leader, now
            self._members = tuple(self._find(leader))
        seen = [one for pid in self._members if (one := self._read(pid)) is not None]
        if not seen:
            return GroupUsage()
        return GroupUsage(self._started_at(leader), sum(cpu_s for cpu_s, _ in seen), sum(memory for _, memory in seen))

    def _find(self, leader: int) -> list[str]:
        found = []
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    if self._fields(entry.name)[2] == str(leader):
                        found.append(entry.name)
        return found

    def _fields(self, pid: str) -> list[str]:
        """Fields of `stat` from the third one on: the name before them may hold blanks and brackets itself."""
        return (self._proc / pid / "stat").read_text(errors="replace").rpartition(")")[2].split()

    def _read(self, pid: str) -> tuple[float, int] | None:
        """CPU time [s] and memory [bytes] of one process, `None` where it has ended."""
        try:
            fields = self._fields(pid)
            if fields[2] != str(self._leader):
                return None
            resident, shared = map(int, (self._proc / pid / "statm").read_text().split()[1:3])
            return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S, (resident - shared) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            return None

    def _started_at(self, leader: int) -> float | None:
        try:
            ticks = int(self._fields(str(leader))[19])
            booted = next(line for line in (self._proc / "stat").read_text().splitlines() if line.startswith("btime "))
            return int(booted.split()[1]) + ticks / _TICKS_PER_S
        except (OSError, IndexError, ValueError, StopIteration):
            return None
