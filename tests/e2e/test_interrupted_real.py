"""kill -9 in the middle of a change of a real server: the ledger says that it was begun, and what became of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.control_stage import Stage
from tests.e2e.triton_calls import until
from tritop.control.ledger import Ledger
from tritop.control.recorded import RecordedControl

pytestmark = pytest.mark.triton
TRITOP = (sys.executable, "-m", "tritop")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return {**os.environ, "NO_COLOR": "1"}


def killed_while_loading(stage: Stage, environ: dict[str, str], *words: str) -> Ledger:
    """Run a verb, and kill it once the ledger says that it has begun."""
    ledger = Ledger()
    known = len(ledger.entries())
    log = stage.triton.log_path
    logged_before = log.stat().st_size
    verb = subprocess.Popen([*TRITOP, *words, "--yes", "-u", stage.endpoint.grpc_address], env=environ)
    try:
        deadline = time.monotonic() + 60.0
        while len(ledger.entries()) == known:
            assert verb.poll() is None, "it has ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # What is in the ledger is sent next; the call must be on its way before the kill.
        while f"loading: {words[2]}".encode() not in log.read_bytes()[logged_before:]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        verb.kill()
        verb.wait()
    assert ledger.entries()[-1].succeeded is None
    return ledger


def listed(environ: dict[str, str]) -> str:
    return subprocess.run([*TRITOP, "events"], env=environ, capture_output=True, text=True, check=True).stdout


def test_a_change_that_arrived_is_found_to_be_in_force_and_can_be_undone(stage: Stage, environ: dict[str, str]) -> None:
    stage.triton.run(stage.perform(stage.triton.run(stage.with_parameters("echo", initialize_s="1.5"))))
    before = stage.triton.run(stage.current("echo"))
    ledger = killed_while_loading(stage, environ, "batching", "set", "echo", "--max-queue-delay", "4321us")
    assert stage.triton.run(stage.current("echo")) == before, "the server is still loading it"
    assert re.search(r"operation  echo .* 4321: interrupted, and not known to be in force", listed(environ))

    async def arrived() -> bool:
        return bool((await stage.current("echo")).dynamic_batching.max_queue_delay_microseconds == 4321)

    stage.triton.run(until(arrived))
    assert re.search(r"operation  echo .*interrupted: .* ended meanwhile, and it is in force", listed(environ))
    (entry,) = ledger.entries()
    assert entry.succeeded is True
    undone = subprocess.run(
        [*TRITOP, "batching", "undo", "echo", "--json", "-u", stage.endpoint.grpc_address],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(undone.stdout)["changed"] is True
    assert stage.triton.run(stage.current("echo")) == before


def test_a_change_that_never_arrived_is_found_not_to_be_in_force(stage: Stage, environ: dict[str, str]) -> None:
    """The server refuses nothing: tritop is killed with the entry written and the call not made."""
    program = (
        "import asyncio, os, signal, sys\n"
        "from tritop.change import ConfigEdit\n"
        "from tritop.control.control import Control\n"
        "from tritop.control.ledger import Ledger\n"
        "from tritop.control.recorded import RecordedControl\n"
        "from tritop.control.sending import Sender\n"
        "from tritop.endpoint import Endpoint\n"
        "from tritop.operation import EditConfig\n"
        "Sender.send = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)\n"
        "endpoint = Endpoint('s', '127.0.0.1', int(sys.argv[1]))\n"
        "control = RecordedControl(endpoint, Control(endpoint), Ledger())\n"
        "edit = EditConfig('s', 'echo', ConfigEdit(max_queue_delay_us=999))\n"
        "asyncio.run(control.perform(edit, lambda text: None))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(stage.endpoint.grpc_port)], env=environ, check=False)
    assert killed.returncode == -9
    ledger = Ledger()
    (entry,) = ledger.entries()

    async def settle(at: float) -> bool:
        control = RecordedControl(stage.endpoint, stage.new_control(), ledger, clock=lambda: at)
        try:
            return await control.settle_interrupted()
        finally:
            await control.aclose()

    assert stage.triton.run(settle(entry.at + 1.0)) is True, "the server might still be loading it"
    assert stage.triton.run(settle(entry.at + 1000.0)) is False
    assert re.search(r"operation failed  echo .* it is not in force, echo runs as before", listed(environ))
