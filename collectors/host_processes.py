"""What /proc says of processes: program, user, container, ancestors, and the ports of a Triton.

Everything here is readable for everybody but the sockets, which only the process's own user and
root see. A process may end between any two reads, so every read may find nothing.
"""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from tritop.process_stat import PARENT, START_TICKS, stat_fields

PORTS_PERIOD_S = 5.0
"""A Triton opens its ports only after it has loaded its models: until then it is looked at this often."""
MAX_ANCESTORS = 64
_PROC = Path("/proc")
_CONTAINER = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
"""The id in a line of /proc/PID/cgroup: Docker (cgroupfs and systemd), rootless, podman and CRI all have it."""
_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp, see proc_pid_net(5)."""
_SERVER = "tritonserver"
_COMM_CHARACTERS = 15
"""The kernel cuts the name of a process to this."""


@dataclass(slots=True)
class _Known:
    """A process while it lives: what is read once, and what is looked at again."""

    parent: int
    name: str
    user: str
    container: str | None
    ancestors: tuple[int, ...]
    server_pid: int | None
    """The tritonserver among it and its ancestors."""
    ports: tuple[int, ...] = ()
    ports_due_s: float = 0.0


class HostProcesses:
    """Looks processes up, once for each; a pid that is used again is another process."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], _Known] = {}
        """By (pid, start time), which no two processes since boot have in common."""
        self._used: set[tuple[int, int]] = set()

    def look_up(self, pid: int, now_s: float) -> dict[str, object] | None:
        """The fields of `tritop.reading.HostProcess`, `None` where there is no such process.

        Args:
            pid: in the pid namespace of this process.
            now_s: monotonic time.
        """
        stat = _stat(pid)
        if stat is None:
            return None
        parent, started = stat
        key = (pid, started)
        known = self._known.get(key)
        if known is None or known.parent != parent:
            known = self._known[key] = _read(pid, parent)
        self._used.add(key)
        if known.server_pid is not None and not known.ports and now_s >= known.ports_due_s:
            known.ports = listening_ports(known.server_pid)
            known.ports_due_s = now_s + PORTS_PERIOD_S
        return {
            "pid": pid,
            "name": known.name,
            "user": known.user,
            "container": known.container,
            "ancestors": known.ancestors,
            "ports": known.ports,
        }

    def forget_unused(self) -> None:
        """Drop every process that was not looked up since the last call."""
        self._known = {key: known for key, known in self._known.items() if key in self._used}
        self._used = set()


def _stat(pid: int) -> tuple[int, int] | None:
    """(pid of the parent, start time in clock ticks) of a process; see proc_pid_stat(5)."""
    fields = stat_fields(pid, _PROC)
    return (int(fields[PARENT]), int(fields[START_TICKS])) if fields else None


def _text(pid: int, name: str) -> str | None:
    try:
        return (_PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone, or hidden by hidepid
        return None


def _read(pid: int, parent: int) -> _Known:
    ancestors = _ancestors(parent)
    chain = (pid, *ancestors)
    server_pid = next((one for one in chain if _name(one) == _SERVER), None)
    found = _CONTAINER.search(_text(pid, "cgroup") or "")
    return _Known(parent, _name(pid), _user(pid), found[1] if found else None, ancestors, server_pid)


def _ancestors(parent: int) -> tuple[int, ...]:
    chain: list[int] = []
    while parent > 1 and parent not in chain and len(chain) < MAX_ANCESTORS:
        chain.append(parent)
        stat = _stat(parent)
        parent = stat[0] if stat is not None else 0
    return tuple(chain)


def _name(pid: int) -> str:
    """Name of the process; where the kernel may have cut it, the program that it was started as."""
    name = (_text(pid, "comm") or "").rstrip("\n")
    if len(name) < _COMM_CHARACTERS:
        return name
    program = (_text(pid, "cmdline") or "").partition("\0")[0]
    whole = os.path.basename(program)
    return whole if whole.startswith(name) else name


def _user(pid: int) -> str:
    try:
        owner = (_PROC / str(pid)).stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:  # a user of a container, or of a directory that is not asked
        return str(owner)


def listening_ports(pid: int) -> tuple[int, ...]:
    """TCP ports on which a process listens in the network namespace of this process.

    Empty also where its sockets may not be seen: another user's process, or another namespace's.
    """
    folder = _PROC / str(pid)
    try:
        if os.readlink(folder / "ns/net") != os.readlink("/proc/self/ns/net"):
            return ()
        names = os.listdir(folder / "fd")
    except OSError:
        return ()
    sockets = {link[8:-1] for name in names if (link := _link(folder / "fd" / name)).startswith("socket:[")}
    listening = {*_listening(folder / "net/tcp"), *_listening(folder / "net/tcp6")}
    return tuple(sorted({port for port, inode in listening if inode in sockets}))


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _listening(table: Path) -> list[tuple[int, str]]:
    """(port, inode) of each socket of a table of /proc/net that listens."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:  # no IPv6
        return []
    rows = (line.split() for line in lines)
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if len(row) > 9 and row[3] == _LISTEN]
