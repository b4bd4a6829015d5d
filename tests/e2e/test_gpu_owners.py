"""From a process on a GPU to the real Triton that it belongs to, through a live session and NVML's stand-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.nvml.fake_nvml import GIB, FakeNvml
from tests.nvml.hosting import fake_nvml
from tests.processes import descendants, is_running, wait_until
from tests.running_triton import RunningTriton
from tests.triton_image import provide_image
from tests.tritop.live.fakes import Deliveries
from tritop.endpoint import Endpoint
from tritop.live import LiveSession
from tritop.live.gpus import nvml_collector
from tritop.model import Snapshot

NVML_CHILD = b"collectors.nvml_child"


@pytest.fixture
def nvml(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    return fake_nvml(tmp_path, tmp_path_factory, monkeypatch)


def seen(session: LiveSession, condition: Callable[[Snapshot], bool]) -> Snapshot:
    deliveries = Deliveries()
    session.start(deliveries)
    try:
        return deliveries.until(condition, timeout_s=30.0)
    finally:
        session.stop()


def nvml_children() -> list[int]:
    """Pids of the NVML processes that this process has."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            if NVML_CHILD in Path(f"/proc/{pid}/cmdline").read_bytes() and is_running(pid):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.triton
def test_a_stub_of_a_server_that_somebody_else_started(nvml: FakeNvml, triton_server: RunningTriton) -> None:
    (stub, *_) = [pid for pid in descendants(triton_server.pid) if "stub" in Path(f"/proc/{pid}/comm").read_text()
                  or "triton_python" in Path(f"/proc/{pid}/comm").read_text()]  # fmt: skip
    mine = os.getpid()
    nvml.add_h100(proc=[f"compute {triton_server.pid} {3 * GIB}", f"compute {stub} {2 * GIB}", f"compute {mine} {GIB}"])
    nvml.write()
    session = LiveSession([triton_server.endpoint], interval_s=0.2, make_gpu_collector=nvml_collector)
    (gpu,) = seen(session, lambda snapshot: bool(snapshot.gpus)).gpus
    owners = {process.pid: process.server for process in gpu.processes}
    assert owners == {triton_server.pid: triton_server.endpoint.name, stub: triton_server.endpoint.name, mine: None}
    assert gpu.servers == (triton_server.endpoint.name,)
    wait_until(lambda: not nvml_children(), "the NVML process has ended with its session")


@pytest.mark.engine
@pytest.mark.triton
def test_a_process_in_a_container_is_a_neighbour_with_its_container(nvml: FakeNvml) -> None:
    import docker

    try:
        client = docker.DockerClient.from_env(timeout=60)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    with closing(client):
        name = f"tritop-test-gpu-{os.getpid()}"
        made = client.api.create_container(
            provide_image(client), ["sleep", "3600"], name=name, labels={"tritop-test": "1"}
        )
        try:
            client.api.start(made["Id"])
            pid = client.api.inspect_container(made["Id"])["State"]["Pid"]
            nvml.add_h100(proc=[f"compute {pid} {GIB}"])
            nvml.write()
            endpoint = Endpoint("nobody", "127.0.0.1", grpc_port=1)
            session = LiveSession([endpoint], interval_s=0.2, make_gpu_collector=nvml_collector)
            (gpu,) = seen(session, lambda snapshot: bool(snapshot.gpus)).gpus
        finally:
            client.api.remove_container(made["Id"], force=True)
    (process,) = gpu.processes
    assert (process.pid, process.name, process.container, process.server) == (pid, "sleep", made["Id"], None)
