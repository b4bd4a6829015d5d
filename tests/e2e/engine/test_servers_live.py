"""Servers that come and go in a running session: launched, steered, found, and what the engine says of them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.engine.test_container_faults import three_free_ports
from tests.processes import wait_until
from tritop.control.ledger import Ledger
from tritop.live import LiveSession
from tritop.logs import LogLine
from tritop.model import EventKind, ModelState, Server, ServerState, Snapshot
from tritop.operation import (
    LaunchPreview,
    LaunchServer,
    Operation,
    OperationState,
    OperationStatus,
    PreviewLaunch,
    SetTraffic,
    SteerServer,
    Wish,
)
from tritop.runtimes.docker_client import engine_address
from tritop.server_spec import ServerSpec, parse_size

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FOREIGN = ["tritonserver", "--model-repository=/models", "--model-control-mode=explicit"]
PORTS = {"8001/tcp": ("127.0.0.1", None), "8002/tcp": ("127.0.0.1", None)}


class Watch:
    """A session and its newest Snapshot."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self.newest: Snapshot | None = None

    def take(self, snapshot: Snapshot) -> None:
        assert not snapshot.bug, snapshot.bug
        self.newest = snapshot

    def server(self, name: str) -> Server | None:
        servers = self.newest.servers if self.newest is not None else ()
        return next((server for server in servers if server.name == name), None)

    def until(self, name: str, condition: Callable[[Server], bool], what: str) -> Server:
        def holds() -> bool:
            server = self.server(name)
            return server is not None and condition(server)

        wait_until(holds, f"{name}: {what}")
        server = self.server(name)
        assert server is not None
        return server

    def perform(self, operation: Operation) -> OperationStatus:
        """Submit it and wait for its end."""
        before = max((one.number for one in self.newest.operations), default=0) if self.newest else 0
        self.session.submit(operation)

        def ended() -> list[OperationStatus]:
            found = self.newest.operations if self.newest is not None else ()
            over = (OperationState.DONE, OperationState.FAILED)
            return [one for one in found if one.number > before and one.operation == operation and one.state in over]

        wait_until(lambda: bool(ended()), f"{operation} ends")
        return ended()[0]


@contextmanager
def watching(stage: EngineStage, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Iterator[Watch]:
    """A session on the stage's engine, which keeps the operator's word in the stage's folders."""
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, stage.environ[name])
    fields: dict[str, Any] = {"engine": stage.address or engine_address(os.environ), "discover": True} | given
    session = LiveSession(interval_s=0.25, attended=True, **fields)
    watch = Watch(session)
    session.start(watch.take)
    try:
        wait_until(lambda: watch.newest is not None and watch.newest.engine is not None, "the engine is read")
        yield watch
    finally:
        session.stop()


def has_models(server: Server) -> bool:
    ready = {model.name for model in server.models if model.state is ModelState.READY}
    return server.state is ServerState.READY and ready == {"tiny", "pair"}


