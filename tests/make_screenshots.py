"""Pictures of the screens from a real run: SVG and PNG into `screenshots/`.

`make screenshots` starts the demo (a real server, real models, real traffic), drives the app as a
user would, by keys, and keeps what it shows. PNG is drawn from the SVG by `rsvg-convert`
(Debian: librsvg2-bin) with the fonts Fira Code and DejaVu.
"""

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

from tritop.demo.session import demo_session
from tritop.live import LiveSession
from tritop.model import Event, ModelState, Server, Snapshot
from tritop.settings import Settings
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
    return re.sub(r"PATH=\S+", "PATH=…", text.replace(str(ROOT), "~/tritop").replace(str(Path.home()), "~"))


@cache
def tidy_event(event: Event) -> Event:
    """The same object for the same event: that is how the charts know that they have marked it."""
    return replace(event, text=shown(event.text))


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
        snapshot, servers=tuple(map(without, snapshot.servers)), events=tuple(map(tidy_event, snapshot.events))
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


def loading(snapshot: Snapshot) -> bool:
    """Whether the demo is in the middle of loading its models."""
    launch = snapshot.servers[0].launch if snapshot.servers else None
    return launch is not None and bool(launch.step) and (launch.done or 0) >= 2


def has_traffic(snapshot: Snapshot) -> bool:
    """Whether the matrix model's rate, its spectrum and the client's quantiles are there."""
    rows = [row for server in snapshot.servers for row in server.models if row.name == "matrix"]
    measured = any(traffic.p99_us is not None for traffic in snapshot.traffic)
    return measured and any(row.batch_sizes and (row.requests_per_s or 0) > 0 for row in rows)


def batches(snapshot: Snapshot) -> bool:
    """Whether the matrix model executes batches."""
    return any((row.batch_avg or 0) > 4 for server in snapshot.servers for row in server.models if row.name == "matrix")


def all_known(snapshot: Snapshot) -> bool:
    """Whether no model is being loaded any more."""
    return all(row.state is not ModelState.LOADING for server in snapshot.servers for row in server.models)


async def go_to(shooting: Shooting, model: str, version: str) -> None:
    """Move the cursor to a row, by keys."""
    await shooting.pilot.press("g")
    for _ in range(len(shooting.app.desk.latest.servers[0].models)):
        if shooting.app.desk.selection == ("demo", model, version):
            return
        await shooting.pilot.press("j")
    raise RuntimeError(f"there is no row {model} {version}")


async def turn_batching_on(shooting: Shooting) -> None:
    """Edit batching as an operator does, and show what it does to the same traffic."""
    await go_to(shooting, "matrix", "2")
    await shooting.pilot.press("e", "space", "tab", *"2ms")
    await shooting.pilot.pause(2.0)  # for the preview, which comes while nothing is pressed
    await shooting.shoot("batching-editor", SIZES[0])
    await shooting.pilot.press("ctrl+s", "enter")
    await shooting.until("larger batches", batches)
    await shooting.seconds(25)
    for size in SIZES:
        await shooting.shoot("batching-on", size)
    await shooting.pilot.resize_terminal(*SIZES[0])


async def shoot_all() -> None:
    """The demo from its start to traffic, one picture after another."""
    session = TidySession(demo_session(interval_s=1.0, first_interval_s=0.25))
    app = TritopApp(session, Settings(title="demo"))
    async with app.run_test(size=SIZES[0]) as pilot:
        shooting = Shooting(app, pilot)
        await shooting.until("models being loaded", loading)
        await shooting.shoot("starting", SIZES[0])
        await shooting.until("traffic", lambda snapshot: has_traffic(snapshot) and all_known(snapshot))
        await go_to(shooting, "matrix", "2")
        await shooting.seconds(30)
        for size in SIZES:
            await shooting.shoot("overview", size)
        await pilot.resize_terminal(*SIZES[0])
        for key, name in (("enter", "model"), ("2", "server"), ("4", "config"), ("question_mark", "help")):
            await pilot.press(key)
            await shooting.shoot(name, SIZES[0])
        await pilot.press("1")
        await turn_batching_on(shooting)
        await go_to(shooting, "broken", "1")
        await shooting.shoot("load-failed", SIZES[1])


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    if shutil.which("rsvg-convert") is None:
        print("no rsvg-convert (Debian: librsvg2-bin): SVG only", file=sys.stderr)
    asyncio.run(shoot_all())


if __name__ == "__main__":
    main()
