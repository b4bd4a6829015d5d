"""Who this process is, and whether another author's process still runs."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cache
from pathlib import Path

from tritop.control.entry import Author
from tritop.process_stat import START_TICKS, STATE, stat_fields


@cache
def this_author() -> Author:
    """The author of what this process does."""
    pid = os.getpid()
    return Author(_user(), socket.gethostname(), pid, _started(pid) or 0, _boot_id())


def is_running(author: Author) -> bool | None:
    """Whether the tritop that wrote an entry still runs; `None` where it ran on another host."""
    if author.host != socket.gethostname():
        return None
    if author.boot_id != _boot_id():
        return False
    return _started(author.pid) == author.started


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user that has no name.
        return str(os.getuid())


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Start time of a process [clock ticks since boot], `None` where there is none or only its zombie."""
    fields = stat_fields(pid)
    return int(fields[START_TICKS]) if fields and fields[STATE] != "Z" else None
