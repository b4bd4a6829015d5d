"""What the processes of one group use, as the embedded server leads its stubs': from /proc, proc(5)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from tritop.process_stat import GROUP, START_TICKS, SYSTEM_TICKS, USER_TICKS, in_group, stat_fields
from tritop.reading import ProcessUsage

_MEMBERS_EVERY_S = 5.0
"""Every process of the host is looked at to find the members; what they use is read of them alone."""
_BOOTED = re.compile(r"^btime (\d+)$", re.MULTILINE)
"""When the host was started [s since the epoch], in /proc/stat."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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
        self._started_at: float | None = None

    def look(self, leader: int | None) -> ProcessUsage:
        """What the group of this leader uses now; nothing is known where there is none.

        Args:
            leader: pid of the process that leads the group.
        """
        if leader is None:
            return ProcessUsage()
        now = self._monotonic()
        if leader != self._leader:
            self._leader, self._started_at, self._members = leader, self._start_of(leader), ()
        if not self._members or now - self._found_at >= _MEMBERS_EVERY_S:
            self._members, self._found_at = self._find(leader), now
        seen = [one for pid in self._members if (one := self._read(pid)) is not None]
        if not seen:
            return ProcessUsage()
        cpu_s, memory_bytes = (sum(column) for column in zip(*seen, strict=True))
        return ProcessUsage(self._started_at, cpu_s, int(memory_bytes))

    def _find(self, leader: int) -> tuple[str, ...]:
        names = (entry.name for entry in self._proc.iterdir())
        return tuple(name for name in names if name.isdigit() and in_group(name, leader, self._proc))

    def _read(self, pid: str) -> tuple[float, int] | None:
        """CPU time [s] and memory [bytes] of one process, `None` where it has ended."""
        fields = stat_fields(pid, self._proc)
        if not fields or fields[GROUP] != str(self._leader):
            return None
        try:
            resident, shared = map(int, (self._proc / pid / "statm").read_text().split()[1:3])
        except (OSError, ValueError):
            return None
        return (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / _TICKS_PER_S, (resident - shared) * _PAGE_BYTES

    def _start_of(self, leader: int) -> float | None:
        fields = stat_fields(leader, self._proc)
        try:
            booted = _BOOTED.search((self._proc / "stat").read_text())
        except OSError:
            return None
        return int(booted[1]) + int(fields[START_TICKS]) / _TICKS_PER_S if booted is not None and fields else None
