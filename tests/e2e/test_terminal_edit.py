"""Batching turned on by keys, in a real terminal on a real server under traffic."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.test_terminal import moves, number, row_of
from tests.e2e.tmux_terminal import ENDED, Open, then_say

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.triton,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

FACTOR = 2.5
"""What batching must multiply the demo's throughput by."""


def test_batching_is_turned_on_and_pays(open_terminal: Open) -> None:
    terminal = open_terminal(then_say([sys.executable, "-m", "tritop", "demo"]), 160, 45)
    before = terminal.wait_for(
        "a full window of batches of one",
        lambda text: "×32" in text and "last 10 s" in text and moves(text, lambda row: number(row["REQ/s"]) > 10),
    )
    assert row_of(before, r"matrix +2")["BATCH"] == "1.0"
    slow = number(row_of(before, r"matrix +2")["REQ/s"])

    terminal.press("e")
    terminal.wait_for_text("Nothing differs")
    terminal.press("Space", "Tab", "2", "m", "s", "C-s")
    asked = terminal.wait_for("the question", lambda text: "32 in flight" in text and "2000" in text)
    assert "full reload" in asked
    assert "Apply (y)" in asked
    terminal.press("Enter")
    terminal.wait_for_text("delay 2.0ms")
    after = terminal.wait_for(
        f"{FACTOR} times as many requests in larger batches",
        lambda text: moves(
            text, lambda row: number(row["REQ/s"]) > FACTOR * slow and number(row["BATCH"]) > 4 and row["FAIL/s"] == "0"
        ),
    )
    assert "reloaded" in after
    terminal.wait_for("a spectrum without batches of one alone", lambda text: "100% ██" not in text)

    terminal.press("e")
    terminal.wait_for_text("Nothing differs")
    terminal.press("Space", "C-s")
    terminal.wait_for_text("Apply (y)")
    terminal.press("y")
    terminal.wait_for_text("batching off")
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")


def test_a_version_is_taken_out_and_a_broken_model_tells_its_reason(open_terminal: Open) -> None:
    terminal = open_terminal(then_say([sys.executable, "-m", "tritop", "demo"]), 160, 45)
    terminal.wait_for("traffic on matrix 2", lambda text: moves(text, lambda row: number(row["REQ/s"]) > 10))
    terminal.press("v")
    terminal.wait_for_text("version 1")
    terminal.press("Tab", "Space", "C-s")
    terminal.wait_for("the question", lambda text: "Serve 2 of matrix?" in text and "in place" in text)
    terminal.press("y")
    terminal.wait_for("version 1 gone", lambda text: "UNLOADED" in row_line(text, r"matrix"))
    terminal.wait_for("still served", lambda text: moves(text, lambda row: number(row["REQ/s"]) > 10))

    terminal.press("g")
    terminal.wait_for("its row chosen", lambda text: "▸ broken" in text)
    terminal.press("o")
    terminal.wait_for_text("Bksp dismiss  load broken:")
    terminal.press("BSpace")
    terminal.wait_for("the failure dismissed", lambda text: "load broken:" not in text)
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")


def test_a_trial_is_watched_and_taken_back(
    open_terminal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    terminal = open_terminal(then_say([sys.executable, "-m", "tritop", "demo"]), 160, 45)
    terminal.wait_for("traffic on matrix 2", lambda text: moves(text, lambda row: number(row["REQ/s"]) > 10))
    terminal.press("e")
    terminal.wait_for_text("Nothing differs")
    terminal.press("Space", "C-t")
    terminal.wait_for_text("taken back by itself")
    terminal.press("5", "m", "i", "n", "Enter")
    terminal.wait_for_text("on trial for 5 min")
    terminal.press("y")
    terminal.wait_for_text("trial of matrix: watching")
    terminal.press("t")
    terminal.wait_for("a judgement", lambda text: "before" in text and "held" in text)
    terminal.press("Z")
    terminal.wait_for("the trial over", lambda text: "TRIAL of matrix  taken back" in text)
    terminal.press("1")
    terminal.wait_for_text("batching off")
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")


def row_line(text: str, name: str) -> str:
    """The line of version 1 of a model."""
    return next((line for line in text.splitlines() if line[1:].split()[:2] == [name, "1"]), "")
