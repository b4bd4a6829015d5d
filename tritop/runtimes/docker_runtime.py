"""A server in a container, as the supervisor's driver sees it: one look, and one action at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tritop.container_documents import seconds_of
from tritop.endpoint import Endpoint
from tritop.errors import TritopError
from tritop.logs import LogChunk
from tritop.runtimes.checkup import Checkup
from tritop.runtimes.classify import ExitFacts, classify_exit, refusal
from tritop.runtimes.docker import Engine, PullHandle
from tritop.runtimes.docker_errors import NO_LIMITS, EngineFailure
from tritop.runtimes.docker_events import DockerEvents
from tritop.runtimes.docker_log import DockerLog
from tritop.runtimes.docker_pull import PullProgress
from tritop.runtimes.docker_spec import bound_ports
from tritop.runtimes.engine_thread import call_apart
from tritop.runtimes.load_progress import LoadProgress
from tritop.runtimes.ports import kept_or_free
from tritop.runtimes.server_log import clean_line
from tritop.runtimes.stubs import processes_of
from tritop.runtimes.supervisor import (
    Action,
    Container,
    Do,
    Ending,
    Finished,
    Health,
    Observed,
    Status,
    Supervision,
)
from tritop.server_spec import HOST, MANAGED, OWNER, PROFILE, SPEC, Ports, ServerSpec, ports_from_base

_START_ATTEMPTS = 4
_HEAD_S = 5.0
_HEAD_LINES, _TAIL_LINES = 40, 80
_END_EVENT_S = 1.0
"""How long the event of an end is waited for: it comes within 3 ms of it, and inspection may be faster."""
_RUNNING = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


@dataclass
class RunLog:
    """What the log of the present run said so far."""

    run: int = 0
    bytes: int = 0
    progress: LoadProgress = field(default_factory=LoadProgress)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=40))

    def take(self, chunk: LogChunk) -> None:
        """Take lines in; called in the log's thread."""
        if chunk.run != self.run:
            self.run, self.progress = chunk.run, LoadProgress()
        for raw in chunk.lines:
            line = raw.decode(errors="replace")
            self.progress.take(line)
            if line.strip():
                self.tail.append(clean_line(line))
        self.bytes += sum(map(len, chunk.lines))


