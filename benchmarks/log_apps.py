"""The screens that `benchmarks.logs` compares, each in a process of its own on a pseudo-terminal.

`python -m benchmarks.log_apps SIDE:RATE INTERVAL_S SECONDS FILE` follows a log to which another
process appends RATE lines a second, on SIDE, `tritop` or `textual` (Textual's own Log widget,
reading the file in its timer), and measures itself as `benchmarks.terminal_apps` does.
`python -m benchmarks.log_apps write PATH RATE` is that other process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Log

from benchmarks.terminal_apps import STEADY_AFTER_S, Lateness, ScheduledSession, Watch
from tritop.logs import LogLine, LogReader
from tritop.runtimes.guardian import LogFile
from tritop.runtimes.log_follow import PathLog
from tritop.settings import Settings

LOG_BYTES = 16 * 1024 * 1024
WRITE_S = 0.02
TEXTUAL_READ_S = 0.2


def write(path: str, rate: int) -> None:
    """Append lines as a busy server does, a few at a time, until nobody is there any more."""
    log, number, begin = LogFile(path, LOG_BYTES), 0, time.monotonic()
    while True:
        due = round((time.monotonic() - begin) * rate)
        lines = [_line(n) for n in range(number, due)]
        number = max(number, due)
        if lines:
            log.write(b"".join(lines))
        time.sleep(WRITE_S)


def _line(number: int) -> bytes:
    at = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.gmtime(at))
    level = b"E" if number % 50 == 0 else b"I"
    text = f"{stamp}.{int(at % 1 * 1e6):06d} 4711 infer_request.cc:{number % 900}] "
    said = f"\"[request id: {number}] model 'matrix' was executed in a batch of {number % 32}, instance matrix_0_0\"\n"
    return level + text.encode() + said.encode()


class LoggingSession(ScheduledSession):
    """Delivers Snapshots on a schedule, and the log of a file."""

    def __init__(self, lateness: Lateness, path: Path) -> None:
        super().__init__(1.0, lateness)
        self._log = PathLog(path)

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """As a live session does."""
        reader = LogReader()
        return self._log.follow(lambda chunk: deliver(reader.read(chunk, time.time())))

    def stop(self) -> None:
        """End both."""
        super().stop()
        self._log.close()


class TextualLogApp(App[None]):
    """The plain way: a timer of the user interface reads the file into Textual's own Log."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: IO[str] | None = None

    def compose(self) -> ComposeResult:
        """Nothing but the log, bounded as ours is."""
        yield Log(max_lines=50_000)

    def on_mount(self) -> None:
        """Start to read."""
        self._file = self._path.open()
        self.set_interval(TEXTUAL_READ_S, self._read)

    def _read(self) -> None:
        if self._file is not None:
            self.query_one(Log).write_lines(self._file.read().splitlines())


def main(side: str, seconds: float, file: Path) -> None:
    """Run one side; see the module."""
    name, _, rate = side.partition(":")
    sampling = Lateness(time.monotonic() + STEADY_AFTER_S)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tritonserver.log"
        path.touch()
        writer = subprocess.Popen([sys.executable, "-m", "benchmarks.log_apps", "write", str(path), rate])
        try:
            if name == "tritop":
                _run_ours(path, sampling, seconds, file)
            else:
                app = TextualLogApp(path)
                app.run(mouse=False, auto_pilot=Watch(app, sampling, seconds, file).run)
        finally:
            writer.kill()
            writer.wait()


def _run_ours(path: Path, sampling: Lateness, seconds: float, file: Path) -> None:
    from tui.app import TritopApp
    from tui.keys import Place

    session = LoggingSession(sampling, path)
    app = TritopApp(session, Settings(interval_s=1.0, mouse=False))

    class LogWatch(Watch):
        """Opens the log before it measures."""

        async def run(self, pilot: Pilot[object]) -> None:
            app.open_view(Place.LOGS)
            await super().run(pilot)

    try:
        app.run(mouse=False, auto_pilot=LogWatch(app, sampling, seconds, file).run)
    finally:
        session.stop()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1], float(sys.argv[3]), Path(sys.argv[4]))
