"""tritop in a real terminal: the demo from start to end by keys, suspended and resumed, made smaller."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.tmux_terminal import ENDED, Open, then_say

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}


def row_of(text: str, start: str) -> dict[str, str]:
    """The cells of the table row whose model and version are `start`, by the titles above them.

    Numbers stand under the right edge of their title.
    """
    lines = text.splitlines()
    head = next(line for line in lines if "MODEL" in line and "REQ/s" in line)
    row = next(line for line in lines if re.match(rf"[ ▸] *{start}\b", line))
    cells = {}
    for title in ("REQ/s", "FAIL/s", "BATCH", "QUEUE", "COMPUTE", "PEND", "BUSY"):
        place = head.find(title)
        if place >= 0:
            cells[title] = row[: place + len(title)].split()[-1]
    return cells


def number(cell: str) -> float:
    """The number of a cell: a rate, a count, a percentage, or a latency in microseconds."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s|k|%)?", cell)
    if found is None:
        return -1.0
    value = float(found[1])
    return value * {**UNITS_US, "k": 1e3, "%": 0.01}.get(found[2] or "", 1.0)


def moves(text: str, test: Callable[[dict[str, str]], bool]) -> bool:
    """Whether the row of the demo's matrix model fulfils a test; a picture half painted does not."""
    try:
        return test(row_of(text, r"matrix +2"))
    except (StopIteration, KeyError, IndexError):
        return False


@pytest.mark.triton
def test_the_demo_is_driven_by_keys(open_terminal: Open) -> None:
    terminal = open_terminal(then_say([sys.executable, "-m", "tritop", "demo"]), 160, 45)
    terminal.wait_for_text("tritop")
    terminal.wait_for("traffic on matrix 2", lambda text: moves(text, lambda row: number(row["REQ/s"]) > 10))
    busy = terminal.wait_for(
        "a queue in front of matrix 2",
        lambda text: moves(text, lambda row: number(row["QUEUE"]) > 20_000 and number(row["PEND"]) >= 20),
    )
    assert "×32" in busy
    assert "load failed" in busy
    assert "WHERE THE TIME GOES" in busy

    for concurrency in (16, 8, 4, 2, 1):
        terminal.press("[")
        terminal.wait_for_text(f"×{concurrency} ")
    calm = terminal.wait_for(
        "a short queue", lambda text: moves(text, lambda row: 0 <= number(row["QUEUE"]) < 5_000)
    )  # fmt: skip
    assert number(row_of(calm, r"matrix +2")["REQ/s"]) > 1

    terminal.press("b")
    terminal.wait_for("no traffic", lambda text: moves(text, lambda row: number(row["REQ/s"]) == 0))
    terminal.press("b")
    terminal.wait_for("traffic again", lambda text: moves(text, lambda row: number(row["REQ/s"]) > 1))

    terminal.press("d")
    terminal.wait_for_text("OUR TRAFFIC")
    terminal.press("y")
    terminal.wait_for_text("max_batch_size")
    terminal.press("2")
    terminal.wait_for_text("SOURCES")
    terminal.press("Escape")
    terminal.wait_for_text("REQ/s")
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")


def test_suspended_resumed_and_resized(open_terminal: Open, tmp_path: Path) -> None:
    # A size in the environment does not follow the terminal: what the terminal says counts.
    size = "COLUMNS=70 LINES=20"
    terminal = open_terminal(f"env {size} PS1='at your service: ' bash --norc --noprofile", 120, 36)
    terminal.wait_for_text("at your service:")
    command = [sys.executable, "-m", "tests.tui.screen_process", str(tmp_path / "record"), ""]
    terminal.type(f"cd {shlex.quote(str(Path(__file__).parents[2]))}; {shlex.join(command)}")
    terminal.wait_for("the whole width", lambda text: "WHERE THE TIME GOES" in text and "PEND" in text)
    terminal.press("C-z")
    terminal.wait_for_text("Stopped")
    terminal.type("fg")
    terminal.wait_for_text("WHERE THE TIME GOES")
    terminal.resize(20, 5)
    terminal.wait_for("five lines", lambda text: "READY" in text and "WHERE" not in text and "matrix" in text)
    terminal.resize(80, 24)
    terminal.wait_for_text("BATCH SIZES")
    terminal.press("q")
    terminal.wait_for("the prompt", lambda text: text.rstrip().endswith("at your service:"))
    terminal.type(f"echo {ENDED} $?")
    terminal.wait_for_text(f"{ENDED} 0")
    assert (tmp_path / "record").read_text() == "stopped\n"
