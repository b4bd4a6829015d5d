"""What every picture of a real run needs: the app driven by keys, Snapshots without this machine's folders, files."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from rich.cells import cell_len
from textual.pilot import Pilot

from tritop.live import LiveSession
from tritop.model import Event, Server, Snapshot
from tritop.operation import LaunchPreview, OperationStatus
from tui.app import TritopApp

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "screenshots"
SIZES = ((160, 45), (120, 36), (80, 24))
WAIT_S = 120.0
TEXT = re.compile(
    r'<text class="(?P<kind>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<length>[^"]*)"'
    r"(?P<rest>[^>]*)>(?P<text>[^<]*)</text>"
)
PIECES = re.compile(r"[!-~]+|[^!-~]")
"""Printable ASCII in one go, everything else a character at a time."""
FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Rich's SVG asks the web for its font; a picture in a repository should not."""


def on_the_grid(svg: str) -> str:
    """Place every character in its cell.

    Rich stretches each run of text to its length; `rsvg-convert` does not heed that, and
    characters that another font has to lend would push the rest of the run aside.
    """

    def place(match: re.Match[str]) -> str:
        text = html.unescape(match["text"])
        if not text.isprintable() and not text.strip():
            return ""
        cell = float(match["length"]) / max(1, cell_len(text))
        placed = []
        for piece in PIECES.finditer(text):
            if piece[0] in "\N{NO-BREAK SPACE} ":
                continue
            x = float(match["x"]) + cell * cell_len(text[: piece.start()])
            where = f'class="{match["kind"]}" x="{x:.1f}" y="{match["y"]}"{match["rest"]}'
            placed.append(f"<text {where}>{html.escape(piece[0])}</text>")
        return "".join(placed)

    return TEXT.sub(place, svg).replace("<style>", "<style>text { font-variant-ligatures: none; }", 1)


def shown(text: str) -> str:
    """A text without this machine's folders."""
    text = re.sub(r"/tmp/tritop-[\w.-]+", "/srv/triton", text)
    return re.sub(r"PATH=\S+", "PATH=…", text.replace(str(ROOT), "~/tritop").replace(str(Path.home()), "~"))


@cache
def tidy_event(event: Event) -> Event:
    """The same object for the same event: that is how the charts know that they have marked it."""
    return replace(event, text=shown(event.text))


def tidy_status(status: OperationStatus) -> OperationStatus:
    """What was found out about a launch names folders as well."""
    found = status.result
    if not isinstance(found, LaunchPreview):
        return status
    return replace(status, result=replace(found, command=shown(found.command)))


def tidy(snapshot: Snapshot) -> Snapshot:
    """Leave this machine's folders out of the picture."""

    def without(server: Server) -> Server:
        launch = server.launch
        if launch is not None:
            launch = replace(launch, command=shown(launch.command), log_tail=tuple(map(shown, launch.log_tail)))
        rows = []
        for row in server.models:
            verdict = row.verdict and replace(row.verdict, text=shown(row.verdict.text))
            rows.append(replace(row, reason=shown(row.reason), verdict=verdict))
        return replace(server, launch=launch, models=tuple(rows))

    return replace(
        snapshot,
        servers=tuple(map(without, snapshot.servers)),
        events=tuple(map(tidy_event, snapshot.events)),
        operations=tuple(map(tidy_status, snapshot.operations)),
    )


class TidySession:
    """A session whose Snapshots may be published."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self.submit = session.submit
        self.follow_log = session.follow_log
        self.stop = session.stop

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Begin, and tidy what comes."""
        self._session.start(lambda snapshot: deliver(tidy(snapshot)))


class Shooting:
    """One run of the app of which pictures are taken."""

    def __init__(self, app: TritopApp, pilot: Pilot[object]) -> None:
        self.app = app
        self.pilot = pilot
        self.converter = shutil.which("rsvg-convert")

    async def until(self, what: str, condition: Callable[[Snapshot], bool]) -> None:
        """Let the app run until its newest Snapshot meets the condition."""
        limit = time.monotonic() + WAIT_S
        while not condition(self.app.desk.latest):
            if time.monotonic() > limit:
                raise RuntimeError(f"waited {WAIT_S:.0f} s in vain for {what}")
            await self.pilot.pause(0.1)

    async def seconds(self, seconds: float) -> None:
        """Let so much time of the session pass, so that charts have something to show."""
        end = self.app.desk.latest.mono + seconds
        await self.until(f"{seconds:g} s", lambda snapshot: snapshot.mono >= end)

    async def shoot(self, name: str, size: tuple[int, int]) -> None:
        """Keep what is on the screen at this size."""
        await self.pilot.resize_terminal(*size)
        await self.pilot.pause(0.3)
        svg = on_the_grid(FONT_FACE.sub("", self.app.export_screenshot(title="tritop")))
        path = FOLDER / f"{name}-{size[0]}x{size[1]}.svg"
        path.write_text(svg, encoding="utf-8")
        if self.converter is not None:
            process = await asyncio.create_subprocess_exec(
                self.converter, "--zoom=0.8", "-o", str(path.with_suffix(".png")), str(path)
            )
            if await process.wait():
                raise RuntimeError(f"rsvg-convert could not draw {path}")
        print(path.relative_to(ROOT), file=sys.stderr)
