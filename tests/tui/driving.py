"""Drives the App of a session that changes models, by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from textual.pilot import Pilot

from tests.tui.changing_session import FakeChangingSession
from tests.tui.test_app import text_on
from tritop.model import ModelConfig, Snapshot
from tritop.settings import Settings
from tui.app import TritopApp
from tui.screens.overview import OverviewScreen

Steps = Callable[[Pilot[object], TritopApp, FakeChangingSession], Awaitable[None]]
PATIENCE = 200


def drive(
    steps: Steps,
    session: FakeChangingSession | None = None,
    size: tuple[int, int] = (120, 36),
    settings: Settings | None = None,
) -> None:
    """Run the App with `matrix 2` selected, and then the steps."""
    made = session or FakeChangingSession()

    async def run() -> None:
        app = TritopApp(made, settings or Settings(title="demo"), beat_s=0)
        async with app.run_test(size=size) as pilot:
            made.deliver_next()
            await pilot.pause()
            app.desk.select(("demo", "matrix", "2"))
            assert isinstance(app.screen, OverviewScreen)
            app.screen.show()
            await pilot.pause()
            await steps(pilot, app, made)

    asyncio.run(run())


async def until(pilot: Pilot[object], condition: Callable[[], bool]) -> None:
    """Let the App go on until a condition holds."""
    for _ in range(PATIENCE):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(text_on(pilot.app) if isinstance(pilot.app, TritopApp) else "not come")


def on(app: TritopApp, text: str) -> Callable[[], bool]:
    """Whether a text stands on the screen."""
    return lambda: text in text_on(app)


def with_config(snapshot: Snapshot, **changes: object) -> Snapshot:
    """The Snapshot with another configuration of `matrix 2`."""
    change: Callable[..., ModelConfig] = replace
    server = snapshot.servers[0]
    models = tuple(
        replace(row, config=change(row.config, **changes)) if row.key == ("matrix", "2") and row.config else row
        for row in server.models
    )
    return replace(snapshot, servers=(replace(server, models=models), *snapshot.servers[1:]))
