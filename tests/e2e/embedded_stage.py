"""Supervised embedded servers for a test, driven from its thread, and gone at its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.triton_calls import infer_tiny, load
from tests.processes import descendants
from tests.running_triton import LoopThread
from tritop.demo.repository import write_repository
from tritop.endpoint import Endpoint
from tritop.operation import Wish
from tritop.runtimes.embedded_server import EmbeddedServer
from tritop.runtimes.local_runtime import Note
from tritop.runtimes.stubs import STUB
from tritop.runtimes.supervisor import Phase, Policy, Supervision

T = TypeVar("T")

WAIT_S = 60.0
QUICK = Policy(back_off_s=(0.3, 0.6))


async def load_tiny(endpoint: Endpoint, note: Note) -> None:
    note(0, 1, "tiny")
    await load(endpoint, "tiny")
    note(1, 1, "")


def words_of(pid: int) -> list[str]:
    """The command line of a process, empty where it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def servers_of(repository: Path) -> list[int]:
    """Pids of every tritonserver of this machine that serves this repository."""
    word = f"--model-repository={repository}"
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and word in words_of(int(entry.name))
    ]


class Staged:
    """One supervised server with the demo's `tiny`, which has one Python-backend stub."""

    def __init__(self, server: EmbeddedServer, repository: Path, loop: LoopThread) -> None:
        self.server = server
        self.repository = repository
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(coroutine)

    @property
    def pid(self) -> int:
        pid = self.server.launch().pid
        assert pid is not None, "the server does not run"
        return pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def stubs(self) -> list[int]:
        return [pid for pid in descendants(self.pid) if "".join(words_of(pid)[:1]).endswith(STUB)]

    def until(self, condition: Callable[[Supervision], bool]) -> Supervision:
        async def wait() -> Supervision:
            async with asyncio.timeout(WAIT_S):
                return await self.server.until(condition)

        try:
            return self.run(wait())
        except TimeoutError:
            raise AssertionError(f"waited in vain at {self.server.state}\n{self.server.launch()}") from None

    def until_phase(self, phase: Phase) -> Supervision:
        return self.until(lambda state: state.phase is phase and state.doing is None)

    def ask(self, wish: Wish) -> None:
        async def ask() -> None:
            self.server.ask(wish)

        self.run(ask())

    def infer(self) -> None:
        self.run(infer_tiny(self.server.endpoint, times=2))


class EmbeddedStage:
    """Makes supervised servers, and stops them."""

    def __init__(self, loop: LoopThread, folder: Path) -> None:
        self._loop = loop
        self._folder = folder
        self._servers: list[EmbeddedServer] = []

    def make(self, *arguments: str, policy: Policy = QUICK) -> Staged:
        repository = write_repository(self._folder / f"models-{len(self._servers)}").folder
        server = EmbeddedServer(
            repository,
            name="mine",
            arguments=arguments,
            remove_at_end=(repository,),
            prepare=load_tiny,
            policy=policy,
        )
        self._servers.append(server)
        self._loop.run(server.open())
        return Staged(server, repository, self._loop)

    def ready(self, *arguments: str, policy: Policy = QUICK) -> Staged:
        staged = self.make(*arguments, policy=policy)
        staged.until_phase(Phase.READY)
        return staged

    def close(self) -> None:
        for server in self._servers:
            pid = server.launch().pid
            if pid is not None:
                # A graceful end takes 2.5 s, and is looked at in a test of its own.
                os.kill(pid, signal.SIGKILL)
            self._loop.run(server.stop())
