"""One Docker engine, for asyncio: every call blocks a thread of its own and never the event loop.

Containers are named by their id once they are known: a name can be reused by somebody else.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tritop.runtimes.docker_client import CALL_TIMEOUT_S, check_listening, engine_address, open_client
from tritop.runtimes.docker_errors import EngineFailure, caught, engine_failure, pull_failure
from tritop.runtimes.docker_pull import PullProgress, stream_pull
from tritop.runtimes.docker_spec import create_arguments
from tritop.runtimes.engine_thread import EngineThread, call_apart
from tritop.runtimes.port_owner import process_at
from tritop.runtimes.server_log import clean_line
from tritop.runtimes.supervisor import EndingKind
from tritop.server_spec import MANAGED, Ports, ServerSpec

T = TypeVar("T")

_LOG_BYTES = 256 * 1024


def this_owner() -> str:
    """user@host of whoever runs this tritop: it acts by itself only on containers that bear it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class PullHandle:
    """A pull under way, for whoever wants to end it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: Any = None
        self.cancelled = False

    def attach(self, stream: Any) -> None:
        """The stream to close; called in the pull's thread."""
        with self._lock:
            self._stream = stream
            if self.cancelled:
                self._close()

    def cancel(self) -> None:
        """End the pull: the engine stops downloading as soon as nobody reads any more."""
        with self._lock:
            self.cancelled = True
            self._close()

    def _close(self) -> None:
        if self._stream is not None:
            # The socket may be gone already.
            with contextlib.suppress(OSError, AttributeError):
                self._stream.close()


