"""How many processes of ours the kernel has killed for want of memory, as our control group counts them."""

from __future__ import annotations

import contextlib
from pathlib import Path

_FILES = {"memory": ("memory", "memory.oom_control"), "": ("", "memory.events")}
"""By controller: folder of the hierarchy, and a file with a line `oom_kill`. Version 1 (since Linux 4.13), then 2."""


def memory_kills(membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The count since the control group was made, ours and that of our children.

    Args:
        membership: which groups this process is in.
        mounted: where their file systems are.

    Returns:
        `None` where it is not counted, such as in the root group.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                if controller in _FILES:
                    folder, name = _FILES[controller]
                    # In a container the hierarchy may be mounted at the group itself.
                    for group in (mounted / folder / path.lstrip("/"), mounted / folder):
                        if (count := _count(group / name)) is not None:
                            return count
    return None


def _count(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None
