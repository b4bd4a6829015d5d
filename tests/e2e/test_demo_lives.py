"""The demo as a session sees it, while its server is killed, moved to other ports, stopped and started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.tritop.live.fakes import Deliveries
from tritop.demo.session import NAME, DemoServer
from tritop.endpoint import Endpoint
from tritop.live import LiveSession
from tritop.logs import LogLine
from tritop.model import Launch, ModelState, Processes, Server, ServerState, Snapshot
from tritop.operation import Operation, Wish
from tritop.runtimes.supervisor import Policy
from tritop.server_spec import HOST

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

WAIT_S = 90.0
MODELS = ["matrix", "matrix", "pair", "pipeline", "tiny"]
"""The models of the demo that load, one of them in two versions."""


class SteeredServer(DemoServer):
    """The demo's server, which can be asked from the test's thread."""

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        self._loop = asyncio.get_running_loop()
        return await super().start(submit)

    def steer(self, wish: Wish) -> None:
        self._loop.call_soon_threadsafe(self.ask, wish)


class Demo:
    """A session with the demo in it."""

    def __init__(self) -> None:
        # A busy machine must come to take the port before the server is started again.
        self.server = SteeredServer(policy=Policy(back_off_s=(4.0,)))
        self.session = LiveSession(hosted=[self.server], interval_s=0.2)
        self.deliveries = Deliveries()
        self.session.start(self.deliveries)

    def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        return self.deliveries.until(condition, WAIT_S)


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo()
    try:
        yield demo
    finally:
        demo.session.stop()


def server_of(snapshot: Snapshot) -> Server:
    (server,) = snapshot.servers
    return server


def launch_of(snapshot: Snapshot) -> Launch:
    launch = server_of(snapshot).launch
    assert launch is not None
    return launch


def ready_models(snapshot: Snapshot) -> list[str]:
    """Names of the model versions that are ready, in order."""
    return sorted(model.name for model in server_of(snapshot).models if model.state is ModelState.READY)


def is_whole(snapshot: Snapshot) -> bool:
    """Whether all models are loaded and the server counts the requests of our traffic."""
    flows = any((model.requests_per_s or 0.0) > 0.0 for model in server_of(snapshot).models if model.name == "matrix")
    return ready_models(snapshot) == MODELS and flows and launch_of(snapshot).state == "READY"


def test_a_killed_demo_comes_back_even_elsewhere_and_its_traffic_goes_on(demo: Demo) -> None:
    lines: list[LogLine] = []
    demo.session.follow_log(NAME, lines.extend)
    whole = demo.until(is_whole)
    pid, before = launch_of(whole).pid, server_of(whole).endpoint
    assert pid is not None
    used = server_of(demo.until(lambda snapshot: (server_of(snapshot).processes.cpu_cores or 0.0) > 0.05)).processes
    assert used.started_at is not None
    assert 0.0 <= time.time() - used.started_at < 120.0
    assert (used.memory_used_bytes or 0) > 50_000_000, "the server and the processes of its models"
    os.kill(pid, signal.SIGKILL)
    crashed = demo.until(lambda snapshot: server_of(snapshot).state is ServerState.CRASHED)
    launch = launch_of(crashed)
    assert launch.state == "BACKOFF"
    assert server_of(crashed).processes == Processes()
    assert "SIGKILL" in launch.explanation
    assert launch.restart_in_s is not None
    with socket.create_server((HOST, int(before.rpartition(":")[2]))):
        loading = demo.until(lambda snapshot: launch_of(snapshot).step.startswith("loading"))
        assert (launch_of(loading).state, launch_of(loading).total) == ("STARTING", 5)
        whole = demo.until(is_whole)
    assert server_of(whole).endpoint not in ("", before)
    assert launch_of(whole).restarts == 1
    assert launch_of(whole).pid not in (None, pid)
    (traffic,) = demo.until(lambda snapshot: bool(snapshot.traffic[0].requests_per_s)).traffic
    assert (traffic.model, traffic.concurrency, traffic.fault) == ("matrix", 32, "")
    starts = {line.run for line in lines if "Started GRPCInferenceService" in line.text}
    assert starts == {1, 2}, "the log of the run that was killed is kept"


def test_a_stopped_demo_lives_on_and_is_started_and_restarted(demo: Demo) -> None:
    first = launch_of(demo.until(is_whole)).pid
    demo.server.steer(Wish.STOP)
    stopped = demo.until(lambda snapshot: server_of(snapshot).state is ServerState.STOPPED)
    launch = launch_of(stopped)
    assert (launch.state, launch.explanation, launch.exit_code, launch.pid) == ("STOPPED", "It was stopped.", 0, None)
    later = demo.until(lambda snapshot: snapshot.seq > stopped.seq + 5)
    assert server_of(later).state is ServerState.STOPPED
    demo.server.steer(Wish.START)
    second = launch_of(demo.until(is_whole)).pid
    demo.server.steer(Wish.RESTART)
    seen: set[ServerState] = set()

    def is_another(snapshot: Snapshot) -> bool:
        seen.add(server_of(snapshot).state)
        return is_whole(snapshot) and launch_of(snapshot).pid != second

    launch = launch_of(demo.until(is_another))
    assert len({first, second, launch.pid}) == 3
    assert launch.restarts == 0
    assert ServerState.STOPPING in seen
    assert ServerState.CRASHED not in seen, "a restart that was asked for is no crash"
