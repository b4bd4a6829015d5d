"""Measure what the screen sends to the terminal, and how it copes with a slow one.

Run `python benchmarks/terminal.py`; the last line is a JSON list. Both sides show the same 50
busy models on a pseudo-terminal of 160x70: tritop's own app, and a plain app on Textual's
DataTable. First the terminal reads everything, at 1 Hz, and its bytes are counted; then it
reads 20 KB/s at 5 Hz, and what is measured is by how much the user interface's loop and the
sampling are late. Starting up is left out.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZE = (70, 160)
"""Lines and columns."""
STEADY_S = 20.0
SLOW_S = 20.0
SLOW_BYTES_PER_S = 20_000
SLOW_INTERVAL_S = 0.2
SYNC_QUERY, SYNC_ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""DECRQM for synchronized output, and what a terminal that has it answers: it costs bytes for every frame."""
BUDGET_KB_PER_S = 10.0
BUDGET_SCREEN_S = 0.5
BUDGET_SAMPLING_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of one side gave."""

    kilobytes_per_s: float
    drain_s: float
    """How long the terminal still read after the app was told to end: how old its picture was."""
    found: dict[str, float]
    """What the app measured itself, see `benchmarks.terminal_apps`."""


def run_side(
    side: str, interval_s: float, seconds: float, bytes_per_s: int | None, apps: str = "benchmarks.terminal_apps"
) -> Outcome:
    """Run one side on a pseudo-terminal.

    Args:
        side: tritop or datatable.
        interval_s: seconds between two Snapshots.
        seconds: how long to measure.
        bytes_per_s: how fast the terminal reads; `None` reads everything at once.
        apps: the module that runs a side, with the arguments of `benchmarks.terminal_apps`.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("NO_COLOR", "TEXTUAL_FPS", "TEXTUAL_ANIMATIONS"):
        environment.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        arguments = [sys.executable, "-m", apps, side, str(interval_s), str(seconds), str(file)]
        process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        try:
            arrivals, shown = _read_all(master, bytes_per_s)
        finally:
            os.close(master)
            if process.poll() is None:
                process.terminate()
            process.wait()
        if not file.exists():
            raise SystemExit(
                f"{side} ended with {process.returncode} before it had measured anything:\n{shown[-3000:]}"
            )
        found = json.loads(file.read_text())
    inside = sum(size for at, size in arrivals if found["begin"] <= at <= found["end"])
    return Outcome(inside / seconds / 1000, arrivals[-1][0] - found["end"], found)


def _read_all(master: int, bytes_per_s: int | None) -> tuple[list[tuple[float, int]], str]:
    """Read until the app is gone: (monotonic time, bytes) of every read, and the last of the text."""
    arrivals: list[tuple[float, int]] = []
    text = b""
    piece = 65_536 if bytes_per_s is None else bytes_per_s // 50
    while True:
        select.select([master], [], [], 1.0)
        try:
            data = os.read(master, piece)
        except OSError:  # Linux says EIO once the last descriptor of the other side is closed
            data = b""
        if not data:
            return arrivals, text.decode(errors="replace")
        if SYNC_QUERY in data:
            os.write(master, SYNC_ANSWER)
        arrivals.append((time.monotonic(), len(data)))
        text = (text + data)[-4000:]
        if bytes_per_s is not None:
            time.sleep(len(data) / bytes_per_s)


def _say(name: str, outcome: Outcome) -> None:
    found = outcome.found
    print(
        f"{name:34} {outcome.kilobytes_per_s:7.2f} KB/s   screen late {found['screen_late_s']:6.3f} s   "
        f"sampling late {found['sampling_late_s']:6.3f} s   picture {outcome.drain_s:6.2f} s old   "
        f"queue {found['most_queued_writes']:2.0f}   skipped {found['skipped_frames']:3.0f}   "
        f"CPU {found['cpu_ratio'] * 100:5.1f} %   {found['samples']:.0f} samples",
        flush=True,
    )


def _result(name: str, unit: str, budget: float, value: float, other: float) -> dict[str, object]:
    return {
        "benchmark": name,
        "value": round(value, 3),
        "unit": unit,
        "budget": budget,
        "met": value <= budget,
        "datatable": round(other, 3),
    }


def main() -> None:
    steady: dict[str, Outcome] = {}
    slow: dict[str, Outcome] = {}
    for side in ("tritop", "datatable"):
        steady[side] = run_side(side, 1.0, STEADY_S, None)
        _say(f"{side}, 50 rows at 1 Hz", steady[side])
    for side in ("tritop", "datatable"):
        slow[side] = run_side(side, SLOW_INTERVAL_S, SLOW_S, SLOW_BYTES_PER_S)
        _say(f"{side}, 50 rows at 5 Hz, 20 KB/s", slow[side])
    sent = [steady[side].kilobytes_per_s for side in ("tritop", "datatable")]
    screen = [slow[side].found["screen_late_s"] for side in ("tritop", "datatable")]
    sampling = [slow[side].found["sampling_late_s"] for side in ("tritop", "datatable")]
    results = [
        _result("terminal_bytes", "KB/s", BUDGET_KB_PER_S, *sent),
        _result("terminal_slow_screen", "s late", BUDGET_SCREEN_S, *screen),
        _result("terminal_slow_sampling", "s late", BUDGET_SAMPLING_S, *sampling),
    ]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