class DockerRuntime:
    """Looks at one container and acts on it.

    Args:
        engine: where it runs.
        spec: how it is to be run.
        ports: those that it had before, if it is known.
        take_lock: tries to become the one that acts; returns whether it is.
        made: called with the ports of a container that was just made, before it is started.
        environ: where the values of the spec's variables are from.
    """

    def __init__(
        self,
        engine: Engine,
        spec: ServerSpec,
        *,
        ports: Ports | None,
        take_lock: Callable[[], bool],
        made: Callable[[Ports], None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.ports = ports
        self.pull: PullProgress | None = None
        self.run_log = RunLog()
        self.pid: int | None = None
        self.engine_failure: EngineFailure | None = None
        self._take_lock = take_lock
        self._made = made
        self._environ = environ
        self._handle = PullHandle()
        self._checkup = Checkup()
        self._stopped: set[str] = set()
        self._ending: tuple[str, Ending] | None = None
        self._changed: Callable[[], None] = lambda: None
        self._events: DockerEvents | None = None
        self.log: DockerLog | None = None

    def open(self, changed: Callable[[], None]) -> None:
        """Begin to follow events and log; `changed` is called in their threads."""
        self._changed = changed
        self._events = DockerEvents(self.engine.address, self.spec.container_name, changed)
        self.log = DockerLog(self.engine.address, self.spec.container_name)
        self.log.follow(self.run_log.take)

    async def close(self) -> None:
        """End everything but the container."""
        if self._events is not None:
            self._events.close()
        if self.log is not None:
            self.log.close()
        await self._checkup.close()

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the server is, once that is known."""
        if self.ports is None:
            return None
        metrics = f"http://{HOST}:{self.ports.metrics}/metrics"
        return Endpoint(self.spec.name, HOST, self.ports.grpc, self.ports.http, metrics)

    # -- looking --------------------------------------------------------------------------

    async def observe(self, state: Supervision) -> Observed:
        """Look at the container and, where it runs, ask the server; never raises."""
        try:
            writer = self._take_lock()
            shown = await self.engine.inspect(self.spec.container_name)
            container = await self._container(shown) if shown is not None else None
        except EngineFailure as failure:
            self.engine_failure = failure
            return Observed(engine=False)
        self.engine_failure = None
        self.pid = None
        if shown is None or container is None or not container.ours or container.status is not Status.RUNNING:
            return Observed(engine=True, container=container, writer=writer)
        self.pid = int((shown.get("State") or {}).get("Pid") or 0) or None
        self._adopt_ports(shown)
        health = await self._checkup.health(self.endpoint, state)
        dead = await self._dead(state, container) if health is not Health.SILENT else ()
        return Observed(True, container, health, dead, self.run_log.bytes, writer)

    async def _container(self, shown: Mapping[str, Any]) -> Container:
        status = Status(str(shown["State"]["Status"]))
        labels = (shown.get("Config") or {}).get("Labels") or {}
        ours = (
            labels.get(MANAGED) == "1"
            and labels.get(PROFILE) == self.spec.name
            and labels.get(OWNER) == self.engine.owner
        )
        policy = ((shown.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name")
        over = status in (Status.EXITED, Status.DEAD)
        return Container(
            id=str(shown["Id"]),
            status=status,
            ours=ours,
            started_at=str(shown["State"].get("StartedAt", "")),
            spec_matches=labels.get(SPEC) == self.spec.digest,
            engine_restarts=policy not in (None, "", "no"),
            ending=await self._ending_of(shown) if ours and over else None,
        )

    async def _ending_of(self, shown: Mapping[str, Any]) -> Ending:
        """How its last run ended; found out once for each run."""
        state = shown["State"]
        container_id, key = str(shown["Id"]), f"{shown['Id']} {state['StartedAt']} {state['FinishedAt']}"
        if self._ending is not None and self._ending[0] == key:
            return self._ending[1]
        events = self._events
        assert events is not None
        notes = await call_apart(lambda: events.notes(container_id, _END_EVENT_S), "docker: end")
        started, finished = seconds_of(state["StartedAt"]), seconds_of(state["FinishedAt"])
        # The engine's own flag only where no event told anything, because it may be an earlier run's.
        flag = bool(state.get("OOMKilled")) and not notes.ended
        ending = classify_exit(
            ExitFacts(
                exit_code=int(state["ExitCode"]),
                lines=await self._telling_lines(container_id, started),
                stopped_by_us=container_id in self._stopped,
                signal_sent=notes.signal_sent,
                out_of_memory=notes.out_of_memory > 0 or flag,
                memory_limit_bytes=self.spec.memory_bytes,
                ran_s=finished - started if started is not None and finished is not None else None,
                error=clean_line(str(state.get("Error") or "")),
            )
        )
        self._stopped.discard(container_id)
        self._ending = (key, ending)
        return ending

    async def _telling_lines(self, container_id: str, started: float | None) -> tuple[str, ...]:
        """Both ends of the last run's log: a refused flag is named first, before the whole help."""
        if started is None:
            return ()
        head = await self.engine.log_lines(container_id, since=started, until=started + _HEAD_S)
        tail = await self.engine.log_lines(container_id, since=started)
        return head[:_HEAD_LINES] + tail[-_TAIL_LINES:]

    def _adopt_ports(self, shown: Mapping[str, Any]) -> None:
        bound = bound_ports(shown)
        if bound is not None and bound != self.ports:
            self.ports = bound

    async def _dead(self, state: Supervision, container: Container) -> tuple[str, ...]:
        """Models whose stub has died."""
        endpoint, events, pid = self.endpoint, self._events, self.pid
        if endpoint is None or events is None or pid is None:
            return ()
        alarms = events.notes(container.id).out_of_memory
        return await self._checkup.dead_stubs(endpoint, state, lambda: processes_of(pid, container.id), alarms)

    # -- acting ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """Take the pull back that is under way."""
        self._handle.cancel()

    async def perform(self, action: Action) -> Finished:
        """Do one thing to the engine or the server; never raises."""
        try:
            return Finished(action, container_id=await self._do(action))
        except EngineFailure as failure:
            return Finished(action, failure.ending())
        except TritopError as error:
            return Finished(action, refusal(error))
        finally:
            self.pull = None

    async def _do(self, action: Action) -> str:
        match action.do:
            case Do.PULL:
                await self._provide_image()
            case Do.CREATE:
                return await self._create()
            case Do.START:
                await self._start(action.container_id)
            case Do.STOP:
                await self._stop(action.container_id)
            case Do.REMOVE:
                await self.engine.remove(action.container_id)
            case Do.TAKE_OVER:
                await self.engine.take_over(action.container_id)
            case Do.HEAL:
                if self.endpoint is not None:
                    await self._checkup.heal(self.endpoint, action.models)
            case Do.CANCEL:
                self.cancel()
        return ""

    async def _provide_image(self) -> None:
        if await self.engine.has_image(self.spec.image):
            return
        self._handle = PullHandle()
        await self.engine.pull(self.spec.image, self._note_pull, self._handle)

    def _note_pull(self, progress: PullProgress) -> None:
        self.pull = progress

    async def _create(self) -> str:
        self.ports = self._choose_ports()
        container_id = await self.engine.create(self.spec, self.ports, self._environ)
        self._made(self.ports)
        return container_id

    def _choose_ports(self) -> Ports:
        """The ports that were asked for, those that it had before, or free ones."""
        return ports_from_base(self.spec.base_port) if self.spec.base_port is not None else kept_or_free(self.ports)

    async def _start(self, container_id: str) -> None:
        """Start a container; a new one is made again where only that is in the way.

        Ports that nobody asked for may be taken between choosing and starting, and an engine may have
        no right to raise limits.
        """
        self.run_log.progress = LoadProgress()
        for _ in range(_START_ATTEMPTS):
            try:
                await self.engine.start(container_id)
            except EngineFailure as failure:
                if not await self._can_be_made_again(container_id, failure):
                    raise
                last = failure
            else:
                if self.log is not None:
                    self.log.look()
                return
            await self.engine.remove(container_id)
            container_id = await self._create()
        raise last

    async def _can_be_made_again(self, container_id: str, failure: EngineFailure) -> bool:
        shown = await self.engine.inspect(container_id)
        if shown is None or shown["State"]["Status"] != Status.CREATED:
            return False
        if NO_LIMITS.search(failure.sentence) and self.spec.raise_limits:
            self.spec = replace(self.spec, raise_limits=False)
            return True
        if failure.port is not None and self.spec.base_port is None:
            self.ports = None
            return True
        return False

    async def _stop(self, container_id: str) -> None:
        self._stopped.add(container_id)
        await self._checkup.close()
        await self.engine.stop(container_id, self.spec.stop_timeout_s)
