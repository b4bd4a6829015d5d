"""`/proc/PID/stat`, which several look into. Pure but for reading it; the guardian, a script, has its own."""

from __future__ import annotations

from pathlib import Path

STATE, PARENT, GROUP = 0, 1, 2
USER_TICKS, SYSTEM_TICKS, START_TICKS = 11, 12, 19
"""Places in `stat_fields`: fields 3, 4, 5, 14, 15 and 22 of proc_pid_stat(5)."""


def stat_fields(pid: int | str, proc: Path = Path("/proc")) -> list[str]:
    """The fields of a process from its state on: the name before that may hold blanks and brackets itself.

    Args:
        pid: the process.
        proc: where the process file system is mounted.

    Returns:
        None at all for a process that is gone or hidden.
    """
    try:
        return (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def in_group(pid: int | str, leader: int | None, proc: Path = Path("/proc")) -> bool:
    """Whether a process is there and in the group that another one leads."""
    fields = stat_fields(pid, proc)
    return len(fields) > GROUP and fields[GROUP] == str(leader)
