"""The Docker engine of a session: its containers are read, and those with Triton in them become servers.

Events of the engine only wake; its list is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tritop.derive.round import SourceRound
from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.live.feed import Feed
from tritop.live.fleet import Fleet
from tritop.live.logs import LogDesk
from tritop.live.watched import Watched
from tritop.reading import ContainerSight, EngineReading
from tritop.runtimes.log_place import ContainerPlace

if TYPE_CHECKING:
    from collectors.containers import Containers
    from tritop.runtimes.desired import Desk
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_events import DockerEvents
    from tritop.runtimes.docker_server import DockerServer

_GONE = "ABSENT"
"""State of a Launch without a container."""


class ContainerDesk:
    """Reads one engine, and keeps the fleet in step with its containers where it is to discover them.

    Args:
        address: of the engine, "" for none.
        fleet: the servers of the session.
        logs: told where the logs of containers are.
        discover: every Triton of the engine is a server of the session; ours are supervised again.
        read_only: nothing is supervised, and what is found may not be changed.
        leave: closes whatever else the session has open to a server.
        changed: called when there is something new to show.
    """

    def __init__(
        self,
        address: str,
        fleet: Fleet,
        logs: LogDesk,
        *,
        discover: bool,
        read_only: bool,
        leave: Callable[[str], Awaitable[object]],
        changed: Callable[[], None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.address = address
        self._fleet = fleet
        self._logs = logs
        self._discover = discover
        self._read_only = read_only
        self._leave = leave
        self._changed = changed
        self._clock = clock
        self._monotonic = monotonic
        self._feed: Feed | None = None
        self._collector: Containers | None = None
        self._events: DockerEvents | None = None
        self._desk: Desk | None = None
        self._followed: EngineReading | None = None
        self._considered: set[tuple[str, bool]] = set()
        self._supervised: set[str] = set()
        self._found: set[str] = set()
        self._look: asyncio.Task[None] | None = None
        self._look_again = False

    # -- reading --------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to read the engine; does nothing without one."""
        if not self.address or self._feed is not None:
            return
        # The SDK takes 0.2 s to import, which is not the loop's time.
        await asyncio.to_thread(_import_runtimes)
        from collectors.containers import Containers
        from tritop.runtimes.docker_events import DockerEvents
        from tritop.runtimes.docker_view import DockerView

        loop = asyncio.get_running_loop()

        def wake() -> None:
            # The loop may have ended meanwhile, and nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._happened)

        self._events = DockerEvents(self.address, "", wake)
        view = DockerView(self.address, self._events)
        self._collector = Containers(view, clock=self._clock, monotonic=self._monotonic)
        self._feed = Feed(self._collector, clock=self._clock, monotonic=self._monotonic)

    def pulse(self, interval_s: float, *, now: bool = False) -> asyncio.Task[None] | None:
        """See `Feed.pulse`."""
        return self._feed.pulse(interval_s, now=now) if self._feed is not None else None

    def as_round(self, interval_s: float) -> SourceRound | None:
        """What `derive` is told of the engine."""
        return self._feed.as_round(interval_s) if self._feed is not None else None

    def _happened(self) -> None:
        self._look_again = True
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_until_quiet(), name="look at the containers")

    async def _look_until_quiet(self) -> None:
        while self._look_again:
            self._look_again = False
            await self.look()

    async def look(self) -> None:
        """Read the engine now, and follow what it says."""
        if self._feed is None or self._collector is None:
            return
        for _ in range(2):
            # The first may be under way since before whatever happened.
            read = self._feed.pulse(0.0, now=True)
            if read is not None:
                await asyncio.wait({read})
            self._collector.look_again()
        await self.follow()
        self._changed()

    def sight_of(self, watched: Watched) -> ContainerSight | None:
        """The container of a server, as the engine last showed it."""
        return next((sight for sight in self._sights() if _is(watched, sight)), None)

    def _sights(self) -> tuple[ContainerSight, ...]:
        reading = self._feed.as_round(1.0).reading if self._feed is not None else None
        return reading.containers if isinstance(reading, EngineReading) else ()

    # -- servers that come and go ---------------------------------------------------------

    async def follow(self) -> None:
        """Bring the fleet in step with the newest reading."""
        reading = self._feed.as_round(1.0).reading if self._feed is not None else None
        if not isinstance(reading, EngineReading) or reading is self._followed:
            return
        self._followed = reading
        await self._drop_gone({sight.container.id for sight in reading.containers})
        if self._discover:
            for sight in reading.containers:
                await self._meet(sight)
        for watched in self._fleet:
            found = self.sight_of(watched)
            if found is not None:
                watched.container_id = found.container.id
                self._logs.offer(watched.name, ContainerPlace(self.address, found.container.name))

    async def _drop_gone(self, ids: set[str]) -> None:
        for watched in self._fleet:
            launch = watched.launch()
            if launch is not None:
                if watched.name in self._supervised and launch.state == _GONE:
                    await self._drop(watched)
            # One that an operator acts on just now is looked at after that.
            elif watched.container_id and watched.container_id not in ids and not watched.paused:
                if watched.name in self._found:
                    await self._drop(watched)
                else:
                    watched.container_id = ""
                    self._logs.withdraw(watched.name)

    async def _drop(self, watched: Watched) -> None:
        self._supervised.discard(watched.name)
        self._found.discard(watched.name)
        await self._leave(watched.name)
        await self._fleet.drop(watched)
        self._logs.withdraw(watched.name)

    async def _meet(self, sight: ContainerSight) -> None:
        watched = self._known(sight)
        if watched is not None and watched.hosted is None and not watched.container_id:
            # Found by its port: what the engine says of it is more.
            await self._drop(watched)
            watched = None
        if watched is None:
            name = self._free_name(sight)
            watched = self._fleet.add(name, self._endpoint(sight, name))
            watched.container_id = sight.container.id
            self._found.add(name)
        elif watched.hosted is None and not watched.paused:
            await watched.move(self._endpoint(sight, watched.name))
        if watched.hosted is None:
            await self._take_up(sight, watched)

    def _known(self, sight: ContainerSight) -> Watched | None:
        """The server that a container is already."""
        return next((watched for watched in self._fleet if _is(watched, sight)), None)

    def _free_name(self, sight: ContainerSight) -> str:
        """Tritop's name for a container of ours, else the engine's; one that no other server has."""
        container = sight.container
        names = [sight.profile] if container.ours and sight.profile else []
        names += [container.name, f"{container.name} {container.id[:12]}"]
        return next((name for name in names if self._fleet.find(name) is None), container.id)

    def _endpoint(self, sight: ContainerSight, name: str) -> Endpoint | None:
        from tritop.runtimes.docker_list import endpoint_of

        endpoint = endpoint_of(sight, name)
        return replace(endpoint, read_only=self._read_only) if endpoint is not None else None

    # -- ours -----------------------------------------------------------------------------

    async def _take_up(self, sight: ContainerSight, watched: Watched) -> None:
        """Supervise again what this operator made and wants to run; considered once for each run and each end."""
        container = sight.container
        seen = (container.id, container.runs)
        if self._read_only or not container.ours or seen in self._considered:
            return
        self._considered.add(seen)
        with contextlib.suppress(RuntimeFailure):  # the engine's own source tells of it
            wanted = (await self.desk()).load(sight.profile)
            if wanted is None or sight.profile != watched.name or wanted.spec.name != watched.name:
                return
            if container.runs or wanted.desired.value == "RUN":
                from tritop.runtimes.docker_server import DockerServer

                await self.supervise(watched, DockerServer(wanted.spec, self._engine(), wish=None, desk=self._desk))

    async def supervise(self, watched: Watched, server: DockerServer) -> Watched:
        """Run a server from now on that was only watched."""
        self._logs.withdraw(watched.name)
        self._logs.offer(watched.name, server)
        self._supervised.add(watched.name)
        return await self._fleet.host(watched, server)

    async def launch(self, server: DockerServer) -> Watched:
        """Run a new server, which goes again once its container is gone."""
        self._logs.offer(server.name, server)
        self._supervised.add(server.name)
        return self._fleet.add(server.name, hosted=server)

    async def desk(self) -> Desk:
        """Where the operator's word for this engine's servers is kept.

        Raises:
            EngineFailure: the engine cannot be used.
        """
        if self._desk is None:
            from tritop.runtimes.desired import Desk

            engine = self._engine()
            try:
                self._desk = Desk(str((await engine.info())["ID"]))
            finally:
                engine.close()
        return self._desk

    def _engine(self) -> Engine:
        from tritop.runtimes.docker import Engine

        return Engine(self.address)

    # -- the end --------------------------------------------------------------------------

    async def close(self) -> None:
        """End every stream; containers run on."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        if self._events is not None:
            self._events.close()
        if self._feed is not None:
            await self._feed.close()
            self._feed = self._collector = None


def _is(watched: Watched, sight: ContainerSight) -> bool:
    """Whether a server is this container: by its runtime, by its id, or by its address where no id is known."""
    launch, container = watched.launch(), sight.container
    if launch is not None:
        ours = launch.runtime == "docker" and container.ours and sight.profile == watched.name
        return ours or launch.container_id == container.id
    if watched.container_id:
        return watched.container_id == container.id
    return watched.endpoint is not None and watched.endpoint.grpc_address == _at(sight)


def _at(sight: ContainerSight) -> str:
    return f"{sight.host}:{sight.grpc_port}" if sight.host else ""


def _import_runtimes() -> None:
    import docker.types  # noqa: F401  only to have it imported

    import tritop.runtimes.docker_server  # noqa: F401  the same
