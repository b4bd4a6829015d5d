"""The two screens that `benchmarks.terminal` compares, each in a process of its own on a pseudo-terminal.

`python -m benchmarks.terminal_apps SIDE INTERVAL_S SECONDS FILE` shows 50 busy models on SIDE,
`tritop` or `datatable`, measures itself for SECONDS once it runs steadily, and writes FILE (JSON).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.pilot import Pilot
from textual.widgets import DataTable

from tests.tui.samples import SAMPLE_AT, FakeSession, sample_snapshot
from tritop.model import ModelVersion, Snapshot
from tritop.settings import Settings
from tui import format as fmt
from tui.widgets.pace import terminal_backlog

ROWS = 50
HISTORY = 600
"""Snapshots delivered at once at the start, so that trends and charts are as full as after ten minutes."""
STEADY_AFTER_S = 4.0
"""Starting up is not what is measured."""
PROBE_S = 0.02
"""How often the user interface is asked whether it is on time."""


@dataclass
class Lateness:
    """The worst delay of something that should happen at given times, from `begin` on."""

    begin: float
    """Monotonic time [s]."""
    worst_s: float = 0.0
    times: int = 0

    def note(self, due: float) -> None:
        """It happens now and was due at `due`, both monotonic."""
        if due >= self.begin:
            self.worst_s = max(self.worst_s, time.monotonic() - due)
            self.times += 1


def busy_snapshots(interval_s: float) -> Iterator[Snapshot]:
    """Endless Snapshots of 50 models under traffic, one row each, all of their numbers moving."""
    for seq in itertools.count(1):
        snapshot = sample_snapshot(seq, models=ROWS * 2, failing=False, at=SAMPLE_AT + seq * interval_s, gpus=1)
        server = snapshot.servers[0]
        busy = [_moving(row, seq, number) for number, row in enumerate(server.models) if row.requests_per_s]
        yield replace(
            snapshot,
            mono=seq * interval_s,
            interval_s=interval_s,
            servers=(replace(server, models=tuple(busy[:ROWS])),),
        )


def _moving(row: ModelVersion, seq: int, number: int) -> ModelVersion:
    """The row with noise of up to ten percent on every number that is measured, as a real server gives it."""
    noise = 1.0 + ((seq * 7919 + number * 104_729) % 97 - 48) / 500.0

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * noise

    return replace(
        row,
        requests_per_s=scaled(row.requests_per_s),
        inferences_per_s=scaled(row.inferences_per_s),
        executions_per_s=scaled(row.executions_per_s),
        batch_avg=scaled(row.batch_avg),
        queue_us=scaled(row.queue_us),
        compute_infer_us=scaled(row.compute_infer_us),
        p99_us=scaled(row.p99_us),
        busy_ratio=scaled(row.busy_ratio),
        pending=(row.pending or 0) + (number + seq) % 3,
    )


class ScheduledSession(FakeSession):
    """Delivers on a fixed schedule from its own thread, as a live session does, and notes how late it is."""

    def __init__(self, interval_s: float, lateness: Lateness) -> None:
        super().__init__(interval_s=interval_s)
        self._made = list(itertools.islice(busy_snapshots(interval_s), 40))
        self._lateness = lateness
        self._period_s = interval_s

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Begin to deliver."""
        self.started += 1
        self._thread = threading.Thread(target=self._sample, args=(deliver,), daemon=True)
        self._thread.start()

    def _sample(self, deliver: Callable[[Snapshot], None]) -> None:
        begin = time.monotonic()
        for number in range(1 - HISTORY, 1):
            deliver(self._snapshot(number, begin + number * self._period_s))
        for number in itertools.count(1):
            due = begin + number * self._period_s
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return
            self._lateness.note(due)
            deliver(self._snapshot(number, due))

    def _snapshot(self, number: int, mono: float) -> Snapshot:
        template = self._made[number % len(self._made)]
        return replace(template, seq=HISTORY + number, at=SAMPLE_AT + number * self._period_s, mono=mono)


