"""What it costs to watch: CPU of the whole process at 1 Hz, and its memory with ten minutes of history.

tritop runs as a user runs it, in a terminal of 160x45 that reads as fast as it can, all collectors
and the overview, against a server (`benchmarks/fleet.py`) with 5 and 100 models that are all
active and with 1000 of which a tenth is. CPU time is read from the kernel over a window after the
start-up is over. For the memory the interval is 0.25 s, so that 600 points are there after two and a half minutes.
The last line on stdout is a JSON list.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fleet import running_fleet

CASES = ((5, 5, 1.5), (100, 100, 2.5), (1000, 100, 6.0))
"""(models, active ones, budget in % of one core)"""
MEMORY_BUDGET_MB = 90.0
MEMORY_MODELS = 100
POINTS = 600
MEMORY_INTERVAL_S = 0.25
ROWS, COLUMNS = 45, 160

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TRITOP = str(Path(sys.executable).parent / "tritop")


def _read_away(master: int, ended: threading.Event) -> None:
    while not ended.is_set():
        if select.select([master], [], [], 0.2)[0]:
            try:
                os.read(master, 65536)
            except OSError:
                return


@contextmanager
def watching(target: str, interval_s: float) -> Iterator[int]:
    """Run tritop in a terminal of its own; gives its pid."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "TRITOP_", "TEXTUAL"))}
    process = subprocess.Popen(
        [_TRITOP, "--interval", str(interval_s), target],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        start_new_session=True,
    )
    os.close(slave)
    ended = threading.Event()
    reader = threading.Thread(target=_read_away, args=(master, ended))
    reader.start()
    try:
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"tritop ended by itself with {process.returncode}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        ended.set()
        reader.join()
        os.close(master)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its ended children so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_cpu(models: int, active: int, budget: float, warm_s: float, window_s: float) -> dict[str, object]:
    with running_fleet(models, active) as fleet, watching(fleet.target, 1.0) as pid:
        time.sleep(warm_s)
        before, began = cpu_s(pid), time.monotonic()
        time.sleep(window_s)
        percent = 100 * (cpu_s(pid) - before) / (time.monotonic() - began)
    print(f"{models:5d} models, {active} active: {percent:.2f} % of a core", file=sys.stderr)
    return result(f"overhead cpu {models} models", percent, "% of one core", budget)


def measure_memory() -> dict[str, object]:
    with running_fleet(MEMORY_MODELS, MEMORY_MODELS) as fleet, watching(fleet.target, MEMORY_INTERVAL_S) as pid:
        time.sleep(POINTS * MEMORY_INTERVAL_S * 1.1)
        megabytes = resident_mb(pid)
    print(f"{MEMORY_MODELS:5d} models, about {POINTS} points: {megabytes:.0f} MB", file=sys.stderr)
    return result(f"overhead memory {MEMORY_MODELS} models", megabytes, "MB resident", MEMORY_BUDGET_MB)


def result(name: str, value: float, unit: str, budget: float) -> dict[str, object]:
    """One entry in the form of every benchmark."""
    return {"benchmark": name, "value": round(value, 2), "unit": unit, "budget": budget, "met": value <= budget}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0, help="window of one CPU measurement")
    parser.add_argument("--warm", type=float, default=15.0, help="seconds before it, for the start-up")
    parser.add_argument("--cpu-only", action="store_true", help="leave the memory out")
    options = parser.parse_args()
    results = [measure_cpu(*case, warm_s=options.warm, window_s=options.seconds) for case in CASES]
    if not options.cpu_only:
        results.append(measure_memory())
    print(json.dumps(results))


if __name__ == "__main__":
    main()
