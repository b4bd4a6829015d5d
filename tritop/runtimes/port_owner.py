"""Who has a TCP port on this host, in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TCP_LISTEN = "0A"


def process_at(port: int, proc: Path = Path("/proc")) -> str:
    """The process that listens on a port, such as `python3 (process 4711)`; "" where it cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not sockets:
        return ""
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        # A process may end, and a descriptor be closed, between the listing and the look at it.
        with contextlib.suppress(OSError):
            if any(_link(entry) in sockets for entry in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
    return ""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            rows = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _TCP_LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]
