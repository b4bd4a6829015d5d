"""Apps of tests settle by looking at their own loop, and share what they parse.

Textual waits for an App by watching the CPU time of the process: 20 ms at least, twice a key, and more
the busier the machine is. Looked at directly, an App has settled when nothing on its loop can run and no
repaint is due: that is known at once and does not depend on what else the machine does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from textual._context import active_app
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

PATIENCE_S = 60.0
"""An App that goes round for so long without coming to rest never will."""


def _hurried(app: App[object]) -> bool:
    """Do at once what Textual puts off by a fraction of a second to do it once for several causes."""
    if not app.is_running or not app._screen_stack:
        return False
    repaint: Any = app.screen._update_timer  # Textual's own property is typed so that nothing can be read of it
    if app._resize_event is not None:
        app._check_resize()
    elif repaint._active.is_set():
        app.screen._on_timer_update()
    else:
        return False
    return True


async def settled(min_sleep: float = 0.0, max_sleep: float = 0.0) -> None:
    """Let everything run that waits for neither time nor threads, repaints included.

    Raises:
        AssertionError: Something always runs.
    """
    loop = asyncio.get_running_loop()
    app = active_app.get()
    quiet = 0
    end = loop.time() + PATIENCE_S
    while loop.time() < end:
        await asyncio.sleep(0)
        # The first quiet turn asks the selector for what has come meanwhile, the second one sees it.
        quiet = 0 if loop._ready else quiet + 1  # type: ignore[attr-defined]  # asyncio has no public word for it
        if quiet < 2:
            continue
        if not _hurried(app):
            return
        quiet = 0
    raise AssertionError("the App never comes to rest")


@pytest.fixture(autouse=True, scope="session")
def _settle_by_the_loop() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.pilot.wait_for_idle", settled)
        patch.setattr("textual.app.wait_for_idle", settled)
        yield


@pytest.fixture(autouse=True, scope="session")
def _parse_styles_once() -> Iterator[None]:
    """Parse a style sheet once for all Apps of the process: a sixth of what starting it costs."""
    parse = Stylesheet._parse_rules
    parsed: dict[object, list[RuleSet]] = {}

    def parse_once(self: Stylesheet, *source: object, **more: object) -> list[RuleSet]:
        key = (tuple(self._variables.items()), source, tuple(more.items()))
        if key not in parsed:
            parsed[key] = parse(self, *source, **more)  # type: ignore[arg-type]  # passed on as it came
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        yield
