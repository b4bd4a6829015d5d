"""The demo as a session: an embedded server, its models one by one, then traffic by itself."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure, TritopError
from tritop.live import LiveSession
from tritop.live.gpus import nvml_collector
from tritop.model import Launch
from tritop.operation import Operation, SetTraffic, Wish
from tritop.runtimes.local import LocalServer

NAME = "demo"
LIVE_TIMEOUT_S = 60.0


class DemoServer:
    """A hosted server with the demo's models, fulfilling `tritop.live.Hosted`.

    Args:
        arguments: further arguments of tritonserver.
        traffic: whether traffic starts once the models are loaded.
    """

    def __init__(self, *, arguments: tuple[str, ...] = (), traffic: bool = True) -> None:
        self.name = NAME
        self._arguments = arguments
        self._traffic = traffic
        self._server: LocalServer | None = None
        self._repository: DemoRepository | None = None
        self._steering: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._progress: tuple[int, int, str] | None = None
        self._fault = ""

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        """Write the repository and start the server; its models are loaded in a task.

        Raises:
            RuntimeFailure: no embedded Triton can run here, or the repository cannot be written.
        """
        folder = Path(tempfile.mkdtemp(prefix="tritop-demo-"))
        try:
            repository = write_repository(folder)
            self._server = LocalServer(folder, name=NAME, arguments=self._arguments, remove_at_end=(folder,))
            await self._server.start()
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeFailure(
                f"the demo's models cannot be written to {folder}: {error.strerror}.",
                "Set TMPDIR to a folder with some free space.",
            ) from error
        except TritopError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._loading = asyncio.create_task(self._load(self._server, repository, submit), name="load the demo's models")
        self._repository = repository
        return self.endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is.

        Raises:
            RuntimeFailure: it has not been started yet.
        """
        if self._server is None or self._repository is None:
            raise RuntimeFailure(f"{NAME} has not been started yet.")
        return replace(self._server.endpoint, repositories=(str(self._repository.folder),))

    def ask(self, wish: Wish) -> None:
        """Start, stop or restart the server; with its container, which it does not have, nothing is removed.

        Raises:
            RuntimeFailure: it has not been started yet, or another wish is being carried out.
        """
        if self._server is None or self._repository is None:
            raise RuntimeFailure(f"{NAME} has not been started yet.")
        if self._steering is not None and not self._steering.done():
            raise RuntimeFailure(f"{NAME} is being started or stopped already.", "Wait until that is done.")
        steering = self._steer(self._server, self._repository, wish)
        self._steering = asyncio.create_task(steering, name=f"{wish} {NAME}")

    async def _steer(self, server: LocalServer, repository: DemoRepository, wish: Wish) -> None:
        if wish is Wish.START and server.pid is not None:
            return
        await self._load_no_more()
        self._progress, self._fault = None, ""
        try:
            await server.halt()
            if wish in (Wish.START, Wish.RESTART):
                await server.start()
                await self._load(server, repository, lambda operation: None)
        except TritopError as error:
            self._fault = str(error)

    async def _load(self, server: LocalServer, repository: DemoRepository, submit: Callable[[Operation], None]) -> None:
        try:
            await server.wait_live(LIVE_TIMEOUT_S)
            await load_models(server.endpoint, repository, self._note)
        except TritopError as error:
            self._fault = str(error)
            return
        if self._traffic:
            submit(SetTraffic(NAME, repository.traffic_model, concurrency=repository.concurrency))

    def _note(self, done: int, total: int, model: str) -> None:
        self._progress = (done, total, model)

    def launch(self) -> Launch:
        """The server's own status, with the model that is being loaded as its step."""
        if self._server is None:
            return Launch(runtime="local", state="STARTING", step="writing the models")
        launch = self._server.launch()
        if self._fault and not launch.explanation:
            return replace(launch, explanation=self._fault)
        if self._progress is None:
            return launch
        done, total, model = self._progress
        return replace(launch, step=f"loading {model}" if model else "", done=done, total=total)

    async def stop(self) -> None:
        """Stop the server; its repository and its log go with it."""
        if self._steering is not None:
            self._steering.cancel()
            await asyncio.gather(self._steering, return_exceptions=True)
        await self._load_no_more()
        if self._server is not None:
            await self._server.stop()

    async def _load_no_more(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)


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
