"""Pictures of the screens from real runs: SVG and PNG into `screenshots/`.

`make screenshots` starts the demo (a real server, real models, real traffic) and then servers on a real
Docker engine, drives the app as a user would, by keys, and keeps what it shows. PNG is drawn from the SVG
by `rsvg-convert` (Debian: librsvg2-bin) with the fonts Fira Code and DejaVu.
"""

from __future__ import annotations

import asyncio
import shutil
import sys

from tests.shoot_servers import shoot_servers
from tests.shooting import FOLDER, SIZES, Shooting, TidySession
from tritop.demo.session import demo_session
from tritop.model import ModelState, Snapshot
from tritop.settings import Settings
from tui.app import TritopApp


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
    asyncio.run(shoot_servers())


if __name__ == "__main__":
    main()
