"""Tritops of one host change a model one after the other, and one that is killed or stopped blocks none for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tritop.control.turn import Busy, turn

_HOLDER = """
import asyncio, sys
from pathlib import Path
from tritop.control.turn import turn

async def hold():
    async with turn(Path(sys.argv[1]), "box:8001", "m", print):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


def silent(text: str) -> None:
    """Progress that nobody looks at."""


def test_one_after_the_other_for_one_model_and_side_by_side_for_others(tmp_path: Path) -> None:
    inside: list[str] = []
    told: list[str] = []

    async def change(model: str, name: str) -> None:
        async with turn(tmp_path, "box:8001", model, told.append):
            inside.append(f"+{name}")
            await asyncio.sleep(0.02)
            inside.append(f"-{name}")

    async def run() -> None:
        await asyncio.gather(change("m", "a"), change("m", "b"), change("other", "c"))

    asyncio.run(run())
    of_m = [one for one in inside if one[1] != "c"]
    assert of_m in (["+a", "-a", "+b", "-b"], ["+b", "-b", "+a", "-a"])
    assert inside.index("+c") < max(inside.index("+a"), inside.index("+b"))
    assert f"(pid {os.getpid()}), who changes m" in told[0]
    assert list((tmp_path / "turns").iterdir()) == [], "nothing is left behind"


def test_who_holds_it_too_long_is_named_and_a_kill_lets_go(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)

    async def take(patience_s: float) -> None:
        async with turn(tmp_path, "box:8001", "m", silent, patience_s=patience_s):
            pass

    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(Busy, match=rf"pid {holder.pid}\), changes m and is not done yet"):
            asyncio.run(take(0.1))
    finally:
        holder.kill()
        holder.communicate()
    asyncio.run(take(0.0))


def test_where_nothing_can_be_written_it_goes_without(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("")

    async def run() -> str:
        async with turn(folder, "box:8001", "m", silent):
            return "done"

    assert asyncio.run(run()) == "done"
