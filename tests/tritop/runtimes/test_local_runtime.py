"""The embedded server as its supervisor sees it, without a Triton: how ends are read, and what is looked at."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tritop.errors import RuntimeFailure
from tritop.operation import Wish
from tritop.runtimes.embedded_server import EmbeddedServer
from tritop.runtimes.local import LocalEnd, LocalServer
from tritop.runtimes.local_runtime import RUN, LocalRuntime, ending_of, process_state
from tritop.runtimes.memory_kills import memory_kills
from tritop.runtimes.stubs import processes_in_group
from tritop.runtimes.supervisor import Action, Do, EndingKind, Phase, Status, Supervision

HELP = ("/triton/bin/tritonserver: unrecognized option '--nonsense'", "Usage: tritonserver [options]")
IN_USE = ("error: failed to start HTTP service: Unavailable - Socket '127.0.0.1:9100' already in use ",)
LIBRARY = ("tritonserver: error while loading shared libraries: libx.so: cannot open shared object file",)


@pytest.mark.parametrize(
    ("end", "kind", "exit_code", "words"),
    [
        (LocalEnd(-signal.SIGKILL), EndingKind.CRASH, 137, "killed (SIGKILL)"),
        (LocalEnd(-signal.SIGSEGV), EndingKind.CRASH, 139, "segmentation fault"),
        (LocalEnd(None), EndingKind.CRASH, None, "Its guardian process was killed"),
        (LocalEnd(0), EndingKind.ASKED, 0, "somebody sent it SIGTERM or SIGINT"),
        (LocalEnd(0, asked=True), EndingKind.ASKED, 0, "It was stopped."),
        (LocalEnd(None, asked=True), EndingKind.ASKED, None, "It was stopped."),
        (LocalEnd(-signal.SIGKILL, asked=True), EndingKind.ASKED, 137, "did not end in time"),
        (LocalEnd(1, ran_s=0.1, lines=HELP), EndingKind.PERMANENT, 1, "unrecognized option '--nonsense'"),
        (LocalEnd(127, ran_s=0.1, lines=LIBRARY), EndingKind.PERMANENT, 127, "libx.so"),
        (LocalEnd(1, ran_s=3.0, lines=IN_USE), EndingKind.WORLD, 1, "127.0.0.1:9100 is already in use."),
        (
            LocalEnd(0, said="It could not initialise: no cache."),
            EndingKind.CRASH,
            0,
            "could not initialise: no cache.",
        ),
    ],
)
def test_an_end_is_read_as_that_of_a_container_is(
    end: LocalEnd, kind: EndingKind, exit_code: int | None, words: str
) -> None:
    ending = ending_of(end)
    assert (ending.kind, ending.exit_code) == (kind, exit_code)
    assert words in ending.sentence
    assert "image" not in ending.sentence
    assert "network" not in ending.sentence


def test_a_kill_by_the_kernel_is_told_from_others() -> None:
    ending = ending_of(LocalEnd(-signal.SIGKILL), out_of_memory=True)
    assert (ending.kind, ending.sentence) == (EndingKind.OOM, "The kernel killed it for want of memory.")
    assert "--memory" not in ending.advice
    assert ending_of(LocalEnd(-signal.SIGSEGV), out_of_memory=True).kind is EndingKind.CRASH


def test_two_ends_of_one_cause_have_one_signature() -> None:
    first, second = (
        ending_of(LocalEnd(1, ran_s=9.0, lines=(f"error: creating server: Internal - gone at 0x{number:x}",)))
        for number in (4096, 8192)
    )
    assert first.signature == second.signature != ending_of(LocalEnd(1, ran_s=9.0)).signature


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_kernels_kills_are_read_in_both_versions_of_control_groups(tmp_path: Path) -> None:
    membership, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    assert memory_kills(membership, mounted) is None
    write(membership, "9:cpu,memory:/a/b\n0::/\n")
    assert memory_kills(membership, mounted) is None
    write(mounted / "memory" / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert memory_kills(membership, mounted) == 3, "the hierarchy of a container is mounted at its own group"
    write(mounted / "memory" / "a" / "b" / "memory.oom_control", "oom_kill_disable 0\noom_kill 4\n")
    assert memory_kills(membership, mounted) == 4
    write(membership, "0::/user.slice\n")
    write(mounted / "user.slice" / "memory.events", "low 0\noom 7\noom_kill 5\noom_group_kill 0\n")
    assert memory_kills(membership, mounted) == 5


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group with a child in it."""
    leader = subprocess.Popen(["sh", "-c", "sleep 601 & exec sleep 600"], process_group=0)
    try:
        yield leader
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def test_the_group_of_a_server_is_its_own_and_a_stopped_one_is_seen(group: subprocess.Popen[bytes]) -> None:
    both = [["sleep", "600"], ["sleep", "601"]]
    wait_until(lambda: sorted(processes_in_group(group.pid)) == both, "both run")
    wait_until(lambda: process_state(group.pid) == "S", "it sleeps")
    group.send_signal(signal.SIGSTOP)
    wait_until(lambda: process_state(group.pid) == "T", "it is stopped")
    assert processes_in_group(2**22 + 1) == []
    assert process_state(2**22 + 1) == ""


def test_a_server_that_was_never_started_is_there_to_be_started_until_it_is_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        runtime = LocalRuntime(LocalServer(tmp_path / "nowhere"))
        container = (await runtime.observe(Supervision())).container
        assert container is not None
        assert (container.id, container.status, container.ours) == (RUN, Status.CREATED, True)
        assert (await runtime.perform(Action(Do.REMOVE, RUN))).failure is None
        assert (await runtime.observe(Supervision())).container is None
        assert (await runtime.perform(Action(Do.CREATE))).container_id == RUN
        assert (await runtime.observe(Supervision())).container == container
        refused = (await runtime.perform(Action(Do.START, RUN))).failure
        assert refused is not None
        assert refused.kind is EndingKind.PERMANENT
        await runtime.close()

    asyncio.run(scenario())


def test_a_server_that_cannot_be_started_can_be_asked_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = EmbeddedServer(tmp_path / "nowhere", name="mine")
        with pytest.raises(RuntimeFailure, match="not supervised"):
            server.ask(Wish.START)
        try:
            with pytest.raises(RuntimeFailure) as caught:
                await server.open()
            assert caught.value.sentence[0].isupper()
            assert server.launch().state == Phase.FAILED
            assert server.launch().explanation == str(caught.value)
            failed_at = server.state.since
            server.ask(Wish.START)
            async with asyncio.timeout(10.0):
                state = await server.until(lambda state: state.phase is Phase.FAILED and state.since > failed_at)
            assert state.explanation == caught.value.sentence
        finally:
            await server.stop()
        with pytest.raises(RuntimeFailure, match="not supervised"):
            server.ask(Wish.START)

    asyncio.run(scenario())
