"""tritop out of its wheel, not out of the checkout: the demo needs files that are no modules."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.tritop_process import environ
from tests.pty_process import PtyProcess

ROOT = Path(__file__).parents[2]
PACKAGES = ("tritop", "collectors", "tui")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with what the wheel installs."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    folder = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.mark.triton
def test_the_demo_runs_out_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    here = environ(tmp_path, {"PYTHONPATH": str(installed)})
    where = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)})"
    imported = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=here, check=True, capture_output=True, text=True
    )
    assert imported.stdout.split() == [str(installed / name / "__init__.py") for name in PACKAGES]
    screen = PtyProcess([sys.executable, "-m", "tritop", "demo"], width=120, height=36, environ=here, folder=tmp_path)
    try:
        screen.read_until("● READY".encode())
        screen.write(b"q")
        assert screen.wait() == 0
    finally:
        screen.close()
