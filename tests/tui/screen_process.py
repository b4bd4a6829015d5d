"""The screen in a process of its own, on made-up Snapshots: for tests that need a real terminal.

Run as `python -m tests.tui.screen_process RECORD MODE`; each call of the Session's `stop` adds a line
to the file RECORD.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path

from tests.tui.samples import FakeSession, sample_snapshot
from tritop.settings import Settings
from tui.app import run
from tui.screens.table import TableScreen

STOP_S = 1.0
"""How long a slow Session takes to stop."""


class FakeRecordedSession(FakeSession):
    """Leaves a line for each stop."""

    def __init__(self, record: Path, slow: bool) -> None:
        super().__init__((sample_snapshot(seq) for seq in count(1)), interval_s=0.2)
        self._record = record
        self._slow = slow

    def stop(self) -> None:
        super().stop()
        if self._slow:
            time.sleep(STOP_S)
        with self._record.open("a") as lines:
            lines.write("stopped\n")


def crash(self: TableScreen) -> None:
    """Fail as a bug would."""
    raise ValueError("a bug in a screen")


def main(record: str, mode: str) -> int:
    if mode == "crash":
        TableScreen.do_mark = crash  # type: ignore[method-assign]  # stands for a bug in that action
    return run(FakeRecordedSession(Path(record), slow=mode == "slow"), Settings(title="demo"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