class Engine:
    """The Docker engine that the environment names.

    Args:
        address: such as `unix:///var/run/docker.sock`; `None` asks the environment and Docker's contexts.
        timeout_s: how long a call may take that is not known to be long.

    Raises:
        RuntimeFailure: it is on another machine.
    """

    def __init__(self, address: str | None = None, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.address = address or engine_address(os.environ)
        self.owner = this_owner()
        self._timeout_s = timeout_s
        self._thread = EngineThread("docker engine")
        self._client: Any = None

    def close(self) -> None:
        """Let the connection go; returns at once."""
        self._thread.close()

    async def _call(self, what: str, function: Callable[[Any], T]) -> T:
        """Call a function with the client in the engine's thread.

        Raises:
            EngineFailure: whatever the engine or the connection met.
        """
        return await self._thread.call(lambda: self._with_client(what, function))

    def _with_client(self, what: str, function: Callable[[Any], T]) -> T:
        check_listening(self.address)
        if self._client is None:
            self._client = open_client(self.address, self._timeout_s)
        try:
            return function(self._client)
        except caught() as error:
            failure = engine_failure(error, what, self.address)
            if failure.kind is EndingKind.LOST:
                # Its connections are of no use any more.
                client, self._client = self._client, None
                with contextlib.suppress(*caught()):
                    client.close()
            raise failure from error

    async def _apart(self, what: str, function: Callable[[Any], T]) -> T:
        """Call a function that takes long, with a client and a thread of its own."""

        def run() -> T:
            client = open_client(self.address, self._timeout_s)
            try:
                return function(client)
            except caught() as error:
                raise engine_failure(error, what, self.address) from error
            finally:
                with contextlib.suppress(*caught()):
                    client.close()

        return await call_apart(run, f"docker: {what}")

    # -- looking --------------------------------------------------------------------------

    async def info(self) -> dict[str, Any]:
        """What the engine says about itself; `ID` is its own name."""
        return dict(await self._call("ask the engine about itself", lambda client: client.info()))

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """A container by name or id, `None` where there is none."""
        try:
            found: dict[str, Any] = await self._call(
                f"look at {container}", lambda client: client.api.inspect_container(container)
            )
        except EngineFailure as failure:
            if failure.kind is EndingKind.CANCELLED:
                return None
            raise
        return found

    async def stats(self, container_id: str) -> dict[str, Any]:
        """What a container uses, with the counters of a second before: the engine takes that second to answer.

        Raises:
            EngineFailure: it is gone, or the engine does not answer.
        """
        return dict(
            await self._apart(
                f"ask what {container_id[:12]} uses", lambda client: client.api.stats(container_id, stream=False)
            )
        )

    async def containers(self, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Every container with these labels, running or not, as the engine lists them."""
        filters = {"label": list(labels)} if labels else {}
        return list(
            await self._call("list containers", lambda client: client.api.containers(all=True, filters=filters))
        )

    async def container_at(self, port: int) -> str:
        """The container that publishes a port on this host, in words; "" for none."""
        for container in await self.containers():
            if any(published.get("PublicPort") == port for published in container.get("Ports") or ()):
                return f"the container {clean_line(_name_of(container))}"
        return ""

    async def has_image(self, image: str) -> bool:
        """Whether the engine has the image already."""
        try:
            await self._call(f"look at {image}", lambda client: client.api.inspect_image(image))
        except EngineFailure as failure:
            if failure.kind in (EndingKind.CANCELLED, EndingKind.PERMANENT):
                return False
            raise
        return True

    async def log_lines(self, container_id: str, *, since: float | None, until: float | None = None) -> tuple[str, ...]:
        """Lines of a container's log, cleaned; the last 256 KiB of what is asked for.

        Args:
            container_id: of a container that need not run.
            since: seconds since the epoch, by the engine's clock.
            until: the same; `None` is the end.
        """
        given = {key: value for key, value in (("since", since), ("until", until)) if value is not None}
        raw: bytes = await self._call(
            "read the log", lambda client: client.api.logs(container_id, tail="all" if until else 400, **given)
        )
        lines = raw[-_LOG_BYTES:].decode(errors="replace").split("\n")
        return tuple(clean_line(line) for line in lines if line.strip())

    # -- acting ---------------------------------------------------------------------------

    async def pull(self, image: str, progress: Callable[[PullProgress], None], handle: PullHandle) -> None:
        """Pull an image with Docker's own credentials.

        Args:
            image: with a tag or a digest; without one, `latest`.
            progress: called in the pull's thread.
            handle: ends it from another thread.

        Raises:
            EngineFailure: it failed, or was cancelled.
        """

        def pull(client: Any) -> None:
            from docker.utils import parse_repository_tag

            repository, tag = parse_repository_tag(image)
            try:
                events = _open_pull(client.api, repository, tag or "latest")
                handle.attach(events)
                stream_pull(events, image, progress)
            except caught() as error:
                if handle.cancelled:
                    return
                explanation = getattr(error, "explanation", None)
                if explanation is None:
                    raise
                raise pull_failure(str(explanation), image) from error

        try:
            await self._apart(f"pull {image}", pull)
        except EngineFailure:
            if not handle.cancelled:
                raise
        if handle.cancelled:
            raise EngineFailure(EndingKind.CANCELLED, f"the pull of {image} was cancelled.")
        if not await self.has_image(image):
            raise EngineFailure(EndingKind.WORLD, f"the pull of {image} ended without the image.", "Try again.")

    async def create(self, spec: ServerSpec, ports: Ports, environ: Mapping[str, str]) -> str:
        """Make the container of a spec and return its id.

        Raises:
            EngineFailure: the engine refused it.
            UsageError: a variable that it is to be given is not set.
        """

        def create(client: Any) -> str:
            arguments = create_arguments(spec, ports, self.owner, environ, client.api._version)
            return str(client.api.create_container(**arguments)["Id"])

        return await self._call(f"make the container {spec.container_name}", create)

    async def start(self, container_id: str) -> None:
        """Start a container; one that runs already is left as it is.

        Raises:
            EngineFailure: the engine could not; the owner of a taken port is named.
        """
        try:
            await self._apart("start it", lambda client: client.api.start(container_id))
        except EngineFailure as failure:
            if failure.port is None:
                raise
            raise await self._with_port_owner(failure, failure.port) from failure

    async def _with_port_owner(self, failure: EngineFailure, port: int) -> EngineFailure:
        owner = await self.container_at(port) or process_at(port)
        if not owner:
            return failure
        return EngineFailure(failure.kind, f"port {port} is taken by {owner}.", failure.advice, port=port)

    async def stop(self, container_id: str, timeout_s: int) -> None:
        """Stop a container of ours; the engine kills it when the time is over. One that is gone counts as stopped.

        Raises:
            EngineFailure: the engine could not.
        """

        def stop(client: Any) -> None:
            shown = client.api.inspect_container(container_id)
            _must_be_managed(shown)
            if (shown.get("State") or {}).get("Paused"):
                # A frozen process cannot end; it would be killed after the whole time.
                client.api.unpause(container_id)
            client.api.stop(container_id, timeout=timeout_s)

        await self._gone_is_fine(self._apart("stop it", stop))

    async def remove(self, container_id: str) -> None:
        """Remove a container of ours that does not run; the engine refuses to remove one that does.

        Raises:
            EngineFailure: the engine refused.
        """

        def remove(client: Any) -> None:
            _must_be_managed(client.api.inspect_container(container_id))
            client.api.remove_container(container_id, force=False, v=False)

        await self._gone_is_fine(self._call("remove it", remove))

    async def take_over(self, container_id: str) -> None:
        """Let the engine no longer restart a container of ours by itself.

        Raises:
            EngineFailure: the engine refused.
        """

        def update(client: Any) -> None:
            _must_be_managed(client.api.inspect_container(container_id))
            client.api.update_container(container_id, restart_policy={"Name": "no"})

        await self._gone_is_fine(self._call("change its restart policy", update))

    async def _gone_is_fine(self, call: Any) -> None:
        try:
            await call
        except EngineFailure as failure:
            if failure.kind is not EndingKind.CANCELLED:
                raise


def _open_pull(api: Any, repository: str, tag: str) -> Any:
    """The stream of `/images/create`, which another thread may close.

    `APIClient.pull` gives a plain generator, which cannot be closed while it waits for the next event.
    """
    from docker import auth
    from docker.types import CancellableStream

    registry, _ = auth.resolve_repository_name(repository)
    header = auth.get_config_header(api, registry)
    response = api._post(
        api._url("/images/create"),
        params={"fromImage": repository, "tag": tag},
        headers={"X-Registry-Auth": header} if header else {},
        stream=True,
        timeout=None,
    )
    api._raise_for_status(response)
    return CancellableStream(api._stream_helper(response, decode=True), response)


def _must_be_managed(inspected: Mapping[str, Any]) -> None:
    """The last look before the hand: what does not bear our label is never touched."""
    if ((inspected.get("Config") or {}).get("Labels") or {}).get(MANAGED) != "1":
        raise EngineFailure(EndingKind.PERMANENT, "that container is not one of tritop's.")


def _name_of(listed: Mapping[str, Any]) -> str:
    names = listed.get("Names") or [str(listed.get("Id", ""))[:12]]
    return str(names[0]).lstrip("/")
