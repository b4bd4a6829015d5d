"""A Triton in a container, started, supervised and shown by tritop; the container outlives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.logs import LogChunk, LogSource
from tritop.model import Launch
from tritop.operation import Operation
from tritop.runtimes.desired import Desk, Wanted, WriterLock
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_launch import Sight, launch_of
from tritop.runtimes.docker_log import DockerLog
from tritop.runtimes.docker_runtime import DockerRuntime
from tritop.runtimes.log_place import ContainerPlace
from tritop.runtimes.repository_folder import models_in
from tritop.runtimes.server_log import sentence_case
from tritop.runtimes.supervised import Supervised
from tritop.runtimes.supervisor import Desired, Do, Phase, Policy, Supervision, Wish
from tritop.server_spec import Ports, ServerSpec, docker_run_line

_RAN = (Phase.STARTING, Phase.READY, Phase.NOT_READY, Phase.PAUSED)


class DockerServer:
    """One supervised container, fulfilling `tritop.live.Hosted` and `tritop.logs.HasLog`.

    Drive it from one event loop; `launch` may be called from any thread.

    Args:
        spec: how it is to be run.
        engine: where; the server closes it.
        wish: what the operator wants of it now; `None` holds to what was wanted last.
        stop_at_end: stop the container when this ends; by default it outlives tritop.
        policy: the supervisor's limits and waits.
        desk: where the operator's word is kept; `None` keeps it in the user's folder for state.
    """

    def __init__(
        self,
        spec: ServerSpec,
        engine: Engine,
        *,
        wish: Wish | None = Wish.START,
        stop_at_end: bool = False,
        policy: Policy | None = None,
        desk: Desk | None = None,
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self._engine = engine
        self._wish = wish
        self._stop_at_end = stop_at_end
        # Spread by name, so that servers that died together do not come back together.
        self._policy = policy or Policy(jitter=sum(spec.name.encode()) % 11 / 10)
        self._desk = desk
        self._models = models_in(spec.repository) if spec.repository else None
        self._log: DockerLog | None = None
        self._lock: WriterLock | None = None
        self._runtime: DockerRuntime | None = None
        self._supervised: Supervised | None = None
        self._desired, self._stopping = Desired.STOP, ""
        self._fault = ""

    async def open(self) -> None:
        """Begin to supervise; returns once the engine has answered.

        Raises:
            RuntimeFailure: no engine can be used, or the operator's word cannot be kept.
        """
        self._desk = self._desk or Desk(str((await self._engine.info())["ID"]))
        wanted = self._desk.load(self.name)
        self._lock = self._desk.lock(self.name)
        self._lock.take()
        ports = wanted.ports if wanted is not None else None
        self._desired = wanted.desired if wanted is not None else Desired.STOP
        runtime = DockerRuntime(self._engine, self.spec, ports=ports, take_lock=self._lock.take, made=self._keep_ports)
        self._runtime = runtime
        supervised = Supervised(
            runtime,
            desired=self._desired,
            keep=self._keep,
            reload=self._reload,
            policy=self._policy,
            unfinished=wanted is not None and self._lock.held and await self._stop_is_unfinished(wanted),
        )
        self._supervised = supervised
        if self._wish is not None and self._lock.held:
            supervised.ask(self._wish)
            self._keep(supervised.state.desired, wanted.stopping if wanted is not None else "")
        runtime.open(supervised.wake)
        self._log = runtime.log
        supervised.begin(self.name)

    async def _stop_is_unfinished(self, wanted: Wanted) -> bool:
        """Whether it is to run, and a tritop was killed while it stopped the last run of its container."""
        if not wanted.stopping or (self._wish is None and wanted.desired is Desired.STOP):
            return False
        shown = await self._engine.inspect(self.spec.container_name)
        return shown is not None and shown["State"].get("StartedAt") == wanted.stopping

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        """Begin to supervise it, and return when it has run once, since only then its ports are settled.

        Raises:
            RuntimeFailure: no engine can be used.
        """
        await self.open()
        await self.until(lambda state: state.phase in _RAN)
        return self.endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is.

        Raises:
            RuntimeFailure: it has no ports yet.
        """
        endpoint = self._runtime.endpoint if self._runtime is not None else None
        if endpoint is None:
            raise RuntimeFailure(f"{self.name} has not been started yet.")
        return endpoint

    @property
    def engine_address(self) -> str:
        """Where its engine is."""
        return self._engine.address

    @property
    def state(self) -> Supervision:
        """The supervisor's state."""
        return self._supervised.state if self._supervised is not None else Supervision()

    @property
    def supervises(self) -> bool:
        """Whether this tritop is the one that acts on it."""
        return self._supervised is not None and self._supervised.writer

    def ask(self, wish: Wish) -> None:
        """Start, stop, restart or remove it; its outcome shows in `launch`.

        Raises:
            RuntimeFailure: another tritop acts on it, or it is not ours.
        """
        if self._supervised is None or self._lock is None:
            raise RuntimeFailure(f"{self.name} is not supervised yet.")
        if not self._lock.take():
            raise RuntimeFailure(
                f"another tritop (process {self._lock.holder()}) supervises {self.name}.", "Ask there, or end it."
            )
        if self.state.phase is Phase.FOREIGN:
            raise RuntimeFailure(f"the container {self.spec.container_name} is not this operator's.")
        self._supervised.ask(wish)

    async def until(self, condition: Callable[[Supervision], bool]) -> Supervision:
        """Wait for a state of the supervisor.

        Raises:
            RuntimeFailure: supervision has ended by a bug or by the operator's word not being kept.
        """
        assert self._supervised is not None
        return await self._supervised.until(condition)

    def launch(self) -> Launch:
        """What is known of it now."""
        runtime = self._runtime
        if runtime is None:
            return Launch(runtime="docker", state=Phase.UNKNOWN.value, step="looking for the Docker engine")
        failure = runtime.engine_failure
        watcher = self._lock.holder() if self._lock is not None and not self._lock.held else None
        launch = launch_of(
            self.state,
            Sight(
                now=time.monotonic(),
                command=docker_run_line(runtime.spec, runtime.ports, self._engine.owner) if runtime.ports else "",
                pid=runtime.pid,
                pull=runtime.pull,
                loading=runtime.run_log.progress,
                models=self._models,
                log_tail=tuple(runtime.run_log.tail)[-20:],
                supervisor_pid=watcher,
                engine=f"{sentence_case(failure.sentence)} {failure.advice}".rstrip() if failure is not None else "",
            ),
        )
        return replace(launch, explanation=f"{launch.explanation} {self._fault}".strip())

    def log_source(self) -> LogSource:
        """The log of its container over all runs."""
        return self._log or self._log_place.log_source()

    def log_since(self, at: float) -> Iterator[LogChunk]:
        """What its container wrote since a time by the engine's clock.

        Raises:
            EngineFailure: the engine, or the container, does not give it.
        """
        return self._log_place.log_since(at)

    @property
    def _log_place(self) -> ContainerPlace:
        return ContainerPlace(self._engine.address, self.spec.container_name)

    async def stop(self) -> None:
        """Let it go: the container runs on, unless it is to stop with tritop. Never raises, and may be called twice."""
        if self._supervised is not None and self._supervised.active:
            doing = self.state.doing
            if self._stop_at_end and self.supervises and not (doing is not None and doing.do is Do.PULL):
                self._supervised.ask(Wish.STOP)
                await self.until(lambda state: state.phase in _ENDED)
        if self._supervised is not None:
            await self._supervised.end()
        if self._runtime is not None:
            await self._runtime.close()
        if self._lock is not None:
            self._lock.release()
        self._engine.close()

    # -- the operator's word --------------------------------------------------------------

    def _keep(self, desired: Desired, stopping: str) -> None:
        self._desired, self._stopping = desired, stopping
        self._save()

    def _keep_ports(self, ports: Ports) -> None:
        self._save(ports)

    def _save(self, ports: Ports | None = None) -> None:
        runtime, desk = self._runtime, self._desk
        if runtime is None or desk is None or self._lock is None or not self._lock.held:
            return
        try:
            desk.keep(Wanted(self.spec, self._desired, ports or runtime.ports, self._stopping))
            self._fault = ""
        except RuntimeFailure as failure:
            self._fault = str(failure)

    def _reload(self) -> tuple[Desired, str] | None:
        wanted = self._desk.load(self.name) if self._desk is not None else None
        return (wanted.desired, wanted.stopping) if wanted is not None else None


_ENDED = (Phase.STOPPED, Phase.ABSENT, Phase.FAILED, Phase.ENGINE_LOST, Phase.FOREIGN)
