"""An app whose servers do not change is quiet: no message chases another."""

from __future__ import annotations

import asyncio

from textual.message import Message

from tests.tui.samples import FakeSession, sample_snapshot
from tritop.settings import Settings
from tui.app import TritopApp
from tui.widgets.line_table import LineTable


def test_the_cursor_comes_to_rest() -> None:
    """The table puts the cursor on its first row, the screen then on the busiest, the eleventh: two moves, no chase."""
    moves: list[LineTable.CursorMoved] = []

    def count(message: Message) -> None:
        if isinstance(message, LineTable.CursorMoved):
            moves.append(message)

    async def run() -> None:
        session = FakeSession(sample_snapshot(seq, models=12) for seq in range(12, 40))
        app = TritopApp(session, Settings())
        async with app.run_test(size=(120, 36), message_hook=count) as pilot:
            for _ in range(5):
                session.deliver_next()
                await pilot.pause()
            assert app.screen.query_one(LineTable).cursor_key == ("demo", "matrix_0010", "2")
            settled = len(moves)
            session.deliver_next(5)
            await pilot.pause()
            assert len(moves) == settled

    asyncio.run(run())
    assert len({id(move) for move in moves}) <= 3
