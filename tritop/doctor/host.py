"""This host without an engine: ports, shared memory, the embedded Triton, the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritop.doctor.check import Check, CheckState, failed, from_error, ok, warning
from tritop.errors import RuntimeFailure

MIB = 1 << 20
_SHM_LEAST = 16 * MIB
_SHM_WANTED = 64 * MIB
_NARROWEST, _LOWEST = 80, 24


def check_ports(base: int | None, *, is_free: Callable[[int], bool], owner_of: Callable[[int], str]) -> list[Check]:
    """Whether the three ports of a server are free.

    Args:
        base: the first of them, `None` for Triton's usual ones, for which free ones are taken instead.
        is_free: whether nobody has a port.
        owner_of: who has it, in words, "" where that cannot be seen.
    """
    first = 8000 if base is None else base
    taken = [port for port in range(first, first + 3) if not is_free(port)]
    if not taken:
        return [ok("ports", f"{first} to {first + 2} are free on 127.0.0.1.")]
    checks = []
    for port in taken:
        sentence = f"{port} is taken by {owner_of(port) or 'somebody whom this user may not see'}."
        if base is None:
            checks.append(ok("ports", f"{sentence} tritop up takes free ports by itself."))
        else:
            checks.append(failed("ports", sentence, f"sudo ss -ltnp 'sport = :{port}'; or another --port"))
    return checks


def check_shm(folder: Path = Path("/dev/shm")) -> Check:
    """Whether the Python backend of the embedded Triton finds shared memory; containers bring their own."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        sentence = f"there is no shared memory at {folder}: {error.strerror}."
        return failed("shm", sentence, f"sudo mount -t tmpfs tmpfs {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return failed("shm", f"this user may not write to {folder}.", f"sudo chmod 1777 {folder}")
    return judge_shm(usage.free, usage.total, str(folder))


def judge_shm(free_bytes: int, total_bytes: int, folder: str) -> Check:
    """How much shared memory there is, against 1 MiB and more for each instance of a Python model."""
    room = f"{free_bytes // MIB} of {total_bytes // MIB} MiB are free in {folder}"
    grow = f"sudo mount -o remount,size=1g {folder}; in a container start it with --shm-size=1g"
    if free_bytes < _SHM_LEAST:
        return failed("shm", f"{room}: too little for models of the Python backend.", grow)
    if free_bytes < _SHM_WANTED:
        return warning("shm", f"{room}: enough for a few models of the Python backend.", grow)
    return ok("shm", f"{room}.")


def check_embedded() -> Check:
    """Whether the Triton of the demo extra runs here: wheel, glibc, libpython, stub, numpy."""
    from tritop.runtimes.embedded import find_embedded_triton

    try:
        triton = find_embedded_triton()
    except RuntimeFailure as failure:
        return from_error("embedded", failure, CheckState.WARNING)
    return ok("embedded", f"the Triton of nvidia-pytriton {triton.version} can run here, for tritop demo.")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What stdout is, as far as a screen on it is concerned."""

    is_terminal: bool
    term: str
    encoding: str
    columns: int
    lines: int
    true_color: bool


def look_at_terminal(environ: Mapping[str, str]) -> Terminal:
    """The terminal of this process."""
    size = shutil.get_terminal_size()
    return Terminal(
        is_terminal=sys.stdin.isatty() and sys.stdout.isatty(),
        term=environ.get("TERM", ""),
        encoding=sys.stdout.encoding or "",
        columns=size.columns,
        lines=size.lines,
        true_color=environ.get("COLORTERM", "") in ("truecolor", "24bit"),
    )


def check_terminal(terminal: Terminal) -> Check:
    """Whether a screen can be drawn, and what it would miss."""
    if not terminal.is_terminal:
        return ok("terminal", "stdin or stdout is not a terminal: tables and JSON only.")
    if terminal.term in ("", "dumb"):
        sentence = f"TERM is {terminal.term or 'not set'}: no screen can be drawn."
        return failed("terminal", sentence, "export TERM=xterm-256color")
    if terminal.encoding.lower().replace("-", "") != "utf8":
        sentence = f"its encoding is {terminal.encoding}, not UTF-8."
        return warning("terminal", sentence, "tritop --ascii; or export LANG=C.UTF-8")
    size = f"{terminal.columns} × {terminal.lines}"
    if terminal.columns < _NARROWEST or terminal.lines < _LOWEST:
        sentence = f"{size} is smaller than 80 × 24: some columns are left out."
        return warning("terminal", sentence, "make the window larger")
    colors = "16 million colours" if terminal.true_color else "the colours of its palette (COLORTERM is not truecolor)"
    return ok("terminal", f"{terminal.term}, {size}, {terminal.encoding}, {colors}.")
