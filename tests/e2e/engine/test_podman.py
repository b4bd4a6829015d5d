"""podman behind Docker's socket, a real one: it would run Triton without the GPUs that were asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.running_triton import LoopThread
from tritop.errors import TritopError
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.supervisor import EndingKind

pytestmark = pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")


@pytest.fixture(scope="module")
def podman() -> Iterator[str]:
    """Address of podman's own service, with storage of its own."""
    folder = Path(tempfile.mkdtemp(prefix="p-"))
    options = [f"--{name}={folder / name}" for name in ("root", "runroot", "tmpdir")]
    address = f"unix://{folder}/s"
    command = ["podman", *options, "--storage-driver=vfs", "system", "service", "--time=0", address]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: (folder / "s").exists() or process.poll() is not None, "podman listens")
        assert process.poll() is None, (folder / "log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def test_it_is_told_apart_from_docker(podman: str, triton_loop: LoopThread) -> None:
    async def ask() -> None:
        engine = Engine(podman)
        try:
            await engine.info()
        finally:
            engine.close()

    with pytest.raises(TritopError) as raised:
        triton_loop.run(ask())
    failure = raised.value
    assert isinstance(failure, EngineFailure)
    assert failure.kind is EndingKind.PERMANENT
    assert failure.sentence.startswith(f"podman answers at {podman}: ")


@pytest.mark.parametrize("verb", ["up", "ps", "down", "restart"])
def test_every_verb_says_so_and_does_nothing(podman: str, tmp_path: Path, verb: str) -> None:
    given = [str(tmp_path), "--detach"] if verb == "up" else []
    done = _tritop(podman, tmp_path, verb, *given)
    assert (done.returncode, done.stdout) == (1, "")
    assert "silently leaves them out" in done.stderr
    assert "watch it: tritop HOST:8001" in done.stderr


def test_the_doctor_tells_of_it(podman: str, tmp_path: Path) -> None:
    done = _tritop(podman, tmp_path, "doctor", "--json")
    assert done.returncode == 1
    (engine,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "engine"]
    assert engine["state"] == "failed"
    assert "podman answers" in engine["sentence"]
    assert "Docker's engine" in engine["mend"]


def _tritop(address: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"DOCKER_HOST": address, "HOME": str(home), "XDG_STATE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "tritop", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        timeout=60,
    )
