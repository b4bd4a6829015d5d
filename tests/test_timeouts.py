"""A test that hangs becomes a failure with its name, and the others still run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TESTS = """
import asyncio, threading, time

async def busy():
    while True:
        await asyncio.sleep(0)
        time.sleep(0.001)

async def wait_beside_somebody_busy():
    task = asyncio.create_task(busy())
    await asyncio.Event().wait()

async def refuse_to_be_cancelled():
    while True:
        try:
            await busy()
        except asyncio.CancelledError:
            pass

def test_in_a_loop():
    asyncio.run(wait_beside_somebody_busy())

def test_cancelled_in_vain():
    asyncio.run(refuse_to_be_cancelled())

def test_in_a_lock():
    threading.Event().wait()

def test_that_ends():
    pass
"""


@pytest.mark.timeout(60)
def test_a_hanging_test_fails_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "often.py").write_text("import tests.timeouts\ntests.timeouts.AGAIN_S = 0.2\n")
    plugins = ["-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "often", "-p", "tests.timeouts"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *plugins, "--timeout", "0.2", "."]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    for name in ("in_a_loop", "cancelled_in_vain", "in_a_lock"):
        assert f"FAILED test_some.py::test_{name}" in done.stdout
        assert f"test_{name} takes longer than 0.2 s" in done.stdout
    assert "3 failed, 1 passed" in done.stdout
