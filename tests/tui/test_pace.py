"""Skipping frames while the terminal does not keep up."""

from __future__ import annotations

import asyncio
import io
import threading

from textual.app import App
from textual.drivers._writer_thread import WriterThread

from tui.widgets.pace import Pace, terminal_backlog


class FakeDriver:
    """What `terminal_backlog` looks at: a driver with the writer thread of Textual's Linux driver."""

    def __init__(self, writer: WriterThread) -> None:
        self._writer_thread = writer


class BlockedTerminal(io.StringIO):
    """A terminal that takes nothing until it is `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.released.wait()
        return super().write(text)


def test_the_backlog_counts_what_the_terminal_has_not_taken() -> None:
    """With Textual's own writer thread, so that a Textual without this queue fails here."""
    terminal = BlockedTerminal()
    writer = WriterThread(terminal)
    app: App[None] = App()
    app._driver = FakeDriver(writer)  # type: ignore[assignment]  # only the writer thread of a driver is asked for
    writer.start()
    try:
        writer.write("being written")
        terminal.entered.wait()
        assert terminal_backlog(app) == 0
        writer.write("waiting")
        writer.write("waiting as well")
        assert terminal_backlog(app) == 2
    finally:
        terminal.released.set()
        writer.stop()
    assert terminal_backlog(app) == 0
    assert terminal.getvalue() == "being writtenwaitingwaiting as well"


def test_a_driver_without_a_queue_has_no_backlog() -> None:
    async def run() -> None:
        app: App[None] = App()
        assert terminal_backlog(app) == 0
        async with app.run_test():
            assert terminal_backlog(app) == 0

    asyncio.run(run())


def test_frames_are_skipped_while_more_than_one_write_waits() -> None:
    waiting = iter([0, 1, 2, 30, 1, 0])
    pace = Pace(lambda: next(waiting))
    assert [pace.may_paint() for _ in range(6)] == [True, True, False, False, True, True]
    assert (pace.painted, pace.skipped) == (4, 2)
