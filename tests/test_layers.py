"""What is loaded when, and what is in the wheel: the things that a static contract cannot see."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_RUN = """
from tritop.cli import main
try:
    code = main({line!r})
except SystemExit as ended:
    code = ended.code
"""
_REPORT = """
import json, sys
print(json.dumps([code, sorted(name for name, module in sys.modules.items() if module is not None)]))
"""


def modules_after(program: str) -> tuple[object, set[str]]:
    """What a program leaves in `code` in a fresh interpreter, and the modules that it has loaded."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TRITOP_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-c", program + _REPORT], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code, names = json.loads(done.stdout.splitlines()[-1])
    return code, set(names)


def loaded(names: set[str], *packages: str) -> list[str]:
    """The modules that belong to these packages."""
    return sorted(name for name in names if name.split(".")[0] in packages)


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def test_version_loads_next_to_nothing() -> None:
    code, names = modules_after(_RUN.format(line=["--version"]))
    assert code == 0
    heavy = ("argparse", "asyncio", "importlib.metadata", "dataclasses", "tritop.cli.run", "tritop.config")
    assert [name for name in heavy if name in names] == []


def test_headless_reading_never_loads_a_screen(closed_port: int) -> None:
    line = ["--once", "--json", f"127.0.0.1:{closed_port}"]
    code, names = modules_after(_RUN.format(line=line))
    assert code == 3
    assert loaded(names, "grpc"), "it must have tried to read, or this shows nothing"
    assert loaded(names, "textual", "rich", "tui", "numpy", "docker", "pynvml", "shtab") == []
    assert "prometheus_client.parser" in names
    assert [name for name in ("prometheus_client.registry", "http.server", "wsgiref") if name in names] == []


def test_the_screen_never_loads_a_source() -> None:
    code, names = modules_after("import tui.app\ncode = 0")
    assert code == 0
    assert "textual.app" in names
    assert loaded(names, "grpc", "docker", "pynvml", "google", "collectors", "tritonclient", "prometheus_client") == []
    assert "tritop.live" not in names


@pytest.mark.parametrize(
    ("line", "code"), [(["--help"], 0), (["models", "--help"], 0), (["info"], 0), (["--once", "a@b"], 2)]
)
def test_what_needs_no_server_loads_no_client(line: list[str], code: int) -> None:
    ended, names = modules_after(_RUN.format(line=line))
    assert ended == code
    assert loaded(names, "grpc", "google", "textual", "rich", "tui", "numpy", "prometheus_client", "h11") == []
    assert "asyncio" not in names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as the build backend makes it, without a front end that would fetch the backend."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tritop", "collectors", "tui"}


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "tritop", "collectors", "tui"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so it is unknown which files belong")
    packaged = set(wheel.namelist())
    assert {path for path in listed.stdout.split() if (ROOT / path).exists()} <= packaged
    assert {"tritop/py.typed", "collectors/py.typed", "tui/py.typed"} <= packaged
    assert any(re.search(r"\.tcss$", name) for name in packaged)
    assert any(name.startswith("tritop/demo/models/") for name in packaged)
    assert not any("__pycache__" in name or "/tests/" in name for name in packaged)
