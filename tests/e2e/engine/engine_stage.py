"""A stage on a real engine: servers under supervision, containers of others, and all of them gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError

from tests.e2e.engine.private_engine import PrivateEngine
from tests.running_triton import LoopThread
from tritop.endpoint import Endpoint
from tritop.runtimes.desired import Desk
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_client import CALL_TIMEOUT_S
from tritop.runtimes.docker_server import DockerServer
from tritop.runtimes.supervisor import Desired, Phase, Policy, Supervision, Wish
from tritop.server_spec import ServerSpec

WAIT_S = 90.0
QUICK = Policy(world_retry_s=1.0)
"""As the operator has it, but a taken port is tried again after a second."""


class Hosted:
    """One supervised server of a test, driven from the test's thread."""

    def __init__(self, stage: EngineStage, server: DockerServer) -> None:
        self._stage = stage
        self.server = server

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def container_name(self) -> str:
        return f"tritop-{self.server.name}"

    @property
    def state(self) -> Supervision:
        return self.server.state

    @property
    def endpoint(self) -> Endpoint:
        return self.server.endpoint

    def open(self) -> Hosted:
        self._stage.run(self.server.open())
        return self

    def until(self, condition: Callable[[Supervision], bool]) -> Supervision:
        async def wait() -> Supervision:
            async with asyncio.timeout(WAIT_S):
                return await self.server.until(condition)

        try:
            state: Supervision = self._stage.run(wait())
        except TimeoutError:
            raise AssertionError(f"waited in vain at {self.state}\n{self.server.launch()}") from None
        return state

    def until_phase(self, *phases: Phase) -> Supervision:
        return self.until(lambda state: state.phase in phases and state.doing is None)

    def until_ready(self) -> Supervision:
        return self.until_phase(Phase.READY)

    def ask(self, wish: Wish) -> None:
        async def ask() -> None:
            self.server.ask(wish)

        self._stage.run(ask())

    def let_go(self) -> None:
        self._stage.run(self.server.stop())

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self._stage.client.api.inspect_container(self.container_name)
        return found


class EngineStage:
    """Makes servers with names of its own, and leaves nothing.

    Attributes:
        client: a client of the test's own.
        image: the Triton image.
        models: a repository with two small models, which the test may change.
        address: of another engine than the environment's.
        engine_timeout_s: how long a supervisor waits for an answer of the engine.
    """

    def __init__(self, client: docker.DockerClient, image: str, models: Path, folder: Path, loop: LoopThread) -> None:
        self.client = client
        self.image = image
        self.models = models
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        self.address: str | None = None
        self.engine_timeout_s = CALL_TIMEOUT_S
        self._folder = folder
        self._loop = loop
        self._servers: list[Hosted] = []
        self._others: list[str] = []
        self._processes: list[subprocess.Popen[str]] = []

    def run(self, coroutine: Any) -> Any:
        return self._loop.run(coroutine)

    @property
    def desk(self) -> Desk:
        return Desk(
            self.client.info()["ID"], folder=self._folder / "state" / "tritop", locks=self._folder / "run" / "tritop"
        )

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a tritop of its own, with this stage's folders and nobody's configuration."""
        (self._folder / "run").mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRITOP_", "XDG_", "SSH_"))}
        folders = {"XDG_STATE_HOME": self._folder / "state", "XDG_RUNTIME_DIR": self._folder / "run"}
        engine = {"DOCKER_HOST": self.address} if self.address else {}
        return kept | {name: str(folder) for name, folder in folders.items()} | {"HOME": str(self._folder)} | engine

    def tritop(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a tritop on the command line; killed at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tritop", *arguments],
            cwd=self._folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def answer(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a tritop."""
        process = self.tritop(*arguments)
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err

    def spec(self, name: str = "a", **given: Any) -> ServerSpec:
        fields: dict[str, Any] = {"image": self.image, "repository": str(self.models), "exit_timeout_s": 5}
        return ServerSpec(f"{self.prefix}-{name}", **(fields | given))

    def hosted(
        self, spec: ServerSpec | None = None, *, wish: Wish | None = Wish.START, policy: Policy = QUICK
    ) -> Hosted:
        engine = Engine(self.address, timeout_s=self.engine_timeout_s)
        server = DockerServer(spec or self.spec(), engine, wish=wish, policy=policy, desk=self.desk)
        hosted = Hosted(self, server)
        self._servers.append(hosted)
        return hosted

    def up(self, spec: ServerSpec | None = None, *, policy: Policy = QUICK) -> Hosted:
        """A server that is READY."""
        hosted = self.hosted(spec, policy=policy).open()
        hosted.until_ready()
        return hosted

    def desired(self, hosted: Hosted) -> Desired:
        wanted = self.desk.load(hosted.name)
        assert wanted is not None
        return wanted.desired

    def other(self, name: str, command: list[str], **given: Any) -> Any:
        """A container of somebody else."""
        self._others.append(name)
        return self.client.containers.create(self.image, command, name=name, **given)

    def containers(self, name: str) -> list[Any]:
        """Every container whose name begins like that, running or not."""
        return [one for one in self.client.api.containers(all=True) if one["Names"][0].lstrip("/").startswith(name)]

    def docker(self, *arguments: str) -> str:
        """What somebody does with docker's own command line, and what it prints."""
        environ = os.environ | ({"DOCKER_HOST": self.address} if self.address else {})
        done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, env=environ)
        return done.stdout

    def kill_triton(self, container: str) -> None:
        """Kill the server inside a container, as the kernel would: its first process lives on and ends by itself."""
        processes = self.client.api.top(container, ps_args="-eo pid,comm")["Processes"]
        (pid,) = [int(pid) for pid, command in processes if command == "tritonserver"]
        os.kill(pid, signal.SIGKILL)

    def clean(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate(timeout=WAIT_S)
        for hosted in self._servers:
            self._loop.run(hosted.server.stop())
        for listed in self.containers(f"tritop-{self.prefix}"):
            remove(self.client, listed["Id"])
        for name in self._others:
            remove(self.client, name)


@contextmanager
def stage_on(engine: PrivateEngine, image: str, models: Path, folder: Path, loop: LoopThread) -> Iterator[EngineStage]:
    """A stage on an engine of a test's own, which has the image."""
    client = engine.client()
    stage = EngineStage(client, image, models, folder, loop)
    stage.address = engine.address
    try:
        yield stage
    finally:
        stage.clean()
        client.close()


def remove(client: docker.DockerClient, container: str) -> None:
    """Remove a container of a test, whatever it does."""
    try:
        client.api.remove_container(container, force=True)
    except APIError as error:
        # Gone already, or somebody else removes it at this moment.
        if error.status_code not in (404, 409):
            raise
