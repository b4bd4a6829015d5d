"""Who this process is, and whether another author's process still runs."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cache
from pathlib import Path

from tritop.control.entry import Author

_START_TIME_FIELD = 19
"""Of `/proc/PID/stat` after the name in brackets: field 22 of proc(5)."""


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
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[_START_TIME_FIELD])
