"""Where a server that already runs on this host writes its log, as far as /proc says so."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritop.discovery import running_servers
from tritop.endpoint import Endpoint, is_loopback
from tritop.errors import RuntimeFailure
from tritop.process_stat import PARENT, stat_fields

_CONTAINER = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
"""Id of a container in a path of cgroups, whatever the engine calls the rest of it."""
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class FoundLog:
    """The log of one `tritonserver` on this host."""

    pid: int
    grpc_port: int
    path: Path | None
    reason: str = ""
    """Why there is no path, in a sentence."""
    container: str = ""
    """Id of the container that the server runs in, "" for none."""


def find_logs(proc: Path = Path("/proc")) -> list[FoundLog]:
    """Every `tritonserver` that this user may see, and where its output goes."""
    return [_log_of(server.pid, server.target.grpc_port, proc) for server in running_servers(proc)]


def log_file_of(endpoint: Endpoint) -> Path:
    """The log file of a server that somebody else runs on this host.

    Raises:
        RuntimeFailure: there is none that can be read from here; the sentence says why.
    """
    if not is_loopback(endpoint.host):
        raise RuntimeFailure(f"{endpoint.name} runs on {endpoint.host}: its log cannot be read from here.")
    found = next((log for log in find_logs() if log.grpc_port == endpoint.grpc_port), None)
    if found is None:
        raise RuntimeFailure(f"no process of this host was found that serves {endpoint.grpc_address}.")
    if found.path is None:
        raise RuntimeFailure(found.reason)
    return found.path


def _log_of(pid: int, grpc_port: int, proc: Path) -> FoundLog:
    container = _container_of(proc / str(pid))
    if container:
        reason = f"process {pid} runs in the container {container[:12]}: its log is with the engine."
        return FoundLog(pid, grpc_port, None, reason, container)
    path = _output_of(pid, proc)
    if path is not None:
        return FoundLog(pid, grpc_port, path)
    return FoundLog(pid, grpc_port, None, f"process {pid} does not write to a file, or not to one that can be seen.")


def _container_of(folder: Path) -> str:
    try:
        found = _CONTAINER.search((folder / "cgroup").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _output_of(pid: int, proc: Path) -> Path | None:
    """The file behind stderr or stdout, or the one that the guardian of an embedded server copies them to."""
    for number in ("2", "1"):
        path = _regular_file(proc / str(pid) / "fd" / number)
        if path is not None:
            return path
    parent = _parent_of(pid, proc)
    if parent and _is_guardian(proc / parent):
        return next(_written_files(proc / parent), None)
    return None


def _regular_file(link: Path) -> Path | None:
    """The file that a descriptor is open on, `None` for a pipe, a terminal and what is removed."""
    try:
        if not stat.S_ISREG(link.stat().st_mode):
            return None
        path = Path(os.readlink(link))
        return path if path.is_file() else None
    except OSError:
        return None


def _parent_of(pid: int, proc: Path) -> str:
    fields = stat_fields(pid, proc)
    return fields[PARENT] if fields else ""


def _is_guardian(folder: Path) -> bool:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"/runtimes/guardian.py") for word in words)


def _written_files(folder: Path) -> Iterator[Path]:
    try:
        numbers = sorted(os.listdir(folder / "fd"))
    except OSError:
        return
    for number in numbers:
        path = _regular_file(folder / "fd" / number)
        if path is not None and _is_written(folder / "fdinfo" / number):
            yield path


def _is_written(info: Path) -> bool:
    """Whether a descriptor is open for writing; its flags are octal (proc(5), /proc/pid/fdinfo)."""
    try:
        flags = next(line for line in info.read_text().splitlines() if line.startswith("flags:"))
    except (OSError, StopIteration):
        return False
    return bool(int(flags.split()[1], 8) & _WRITING)
