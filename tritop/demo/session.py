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
from tritop.runtimes.local import LocalServer
from tritop.runtimes.local_runtime import LocalRuntime, Note
from tritop.runtimes.ports import kept_or_free
from tritop.runtimes.supervised import Supervised
from tritop.runtimes.supervisor import Desired, Phase, Policy, Supervision
from tritop.server_spec import Ports

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
        self._policy = policy or Policy()
        self._repository: DemoRepository | None = None
        self._server: LocalServer | None = None
        self._runtime: LocalRuntime | None = None
        self._supervised: Supervised | None = None
        self._submit: Callable[[Operation], None] = lambda operation: None
        self._ports: Ports | None = None

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
        self._server = LocalServer(
            folder, name=NAME, arguments=self._arguments, remove_at_end=(folder,), pick_ports=self._pick_ports
        )
        self._runtime = LocalRuntime(self._server, prepare=self._load)
        self._supervised = Supervised(
            self._runtime,
            desired=Desired.RUN,
            # The demo is wanted for as long as it is looked at: nothing outlives it.
            keep=lambda desired: None,
            reload=lambda: None,
            policy=self._policy,
        )
        self._runtime.open(self._supervised.wake)
        self._supervised.begin(NAME)
        state = await self._supervised.until(lambda state: bool(state.run) or state.phase is Phase.FAILED)
        if not state.run:
            raise RuntimeFailure(state.explanation, state.advice)
        return self.endpoint

    def _pick_ports(self) -> Ports:
        self._ports = kept_or_free(self._ports)
        return self._ports

    async def _load(self, endpoint: Endpoint, note: Note) -> None:
        assert self._repository is not None, "a server runs only once its models are written"
        await load_models(endpoint, self._repository, note)
        if self._traffic:
            # What the operator makes of it later goes on over every restart.
            self._traffic = False
            self._submit(SetTraffic(NAME, self._repository.traffic_model, concurrency=self._repository.concurrency))

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is.

        Raises:
            RuntimeFailure: it has not been started yet.
        """
        if self._server is None or self._repository is None:
            raise RuntimeFailure(f"{NAME} has not been started yet.")
        return replace(self._server.endpoint, repositories=(str(self._repository.folder),))

    @property
    def state(self) -> Supervision:
        """The supervisor's state."""
        return self._supervised.state if self._supervised is not None else Supervision()

    def ask(self, wish: Wish) -> None:
        """Start, stop or restart the server; its repository stays until tritop ends, whatever is asked.

        Raises:
            RuntimeFailure: it is not supervised.
        """
        if self._supervised is None or not self._supervised.active:
            raise RuntimeFailure(f"{NAME} is not supervised.")
        self._supervised.ask(wish)

    def launch(self) -> Launch:
        """What is known of the server now, with the model that is being loaded as its step."""
        if self._runtime is None:
            return Launch(runtime="local", state=Phase.STARTING.value, step="writing the models")
        return self._runtime.launch(self.state)

    async def stop(self) -> None:
        """Stop the server; its repository and its log go with it."""
        if self._supervised is not None:
            await self._supervised.end()
        if self._runtime is not None:
            await self._runtime.close()
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
