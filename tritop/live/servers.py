"""Operations on servers: launched, started, stopped, restarted, removed; each of them is written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tritop.errors import OperationFailed, TritopError
from tritop.live.containers import ContainerDesk
from tritop.live.fleet import Fleet
from tritop.live.operations import Done, Progress
from tritop.live.watched import Watched
from tritop.model import Launch
from tritop.operation import LaunchPreview, LaunchServer, PreviewLaunch, ServerOperation, SetTraffic, SteerServer, Wish

if TYPE_CHECKING:
    from tritop.control.entry import Entry
    from tritop.runtimes.docker import Engine

POLL_S = 0.2
"""How often a runtime is asked how far it is, for the operator to see; it decides by itself."""
FIRST_LOOK_S = 15.0
"""How long a container that is supervised again may take to be looked at."""

_UP = ("READY", "NOT_READY")
"""States of a Launch, as the next."""
_NO_MORE = {Wish.STOP: ("STOPPED", "ABSENT"), Wish.REMOVE: ("ABSENT",)}


class ServerDesk:
    """Carries out what an operator asks of servers.

    A wish is given at once, whatever is being waited for: the newest one counts, and who waited for an
    older one is told so.

    Args:
        fleet: the servers of the session.
        containers: the engine.
        leave: closes what the session has open to a server beside its sources; returns the traffic that ran.
        submit: for the traffic that runs again after a restart.
        record: writes an entry into the ledger, and returns why it could not.
        read_only: nothing of this is done.
        clock: wall time [s].
    """

    def __init__(
        self,
        fleet: Fleet,
        containers: ContainerDesk,
        *,
        leave: Callable[[str], Awaitable[tuple[SetTraffic, ...]]],
        submit: Callable[[SetTraffic], None],
        record: Callable[[Entry], Awaitable[str]],
        read_only: bool,
        clock: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._containers = containers
        self._leave = leave
        self._submit = submit
        self._record = record
        self._read_only = read_only
        self._clock = clock
        self._wishes: dict[str, object] = {}
        self._acting: dict[str, asyncio.Lock] = {}

    async def perform(self, operation: ServerOperation, progress: Progress) -> Done:
        """Carry one operation out.

        Raises:
            TritopError: it was refused, or did not happen.
        """
        if isinstance(operation, PreviewLaunch):
            preview = await self._preview(operation)
            return Done(preview.obstacle or "It can be launched.", preview)
        self._refuse_read_only(operation.server)
        began, entry = time.monotonic(), self._entry(operation)
        try:
            if isinstance(operation, LaunchServer):
                done = await self._launch(operation, progress)
            else:
                done = await self._steer(operation, progress)
        except (TritopError, asyncio.CancelledError) as error:
            outcome = str(error) or "tritop ended before it was done."
            await self._record(replace(entry, outcome=outcome, succeeded=False, duration_s=time.monotonic() - began))
            raise
        endpoint = self._address_of(operation.server) or entry.endpoint
        took_s = time.monotonic() - began
        entry = replace(entry, endpoint=endpoint, outcome=done.text, succeeded=True, duration_s=took_s)
        return replace(done, text=f"{done.text} {await self._record(entry)}".rstrip())

    def _address_of(self, server: str) -> str:
        watched = self._fleet.find(server)
        return watched.endpoint.grpc_address if watched is not None and watched.endpoint is not None else ""

    def _refuse_read_only(self, server: str) -> None:
        watched = self._fleet.find(server)
        endpoint = watched.endpoint if watched is not None else None
        if self._read_only or (endpoint is not None and endpoint.read_only):
            raise OperationFailed(
                f"{server} is watched read-only: nothing was done.",
                "Start tritop without --read-only to start and stop servers.",
            )

    def _entry(self, operation: LaunchServer | SteerServer) -> Entry:
        """An entry of the ledger about something that begins now."""
        from tritop.control.server_entry import server_entry

        wish = None if isinstance(operation, LaunchServer) else operation.wish
        return server_entry(operation.server, wish, self._clock(), self._address_of(operation.server))

    # -- launching ------------------------------------------------------------------------

    def _engine(self) -> Engine:
        if not self._containers.address:
            raise OperationFailed(
                "there is no Docker engine here.", "Start one, or name it with DOCKER_HOST; tritop doctor tells more."
            )
        from tritop.runtimes.docker import Engine

        return Engine(self._containers.address)

    async def _preview(self, operation: PreviewLaunch) -> LaunchPreview:
        from tritop.runtimes.launch_preview import preview_launch

        spec = operation.spec
        try:
            engine = self._engine()
        except OperationFailed as error:
            return LaunchPreview(command="", obstacle=str(error))
        try:
            preview = await preview_launch(spec, engine)
        finally:
            engine.close()
        if self._read_only:
            return replace(preview, obstacle="This tritop is read-only: it launches nothing.")
        if not preview.obstacle and self._fleet.find(spec.name) is not None:
            return replace(preview, obstacle=f"There is a server {spec.name} already. Choose another name.")
        return preview

    async def _launch(self, operation: LaunchServer, progress: Progress) -> Done:
        from tritop.runtimes.docker_server import DockerServer

        progress("looking at the engine")
        spec = operation.spec
        preview = await self._preview(PreviewLaunch(spec))
        if preview.obstacle:
            raise OperationFailed(preview.obstacle)
        server = DockerServer(spec, self._engine(), wish=Wish.START, desk=await self._containers.desk())
        # Another launch of this name may have come first while the engine was asked.
        if self._fleet.find(spec.name) is not None:
            raise OperationFailed(f"there is a server {spec.name} already.", "Choose another name.")
        watched = await self._containers.launch(server)
        wish = self._wish(spec.name)
        launch = await self._outcome(watched, Wish.START, progress, wish)
        return Done(_up_text(spec.name, "launched", launch))

    # -- steering -------------------------------------------------------------------------

    def _wish(self, server: str) -> object:
        wish = self._wishes[server] = object()
        return wish

    async def _steer(self, operation: SteerServer, progress: Progress) -> Done:
        watched = self._fleet.named(operation.server)
        wish = self._wish(operation.server)
        async with self._acting.setdefault(operation.server, asyncio.Lock()):
            watched = self._fleet.named(operation.server)
            if watched.hosted is None:
                watched = await self._adopted(watched, operation)
            if watched.hosted is None:
                return await self._lay_hand(watched, operation, progress)
            self._check_meant(watched, operation)
            if operation.wish is Wish.START and watched.hosted.launch().state in _UP:
                return Done(f"{operation.server} runs already.")
            traffic = await self._ask(watched, operation.wish)
        launch = await self._outcome(watched, operation.wish, progress, wish)
        if operation.wish is Wish.REMOVE:
            (await self._containers.desk()).forget(operation.server)
        if operation.wish in (Wish.STOP, Wish.REMOVE):
            return Done(f"{operation.server} is {operation.wish.done}.")
        watched.resume()
        for each in traffic:
            self._submit(each)
        return Done(_up_text(operation.server, operation.wish.done, launch))

    def _check_meant(self, watched: Watched, operation: SteerServer) -> None:
        launch = watched.launch()
        assert launch is not None
        if operation.container_id and launch.container_id and operation.container_id != launch.container_id:
            raise OperationFailed(
                f"{operation.server} is in another container now than the one that was meant.", "Look, and ask again."
            )
        if operation.wish is Wish.REMOVE and launch.runtime != "docker":
            raise OperationFailed(f"{operation.server} has no container that could be removed.")

    async def _ask(self, watched: Watched, wish: Wish) -> tuple[SetTraffic, ...]:
        """Give a runtime its wish; what is open to the server is closed before it is to stop."""
        assert watched.hosted is not None
        traffic: tuple[SetTraffic, ...] = ()
        if wish is not Wish.START:
            traffic = await self._leave(watched.name)
            await watched.pause()
        try:
            watched.hosted.ask(wish)
        except TritopError:
            watched.resume()
            raise
        return traffic

    async def _outcome(self, watched: Watched, wish: Wish, progress: Progress, own: object) -> Launch:
        """Tell how far a runtime is until it has come to what was asked for.

        Raises:
            OperationFailed: it came to something else, or something else was asked for meanwhile.
        """
        assert watched.hosted is not None
        before, moved = watched.hosted.launch(), False
        while self._wishes.get(watched.name) is own:
            launch = watched.hosted.launch()
            moved = moved or (launch.state, launch.pid) != (before.state, before.pid)
            if _is_done(wish, launch.state, moved=moved):
                return launch
            if _is_given_up(wish, launch, moved=moved):
                why = launch.explanation or f"it is {launch.state}"
                raise OperationFailed(f"{watched.name} could not be {wish.done}: {why}")
            again = f", again in {launch.restart_in_s:.0f} s" if launch.restart_in_s is not None else ""
            progress(f"{launch.step or launch.state.lower().replace('_', ' ')}{again}")
            await asyncio.sleep(POLL_S)
        raise OperationFailed(f"something else was asked of {watched.name} before it was {wish.done}.")

    # -- containers that no supervisor of this session holds ------------------------------

    async def _adopted(self, watched: Watched, operation: SteerServer) -> Watched:
        """The same server under supervision, where this operator made its container and its settings are kept."""
        from tritop.runtimes.docker_server import DockerServer

        sight = self._containers.sight_of(watched)
        if sight is None or not sight.container.ours or sight.profile != watched.name:
            return watched
        self._check_same(watched, sight.container.id, operation)
        desk = await self._containers.desk()
        wanted = desk.load(sight.profile)
        if wanted is None:
            return watched
        server = DockerServer(wanted.spec, self._engine(), wish=None, desk=desk)
        adopted = await self._containers.supervise(watched, server)
        # A wish counts for what the supervisor has seen.
        for _ in range(round(FIRST_LOOK_S / POLL_S)):
            if server.launch().state != "UNKNOWN":
                return adopted
            await asyncio.sleep(POLL_S)
        raise OperationFailed(f"{watched.name} is not supervised yet: the engine does not answer.")

    def _check_same(self, watched: Watched, container_id: str, operation: SteerServer) -> None:
        if operation.container_id and operation.container_id != container_id:
            raise OperationFailed(
                f"{watched.name} is another container now than the one that was meant: nothing was touched.",
                "Look at it, and ask again.",
            )

    async def _lay_hand(self, watched: Watched, operation: SteerServer, progress: Progress) -> Done:
        """Act on a container that tritop does not supervise."""
        sight = self._containers.sight_of(watched)
        if sight is None:
            raise OperationFailed(
                f"{watched.name} runs in no container of this host: tritop cannot {operation.wish} it.",
                "Start and stop it where it was started.",
            )
        container = sight.container
        self._check_same(watched, container.id, operation)
        if not container.ours and not (operation.confirmed and operation.container_id):
            raise OperationFailed(
                f"the container {container.name} was not made by tritop for this operator: nothing was touched.",
                "It is touched only after a confirmation that names it.",
            )
        from tritop.runtimes.docker import this_owner
        from tritop.runtimes.docker_hand import act

        traffic: tuple[SetTraffic, ...] = ()
        if operation.wish is not Wish.START:
            traffic = await self._leave(watched.name)
            await watched.pause()
        progress(f"asking the engine to {operation.wish} {container.name}")
        try:
            await act(
                self._containers.address,
                container.id,
                operation.wish,
                owner=this_owner(),
                confirmed=operation.confirmed,
            )
        finally:
            watched.resume()
            await self._containers.look()
        if operation.wish is Wish.RESTART:
            for each in traffic:
                self._submit(each)
        return Done(f"the container {container.name} was {operation.wish.done}.")


def _is_done(wish: Wish, state: str, *, moved: bool) -> bool:
    """Whether a runtime has come to what was asked for; `moved`: it is not as it was when it was asked."""
    if wish in _NO_MORE:
        return state in _NO_MORE[wish]
    return state in _UP and (moved or wish is Wish.START)


def _is_given_up(wish: Wish, launch: Launch, *, moved: bool) -> bool:
    """Whether nothing more comes of it by itself."""
    if launch.state in ("FOREIGN", "ENGINE_LOST"):
        return True
    if wish in _NO_MORE or not moved or launch.restart_in_s is not None:
        return False
    # A restart passes through STOPPED.
    return launch.state == "FAILED" or (wish is Wish.START and launch.state in ("CRASHED", "STOPPED", "ABSENT"))


def _up_text(server: str, how: str, launch: Launch) -> str:
    if launch.state == "NOT_READY":
        return f"{server} is {how}, and is not ready: {launch.explanation}"
    return f"{server} is {how}, and ready."
