"""Pictures of servers, their form, a log and GPUs: containers of a real engine, and GPUs that are a stand-in.

There is no GPU where pictures are made: the real NVML binding and our child process read the stand-in library
of the tests, whose two GPUs list the real processes of the real containers.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import docker
from docker.errors import DockerException

from tests.nvml.fake_nvml import GIB, FakeNvml, build, compiler
from tests.shooting import SIZES, Shooting, TidySession
from tests.triton_image import provide_image
from tritop.demo.repository import write_repository
from tritop.live import LiveSession
from tritop.live.gpus import nvml_collector
from tritop.model import ModelState, ServerState, Snapshot
from tritop.operation import LaunchServer, SetTraffic
from tritop.runtimes.docker_client import engine_address
from tritop.server_spec import ServerSpec
from tritop.settings import Settings
from tui.app import TritopApp

OURS, THEIRS, BROKEN = "vision", "team-b-triton", "nightly"
TRITON = ["tritonserver", "--model-repository=/models", "--model-control-mode=explicit", "--load-model=tiny"]


async def shoot_servers() -> None:
    """One container of ours with traffic, one of somebody else, one that did not start; left as nothing was."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        print(f"no pictures of servers: {error}", file=sys.stderr)
        return
    with ExitStack() as leaving:
        leaving.callback(client.close)
        folder = Path(tempfile.mkdtemp(prefix="tritop-pictures-"))
        leaving.callback(shutil.rmtree, folder, ignore_errors=True)
        write_repository(folder / "models")
        shutil.rmtree(folder / "models" / "broken")
        folders = {"XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
        leaving.enter_context(mock.patch.dict(os.environ, folders))
        image = provide_image(client)
        theirs = leaving.enter_context(containers_of_others(client, image, folder / "models"))
        gpus = leaving.enter_context(stand_in_gpus(folder))
        leaving.callback(remove, client, f"tritop-{OURS}")
        await _shoot(client, ServerSpec(OURS, image=image, repository=str(folder / "models")), gpus, theirs)


@contextmanager
def containers_of_others(client: docker.DockerClient, image: str, models: Path) -> Iterator[str]:
    """A Triton that runs and one with a flag that it refuses; gives the id of the first."""
    mount = docker.types.Mount("/models", str(models), type="bind", read_only=True)
    ports = {"8001/tcp": ("127.0.0.1", None), "8002/tcp": ("127.0.0.1", None)}
    try:
        runs = client.containers.create(image, TRITON, name=THEIRS, init=True, mounts=[mount], ports=ports)
        runs.start()
        client.containers.create(image, ["tritonserver", "--no-such-flag"], name=BROKEN, init=True).start()
        yield str(runs.id)
    finally:
        remove(client, THEIRS)
        remove(client, BROKEN)


@contextmanager
def stand_in_gpus(folder: Path) -> Iterator[FakeNvml | None]:
    """The stand-in for NVML in the environment of our child process; `None` where no compiler is."""
    if compiler() is None:
        yield None
        return
    gpus = FakeNvml(build(folder), folder / "gpus.conf")
    with mock.patch.dict(os.environ, gpus.environ):
        yield gpus


def remove(client: docker.DockerClient, name: str) -> None:
    """Remove a container of the pictures, if it is there."""
    for found in client.containers.list(all=True, filters={"name": f"^/{name}$"}):
        found.remove(force=True)


def pid_of(client: docker.DockerClient, container: str) -> int:
    """Pid of a container's first process."""
    shown: dict[str, Any] = client.api.inspect_container(container)
    return int(shown["State"]["Pid"])


def serves(snapshot: Snapshot) -> bool:
    """Whether our server has its models and traffic, and every container its numbers."""
    ours = next((server for server in snapshot.servers if server.name == OURS), None)
    if ours is None or ours.container is None or not any(row.batch_sizes for row in ours.models):
        return False
    theirs = next((server for server in snapshot.servers if server.name == THEIRS), None)
    return theirs is not None and theirs.container is not None and theirs.container.cpu_cores is not None


async def _shoot(client: docker.DockerClient, spec: ServerSpec, gpus: FakeNvml | None, theirs: str) -> None:
    session = LiveSession(
        interval_s=1.0,
        attended=True,
        engine=engine_address(os.environ),
        discover=True,
        make_gpu_collector=nvml_collector if gpus is not None else None,
    )
    if gpus is not None:
        gpus.add_h100(proc=[f"compute {pid_of(client, theirs)} {7 * GIB}"])
        gpus.add_h100(utilization="4 2", power=92000, temperature=37, memory=f"{80 * GIB} {GIB} {GIB // 2}", throttle=0)
        gpus.write()
    app = TritopApp(TidySession(session), Settings())
    async with app.run_test(size=SIZES[0]) as pilot:
        shooting = Shooting(app, pilot)
        await pilot.press("7")
        session.submit(LaunchServer(spec))
        await shooting.until(
            "its start", lambda snapshot: any((one.launch and one.launch.done) for one in snapshot.servers)
        )
        await shooting.shoot("servers-starting", SIZES[0])
        await shooting.until("its models", _is_up)
        session.submit(SetTraffic(OURS, "matrix", concurrency=16))
        await shooting.until("traffic and numbers", serves)
        if gpus is not None:
            ours = f"compute {pid_of(client, spec.container_name)} {16 * GIB}"
            gpus.gpus[0]["proc"] = [ours, f"compute {pid_of(client, theirs)} {7 * GIB}"]
            gpus.write()
        await shooting.seconds(15)
        await pilot.press("g")
        for size in (SIZES[0], SIZES[2]):
            await shooting.shoot("servers", size)
        await pilot.resize_terminal(*SIZES[0])
        await pilot.press("n", *"~/models", "tab")
        await pilot.pause(2.0)  # for the preview, which comes while nothing is pressed
        await shooting.shoot("new-server", SIZES[0])
        await pilot.press("escape")
        for key, name in (("l", "log"), ("6", "gpus")):
            if key != "6" or gpus is not None:
                await pilot.press(key)
                await shooting.seconds(2)
                await shooting.shoot(name, SIZES[0])


def _loads(snapshot: Snapshot) -> bool:
    return any(server.launch is not None and bool(server.launch.done) for server in snapshot.servers)


def _is_up(snapshot: Snapshot) -> bool:
    ours = [server for server in snapshot.servers if server.name == OURS and server.state is ServerState.READY]
    return any(row.name == "matrix" and row.state is ModelState.READY for server in ours for row in server.models)
