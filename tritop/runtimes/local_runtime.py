"""The embedded server, as the supervisor's driver sees it: one look, and one action at a time.

What a container is to the engine, a run of tritonserver is here: made (nothing is to be done for
that), running, paused, exited. The guardian ends it with tritop, so there is nothing to adopt, and
nobody else acts on it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure, TritopError
from tritop.model import Launch
from tritop.process_stat import STATE, stat_fields
from tritop.runtimes.checkup import Checkup
from tritop.runtimes.classify import ExitFacts, classify_exit, refusal
from tritop.runtimes.docker_launch import Sight, launch_of
from tritop.runtimes.local import LocalEnd, LocalServer
from tritop.runtimes.memory_kills import memory_kills
from tritop.runtimes.stubs import processes_in_group
from tritop.runtimes.supervisor import (
    Action,
    Container,
    Do,
    Ending,
    EndingKind,
    Finished,
    Health,
    Observed,
    Phase,
    Status,
    Supervision,
)

RUN = "embedded"
"""Stands for the id of a container: there is one run at a time."""
_STOPPED = ("T", "t")
"""States of a process in /proc that was sent SIGSTOP or is being traced."""

Note = Callable[[int, int, str], None]
"""Called with (models done, models in all, model being loaded)."""
Prepare = Callable[[Endpoint, Note], Awaitable[None]]
"""What is done to a server once it answers, such as loading its models."""


async def need_nothing(endpoint: Endpoint, note: Note) -> None:
    """A server that needs no preparation."""


class LocalRuntime:
    """Looks at one embedded server and acts on it, fulfilling `supervised.Runtime`.

    Args:
        server: what it drives; nobody else may start or stop it.
        prepare: called once in each run, as soon as the server answers; until it returns the server
            counts as starting. What it raises is shown, and the server counts as started.
    """

    def __init__(self, server: LocalServer, *, prepare: Prepare = need_nothing) -> None:
        self._server = server
        self._prepare = prepare
        self._removed = False
        self._made_after = 0
        """The last run before what is there now was made: as long as there is none after it, it was not started."""
        self._checkup = Checkup()
        self._coming: asyncio.Task[None] | None = None
        self._prepared_run = 0
        self._progress: tuple[int, int, str] | None = None
        self._kills = 0
        self._ending: tuple[int, Ending] | None = None
        self._fault = ""
        self._changed: Callable[[], None] = lambda: None

    def open(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when it is worth a look."""
        self._changed = changed

    async def close(self) -> None:
        """End everything but the server."""
        await self._come_no_more()
        await self._checkup.close()

    # -- looking --------------------------------------------------------------------------

    async def observe(self, state: Supervision) -> Observed:
        """Look at the process and, where it runs, ask the server; never raises."""
        server = self._server
        if self._removed:
            return Observed(True)
        status = self._status()
        container = Container(
            RUN, status, ours=True, started_at="" if status is Status.CREATED else f"run {server.run}"
        )
        if container.status is Status.EXITED:
            container = replace(container, ending=self._ending_of(server.run))
        pid = server.pid
        if container.status is not Status.RUNNING or pid is None:
            return Observed(True, container)
        self._kills = memory_kills() or 0
        health = Health.UNKNOWN
        dead: tuple[str, ...] = ()
        if self._prepared_run == server.run:
            health = await self._checkup.health(server.endpoint, state)
            # In explicit mode one model that failed to load keeps `ready` false for good (2.51).
            health = Health.READY if health is Health.LIVE else health
        if health is Health.READY:
            dead = await self._checkup.dead_stubs(server.endpoint, state, lambda: processes_in_group(pid), self._kills)
        return Observed(True, container, health, dead, _size_of(server.log_path))

    def _status(self) -> Status:
        server = self._server
        if not server.running:
            return Status.CREATED if server.run == self._made_after else Status.EXITED
        return Status.PAUSED if server.pid is not None and process_state(server.pid) in _STOPPED else Status.RUNNING

    def _ending_of(self, run: int) -> Ending | None:
        """How that run ended; found out once, because the kernel's count goes on."""
        if self._server.end is not None and (self._ending is None or self._ending[0] != run):
            out_of_memory = (memory_kills() or 0) > self._kills
            self._ending = (run, ending_of(self._server.end, out_of_memory=out_of_memory))
        return self._ending[1] if self._ending is not None else None

    # -- acting ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """Nothing is ever pulled."""

    async def perform(self, action: Action) -> Finished:
        """Do one thing to the server; never raises."""
        try:
            await self._do(action)
        except TritopError as error:
            return Finished(action, refusal(error))
        return Finished(action, container_id=RUN)

    async def _do(self, action: Action) -> None:
        match action.do:
            case Do.CREATE:
                self._removed, self._made_after = False, self._server.run
            case Do.REMOVE:
                self._removed = True
            case Do.START:
                await self._start()
            case Do.STOP:
                await self.close()
                await self._server.halt()
            case Do.HEAL:
                await self._checkup.heal(self._server.endpoint, action.models)
            case Do.PULL | Do.TAKE_OVER | Do.CANCEL:
                pass  # its files are in the wheel, and no engine restarts it

    async def _start(self) -> None:
        await self._come_no_more()
        self._progress, self._fault = None, ""
        self._kills = memory_kills() or 0
        await self._server.start()
        self._coming = asyncio.create_task(self._attend(), name="attend to the embedded server")

    async def _attend(self) -> None:
        """One run from its start to its end; both are told at once."""
        coming = asyncio.create_task(self._come_up(self._server.run), name="prepare the embedded server")
        try:
            await self._server.wait_ended()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        self._changed()

    async def _come_up(self, run: int) -> None:
        try:
            # A slow start is no failure: the supervisor marks it.
            await self._server.wait_live(math.inf)
        except RuntimeFailure:
            return  # it has ended, which the next look shows
        try:
            await self._prepare(self._server.endpoint, self._note)
        except TritopError as error:
            self._fault = str(error)
        self._prepared_run = run
        self._changed()

    def _note(self, done: int, total: int, model: str) -> None:
        self._progress = (done, total, model)

    async def _come_no_more(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    # -- telling --------------------------------------------------------------------------

    def launch(self, state: Supervision) -> Launch:
        """What is known of it now, for a Snapshot; from any thread."""
        seen = self._server.launch()
        sight = Sight(
            now=time.monotonic(),
            runtime="local",
            command=seen.command,
            pid=seen.pid,
            log_path=seen.log_path,
            log_tail=seen.log_tail,
        )
        launch = launch_of(state, sight)
        if self._fault and not launch.explanation:
            launch = replace(launch, explanation=self._fault)
        if self._progress is None or state.phase is not Phase.STARTING:
            return launch
        done, total, model = self._progress
        slow = " (slow)" if state.slow else ""
        return replace(launch, step=f"loading {model}{slow}" if model else launch.step, done=done, total=total)


def ending_of(end: LocalEnd, *, out_of_memory: bool = False) -> Ending:
    """How a run of an embedded server ended, and of what kind the end is.

    Args:
        end: what is known of it.
        out_of_memory: the kernel killed a process of ours for want of memory at about that time.
    """
    code = end.exit_code
    if end.said:
        return Ending(EndingKind.CRASH, end.said, _as_shell(code), end.said)
    if code is None and not end.asked:
        return Ending(EndingKind.CRASH, "Its guardian process was killed, and the server with it.", None, "guardian")
    return classify_exit(
        ExitFacts(
            exit_code=_as_shell(code),
            lines=end.lines,
            stopped_by_us=end.asked,
            out_of_memory=out_of_memory,
            ran_s=end.ran_s,
            contained=False,
        )
    )


def _as_shell(code: int | None) -> int | None:
    """An exit code as shells and engines give it: 128 and the number for a signal."""
    return 128 - code if code is not None and code < 0 else code


def process_state(pid: int, proc: Path = Path("/proc")) -> str:
    """The letter that the kernel gives a process, such as R, S or T; "" where it is gone."""
    fields = stat_fields(pid, proc)
    return fields[STATE] if fields else ""


def _size_of(path: Path | None) -> int | None:
    try:
        return path.stat().st_size if path is not None else None
    except OSError:
        return None
