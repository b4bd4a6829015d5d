"""The demo as a session: an embedded server, its models one by one, then traffic by itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.live import LiveSession
from tritop.live.gpus import nvml_collector
from tritop.model import Launch
from tritop.operation import Operation, SetTraffic, Wish
from tritop.runtimes.embedded_server import EmbeddedServer
from tritop.runtimes.local_runtime import Note
from tritop.runtimes.supervisor import Phase, Policy

NAME = "demo"


class DemoServer:
    """A supervised server with the demo's models, fulfilling `tritop.live.Hosted`.

    Args:
        arguments: further arguments of tritonserver.
        traffic: whether traffic starts once the models are loaded for the first time.
        policy: the supervisor's limits and waits.
    """

    def __init__(self, *, arguments: tuple[str, ...] = (), traffic: bool = True, policy: Policy | None = None) -> None:
        self.name = NAME
        self._arguments = arguments
        self._traffic = traffic
        self._policy = policy
        self._repository: DemoRepository | None = None
        self._server: EmbeddedServer | None = None
        self._submit: Callable[[Operation], None] = lambda operation: None

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        """Write the repository and begin to supervise the server; its models are loaded in every run.

        Raises:
            RuntimeFailure: no embedded Triton can run here, or the repository cannot be written.
        """
        self._submit = submit
        folder = Path(tempfile.mkdtemp(prefix="tritop-demo-"))
        try:
            self._repository = write_repository(folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeFailure(
                f"the demo's models cannot be written to {folder}: {error.strerror}.",
                "Set TMPDIR to a folder with some free space.",
            ) from error
        self._server = EmbeddedServer(
            folder,
            name=NAME,
            arguments=self._arguments,
            remove_at_end=(folder,),
            prepare=self._load,
            policy=self._policy,
        )
        await self._server.open()
        return self.endpoint

    async def _load(self, endpoint: Endpoint, note: Note) -> None:
        assert self._repository is not None, "a server runs only once its models are written"
        await load_models(endpoint, self._repository, note)
        if self._traffic:
            # Only once: what the operator makes of it goes on over every restart.
            self._traffic = False
            self._submit(SetTraffic(NAME, self._repository.traffic_model, concurrency=self._repository.concurrency))

    def _running(self) -> EmbeddedServer:
        if self._server is None:
            raise RuntimeFailure(f"{NAME} has not been started yet.")
        return self._server

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is.

        Raises:
            RuntimeFailure: it has not been started yet.
        """
        folders = (str(self._repository.folder),) if self._repository is not None else ()
        return replace(self._running().endpoint, repositories=folders)

    def ask(self, wish: Wish) -> None:
        """Start, stop or restart the server; its models stay until tritop ends, whatever is asked.

        Raises:
            RuntimeFailure: it is not supervised.
        """
        self._running().ask(wish)

    def launch(self) -> Launch:
        """What is known of the server now, with the model that is being loaded as its step."""
        if self._server is None:
            return Launch(runtime="local", state=Phase.STARTING.value, step="writing the models")
        return self._server.launch()

    async def stop(self) -> None:
        """Stop the server; its repository and its log go with it."""
        if self._server is not None:
            await self._server.stop()


def demo_session(
    *,
    interval_s: float = 1.0,
    first_interval_s: float | None = None,
    arguments: tuple[str, ...] = (),
    traffic: bool = True,
    attended: bool = False,
) -> LiveSession:
    """A session that brings its own server, models and traffic, and takes them away at its end."""
    return LiveSession(
        hosted=[DemoServer(arguments=arguments, traffic=traffic)],
        interval_s=interval_s,
        first_interval_s=first_interval_s,
        attended=attended,
        make_gpu_collector=nvml_collector,
    )
