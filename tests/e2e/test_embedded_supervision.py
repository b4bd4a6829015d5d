"""The embedded Triton under supervision: killed, refused, stopped, stubbed out, and always ended with tritop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.embedded_stage import EmbeddedStage, servers_of
from tests.processes import LIMIT_S, is_running, parent_of, wait_until
from tests.running_triton import LoopThread
from tritop.operation import Wish
from tritop.runtimes import local
from tritop.runtimes.embedded import find_embedded_triton
from tritop.runtimes.supervisor import Desired, Phase, Policy
from tritop.server_spec import HOST

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]


@pytest.fixture
def stage(triton_loop: LoopThread, tmp_path: Path) -> Iterator[EmbeddedStage]:
    stage = EmbeddedStage(triton_loop, tmp_path)
    try:
        yield stage
    finally:
        stage.close()


def test_a_killed_server_comes_back_at_the_same_address_with_its_models(stage: EmbeddedStage) -> None:
    staged = stage.ready(policy=Policy(back_off_s=(3.0,)))
    first, endpoint = staged.pid, staged.server.endpoint
    staged.infer()
    staged.kill()
    staged.until_phase(Phase.BACKOFF)
    launch = staged.server.launch()
    assert (launch.runtime, launch.state, launch.pid, launch.exit_code) == ("local", "BACKOFF", None, 137)
    assert "SIGKILL" in launch.explanation
    assert launch.restart_in_s is not None
    assert 0.0 <= launch.restart_in_s <= 3.0
    assert any("successfully loaded 'tiny'" in line for line in launch.log_tail), "the log of the run that crashed"
    staged.until_phase(Phase.READY)
    launch = staged.server.launch()
    assert (launch.state, launch.restarts, launch.explanation, launch.container_id) == ("READY", 1, "", "")
    assert launch.pid not in (None, first)
    assert staged.server.endpoint == endpoint
    staged.infer()
    assert servers_of(staged.repository) == [launch.pid]


def test_a_server_whose_guardian_is_killed_comes_back_too(stage: EmbeddedStage) -> None:
    staged = stage.ready()
    first = staged.pid
    os.kill(parent_of(first), signal.SIGKILL)
    assert staged.until_phase(Phase.BACKOFF).explanation == "Its guardian process was killed, and the server with it."
    staged.until_phase(Phase.READY)
    staged.infer()
    assert not is_running(first)
    assert servers_of(staged.repository) == [staged.pid]


def test_where_its_port_was_taken_meanwhile_it_comes_back_elsewhere(stage: EmbeddedStage) -> None:
    staged = stage.ready(policy=Policy(back_off_s=(3.0,)))
    before = staged.server.endpoint
    assert before.grpc_port is not None
    staged.kill()
    staged.until_phase(Phase.BACKOFF)
    with socket.create_server((HOST, before.grpc_port)):
        staged.until_phase(Phase.READY)
        after = staged.server.endpoint
        assert after.grpc_port != before.grpc_port
        staged.infer()


def test_a_refused_flag_is_given_up_at_once_and_can_be_asked_for_again(stage: EmbeddedStage) -> None:
    staged = stage.make("--no-such-flag")
    failed = staged.until_phase(Phase.FAILED)
    launch = staged.server.launch()
    assert launch.explanation == "Triton refused to start: unrecognized option '--no-such-flag'"
    assert (launch.exit_code, launch.restarts, launch.pid) == (1, 0, None)
    assert launch.log_tail
    staged.ask(Wish.START)
    staged.until(lambda state: state.phase is Phase.FAILED and state.run != failed.run)
    assert servers_of(staged.repository) == []


def test_a_server_that_dies_at_each_start_is_given_up_with_a_sentence(stage: EmbeddedStage) -> None:
    staged = stage.make("--cache-config=local,size=nonsense")
    staged.until_phase(Phase.FAILED)
    launch = staged.server.launch()
    assert "could not initialise" in launch.explanation
    assert "never got ready and ended the same way 3 times in a row, and was given up" in launch.explanation
    assert launch.restarts == 2
    assert launch.restart_in_s is None
    assert launch.log_tail
    assert servers_of(staged.repository) == []


def test_a_restart_that_cannot_be_done_is_given_up_and_keeps_what_another_one_needs(
    stage: EmbeddedStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage.ready()
    found = find_embedded_triton()
    with monkeypatch.context() as patch:
        patch.setattr(local, "find_embedded_triton", lambda: replace(found, binary=Path("/nowhere/tritonserver")))
        staged.kill()
        state = staged.until_phase(Phase.FAILED)
    assert "Cannot start /nowhere/tritonserver" in state.explanation
    assert staged.repository.is_dir()
    staged.ask(Wish.START)
    staged.until_phase(Phase.READY)
    staged.infer()


def test_it_is_stopped_started_and_restarted_as_the_operator_says(stage: EmbeddedStage) -> None:
    staged = stage.ready()
    first, endpoint = staged.pid, staged.server.endpoint
    staged.ask(Wish.STOP)
    staged.until_phase(Phase.STOPPED)
    launch = staged.server.launch()
    assert (launch.explanation, launch.exit_code, launch.pid) == ("It was stopped.", 0, None)
    assert servers_of(staged.repository) == []
    staged.ask(Wish.START)
    staged.until_phase(Phase.READY)
    second = staged.pid
    staged.infer()
    staged.ask(Wish.RESTART)
    staged.until(lambda state: state.phase is Phase.READY and staged.server.launch().pid not in (None, second))
    staged.infer()
    assert len({first, second, staged.pid}) == 3
    assert staged.server.endpoint == endpoint
    assert staged.server.launch().restarts == 0, "nothing crashed"
    staged.ask(Wish.REMOVE)
    staged.until_phase(Phase.ABSENT)
    assert servers_of(staged.repository) == []
    staged.ask(Wish.START)
    staged.until_phase(Phase.READY)
    staged.infer()


def test_a_stop_from_outside_is_respected(stage: EmbeddedStage) -> None:
    staged = stage.ready()
    staged.kill(signal.SIGTERM)
    state = staged.until_phase(Phase.STOPPED)
    assert state.desired is Desired.STOP
    assert "somebody sent it SIGTERM" in state.explanation


def test_a_paused_server_is_left_alone(stage: EmbeddedStage) -> None:
    staged = stage.ready()
    pid = staged.pid
    staged.kill(signal.SIGSTOP)
    try:
        staged.until_phase(Phase.PAUSED)
    finally:
        staged.kill(signal.SIGCONT)
    staged.until_phase(Phase.READY)
    assert staged.pid == pid


def test_a_dead_stub_is_recognised_and_healed_without_a_restart(stage: EmbeddedStage) -> None:
    staged = stage.ready()
    pid = staged.pid
    (stub,) = staged.stubs()
    os.kill(stub, signal.SIGKILL)
    state = staged.until(lambda state: state.phase is Phase.NOT_READY)
    assert state.trouble.startswith("The Python-backend process of tiny has died")
    staged.until_phase(Phase.READY)
    staged.infer()
    assert staged.pid == pid
    (healed,) = staged.stubs()
    assert healed != stub
    assert staged.server.launch().restarts == 0


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.e2e.embedded_stage import load_tiny
from tritop.demo.repository import write_repository
from tritop.operation import Wish
from tritop.runtimes.embedded_server import EmbeddedServer
from tritop.runtimes.supervisor import Phase, Policy

async def main():
    folder = Path(sys.argv[1])
    write_repository(folder)
    policy = Policy(back_off_s=(600.0 if sys.argv[2] == "BACKOFF" else 0.1,))
    server = EmbeddedServer(folder, name="mine", remove_at_end=(folder,), prepare=load_tiny, policy=policy)
    await server.open()
    await server.until(lambda state: state.phase is Phase.READY)
    print(server.launch().pid, flush=True)
    wish = await asyncio.to_thread(sys.stdin.readline)
    if wish.strip():
        server.ask(Wish(wish.strip()))
    await server.until(lambda state: state.phase is Phase(sys.argv[2]))
    print(server.state.phase, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("wish", "phase"),
    [("", Phase.BACKOFF), ("", Phase.STARTING), ("stop", Phase.STOPPING), ("stop", Phase.STOPPED)],
)
def test_nothing_is_left_of_a_tritop_that_is_killed_meanwhile(tmp_path: Path, wish: str, phase: Phase) -> None:
    repository, temporary = tmp_path / "models", tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-c", PARENT, str(repository), phase.value]
    environ = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdin is not None
            pid = int(parent.stdout.readline())
            if not wish:
                os.kill(pid, signal.SIGKILL)
            parent.stdin.write(f"{wish}\n")
            parent.stdin.flush()
            assert parent.stdout.readline().strip() == phase
            parent.kill()
            parent.wait(LIMIT_S)
            wait_until(lambda: not repository.exists() and not list(temporary.iterdir()), "the folders are gone")
            wait_until(lambda: not is_running(pid) and not servers_of(repository), "no server is left")
        finally:
            parent.kill()