class DataTableApp(App[None]):
    """The plain way: Textual's own table, every cell updated, sampled by a timer of the user interface."""

    BINDINGS: ClassVar[list[BindingType]] = []
    CSS = "DataTable { height: 1fr; }"
    COLUMNS = ("MODEL", "VER", "STATE", "REQ/s", "FAIL/s", "BATCH", "QUEUE", "COMPUTE", "P99", "PEND", "BUSY", "TREND")

    def __init__(self, interval_s: float, lateness: Lateness) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._lateness = lateness
        self._snapshots = itertools.cycle(list(itertools.islice(busy_snapshots(interval_s), 40)))
        self._begin = 0.0
        self._ticks = 0

    def compose(self) -> ComposeResult:
        """Nothing but the table."""
        yield DataTable()

    def on_mount(self) -> None:
        """Fill the table and start the timer."""
        table = self.query_one(DataTable)
        for title in self.COLUMNS:
            table.add_column(title, key=title, width=10)
        for number, row in enumerate(next(self._snapshots).servers[0].models):
            table.add_row(*self._cells(row), key=str(number))
        self._begin = time.monotonic()
        self._ticks = 0
        self.set_interval(self._interval_s, self._tick)

    def _tick(self) -> None:
        # Textual's timer leaves out the ticks that it missed: what was due is the oldest tick not yet made.
        self._ticks += 1
        self._lateness.note(self._begin + self._ticks * self._interval_s)
        self._ticks = int((time.monotonic() - self._begin) / self._interval_s + 0.01)
        table = self.query_one(DataTable)
        for number, row in enumerate(next(self._snapshots).servers[0].models):
            for title, cell in zip(self.COLUMNS, self._cells(row), strict=True):
                table.update_cell(str(number), title, cell)

    def _cells(self, row: ModelVersion) -> tuple[str, ...]:
        return (
            row.name,
            row.version,
            f"● {row.state}",
            fmt.rate(row.requests_per_s),
            fmt.rate(row.failures_per_s),
            fmt.batch(row.batch_avg),
            fmt.latency_us(row.queue_us),
            fmt.latency_us(row.compute_infer_us),
            fmt.latency_us(row.p99_us),
            fmt.count(row.pending),
            fmt.percent(row.busy_ratio),
            fmt.spark([float((row.pending or 0) + step) % 9 for step in range(8)], 8),
        )


class Watch:
    """Measures a running app for some seconds, writes what it found, and ends the app."""

    def __init__(self, app: App[object] | App[None], sampling: Lateness, seconds: float, file: Path) -> None:
        self._app = app
        self._sampling = sampling
        self._seconds = seconds
        self._file = file
        self._screen = Lateness(sampling.begin)
        self._most_queued = 0

    async def run(self, pilot: Pilot[object]) -> None:
        """The autopilot of the app."""
        await asyncio.sleep(max(0.0, self._screen.begin - time.monotonic()))
        cpu_s, begin = time.process_time(), time.monotonic()
        due = begin
        while time.monotonic() < begin + self._seconds:
            due += PROBE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._screen.note(due)
            due = max(due, time.monotonic() - PROBE_S)
            self._most_queued = max(self._most_queued, terminal_backlog(self._app))
        wall_s = time.monotonic() - begin
        pace = getattr(self._app, "pace", None)
        found = {
            "begin": begin,
            "end": begin + wall_s,
            "screen_late_s": self._screen.worst_s,
            "sampling_late_s": self._sampling.worst_s,
            "samples": self._sampling.times,
            "most_queued_writes": self._most_queued,
            "cpu_ratio": (time.process_time() - cpu_s) / wall_s,
            "skipped_frames": pace.skipped if pace is not None else 0,
        }
        self._file.write_text(json.dumps(found))
        self._app.exit()


def main(side: str, interval_s: float, seconds: float, file: Path) -> None:
    """Run one side; see the module."""
    sampling = Lateness(time.monotonic() + STEADY_AFTER_S)
    if side == "tritop":
        from tui.app import TritopApp

        session = ScheduledSession(interval_s, sampling)
        app: App[object] | App[None] = TritopApp(session, Settings(interval_s=interval_s, mouse=False))
        try:
            app.run(mouse=False, auto_pilot=Watch(app, sampling, seconds, file).run)
        finally:
            session.stop()
    else:
        app = DataTableApp(interval_s, sampling)
        app.run(mouse=False, auto_pilot=Watch(app, sampling, seconds, file).run)
    sys.exit(app.return_code or 0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