def test_a_server_is_launched_steered_and_removed(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = stage.spec("live")
    name = spec.name
    with watching(stage, monkeypatch) as watch:
        preview = watch.perform(PreviewLaunch(spec)).result
        assert isinstance(preview, LaunchPreview)
        assert preview.obstacle == ""
        assert preview.command.startswith("docker run ")
        launched = watch.perform(LaunchServer(spec))
        assert launched.state is OperationState.DONE, launched.text
        server = watch.until(name, has_models, "its models are READY")
        assert watch.perform(LaunchServer(spec)).state is OperationState.FAILED, "the name is taken"
        watch.session.submit(SetTraffic(name, "tiny", concurrency=2))
        watch.until(name, lambda one: any((model.requests_per_s or 0) > 0 for model in one.models), "traffic flows")
        server = watch.until(
            name, lambda one: one.container is not None and (one.container.cpu_cores or 0) > 0, "its CPU is known"
        )
        assert server.container is not None
        first = server.container.id
        restarted = watch.perform(SteerServer(name, Wish.RESTART, container_id=first))
        assert restarted.state is OperationState.DONE, restarted.text
        watch.until(name, has_models, "it is back")
        stopped = watch.perform(SteerServer(name, Wish.STOP, container_id=first))
        assert stopped.state is OperationState.DONE, stopped.text
        watch.until(name, lambda one: one.state is ServerState.STOPPED, "it is stopped")
        assert not stage.client.api.inspect_container(first)["State"]["Running"]
        started = watch.perform(SteerServer(name, Wish.START, container_id=first))
        assert started.state is OperationState.DONE, started.text
        watch.until(name, has_models, "it is started again")
        removed = watch.perform(SteerServer(name, Wish.REMOVE, container_id=first))
        assert removed.state is OperationState.DONE, removed.text
        wait_until(lambda: watch.server(name) is None, "it is gone")
        assert stage.containers(f"tritop-{name}") == []
    told = [(entry.kind, entry.succeeded) for entry in Ledger().entries() if entry.server == name and entry.who]
    assert told == [
        (EventKind.SERVER_LAUNCHED, True),
        (EventKind.SERVER_LAUNCHED, False),
        (EventKind.SERVER_RESTARTED, True),
        (EventKind.SERVER_STOPPED, True),
        (EventKind.SERVER_STARTED, True),
        (EventKind.SERVER_REMOVED, True),
    ]


def test_what_a_container_uses_is_what_docker_stats_says(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = stage.spec("used", memory_bytes=3 << 30)
    with watching(stage, monkeypatch) as watch:
        assert watch.perform(LaunchServer(spec)).state is OperationState.DONE
        watch.until(spec.name, has_models, "its models are READY")

        def agrees() -> bool:
            said = json.loads(stage.docker("stats", "--no-stream", "--format", "{{json .}}", spec.container_name))
            used, _, limit = said["MemUsage"].partition(" / ")
            server = watch.server(spec.name)
            assert server is not None
            container = server.container
            if container is None or container.memory_used_bytes is None or container.memory_limit_bytes is None:
                return False
            ratio = container.memory_used_bytes / parse_size(used)
            assert container.memory_limit_bytes == parse_size(limit) == 3 << 30
            # Both change all the time; the CLI rounds to four digits.
            return 0.95 < ratio < 1.05 and container.processes == int(said["PIDs"])

        wait_until(agrees, "both say the same")


def obstacle(watch: Watch, spec: ServerSpec) -> str:
    """What the form is told before anything is launched."""
    preview = watch.perform(PreviewLaunch(spec)).result
    assert isinstance(preview, LaunchPreview)
    return preview.obstacle


def test_what_is_in_the_way_is_told_before_the_launch_and_nothing_is_made(
    stage: EngineStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = three_free_ports()
    spec = stage.spec("wanted", base_port=base)
    with watching(stage, monkeypatch) as watch:
        assert obstacle(watch, spec) == ""
        with socket.create_server(("127.0.0.1", base + 1)):
            assert obstacle(watch, spec).startswith(f"Port {base + 1} is taken by ")
            assert f"(process {os.getpid()})" in obstacle(watch, spec)
        neighbour = f"{stage.prefix}-neighbour"
        stage.other(neighbour, ["sleep", "600"], ports={"80/tcp": ("127.0.0.1", base)}).start()
        assert obstacle(watch, spec).startswith(f"Port {base} is taken by the container {neighbour}.")
        assert stage.containers(spec.container_name) == []
        foreign = stage.spec("foreign")
        stage.other(foreign.container_name, ["sleep", "600"])
        assert obstacle(watch, foreign).startswith(f"A container that is not ours is named {foreign.container_name}.")
        assert watch.perform(LaunchServer(foreign)).state is OperationState.FAILED
        assert len(stage.containers(foreign.container_name)) == 1
        gone = stage.spec("gone", repository=str(stage.models / "nowhere"))
        assert str(stage.models / "nowhere") in obstacle(watch, gone)
        assert stage.containers(gone.container_name) == []


def test_a_foreign_container_is_found_and_touched_only_with_a_confirmation(
    stage: EngineStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{stage.prefix}-foreign"
    lines: list[LogLine] = []
    with watching(stage, monkeypatch) as watch:
        container = stage.other(name, FOREIGN, ports=PORTS, init=True)
        container.start()
        watch.until(name, lambda one: one.state is ServerState.READY, "it is found by itself")
        end = watch.session.follow_log(name, lines.extend)
        wait_until(lambda: bool(lines), "its log is read")
        refused = watch.perform(SteerServer(name, Wish.STOP, container_id=container.id))
        assert refused.state is OperationState.FAILED
        assert "confirmation" in refused.text
        another = watch.perform(SteerServer(name, Wish.STOP, confirmed=True, container_id="0" * 64))
        assert another.state is OperationState.FAILED
        assert stage.client.api.inspect_container(container.id)["State"]["Running"], "untouched so far"
        stopped = watch.perform(SteerServer(name, Wish.STOP, confirmed=True, container_id=container.id))
        assert stopped.state is OperationState.DONE, stopped.text
        server = watch.until(name, lambda one: one.state is ServerState.STOPPED, "it is stopped")
        assert server.models == ()
        assert server.container is not None
        assert server.container.exit_code is not None
        assert server.container.explanation
        end()
        removed = watch.perform(SteerServer(name, Wish.REMOVE, confirmed=True, container_id=container.id))
        assert removed.state is OperationState.DONE, removed.text
        wait_until(lambda: watch.server(name) is None, "it is gone")


def test_nothing_is_done_read_only(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = stage.spec("never")
    with watching(stage, monkeypatch, read_only=True) as watch:
        refused = watch.perform(LaunchServer(spec))
    assert refused.state is OperationState.FAILED
    assert "read-only" in refused.text
    assert stage.containers(spec.container_name) == []
