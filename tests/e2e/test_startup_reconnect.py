"""A server that is not there yet, is killed, and comes back: read again at once, and as a new one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from collectors.triton_api import TritonApi
from tests.e2e.triton_calls import first_reading, infer_tiny, load, until
from tests.running_triton import LoopThread
from tritop.demo.repository import write_repository
from tritop.errors import ReadError, RuntimeFailure, Unreachable
from tritop.model import ControlMode
from tritop.runtimes.local import LocalServer
from tritop.runtimes.ports import free_ports
from tritop.server_spec import Ports

pytestmark = pytest.mark.triton


class KeptPorts:
    """Gives the same ports again, as a server at a fixed address has them."""

    def __init__(self) -> None:
        self._ports = free_ports()

    def __call__(self) -> Ports:
        return self._ports


async def killed(server: LocalServer) -> None:
    """Kill the process of a server as an operator or the kernel would, and wait for its end."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)

    async def has_ended() -> bool:
        return server.launch().exit_code is not None

    await until(has_ended)


@pytest.mark.parametrize("reads_during_outage", [0, 3])
def test_killed_and_started_again(triton_loop: LoopThread, tmp_path: Path, reads_during_outage: int) -> None:
    write_repository(tmp_path / "models")
    server = LocalServer(tmp_path / "models", pick_ports=KeptPorts(), log_path=tmp_path / "tritonserver.log")

    async def scenario() -> None:
        with pytest.raises(RuntimeFailure):
            assert server.endpoint
        await server.start()
        api = TritonApi(server.endpoint)
        first = await first_reading(api)
        assert (first.live, first.control_mode) == (True, ControlMode.EXPLICIT)
        await server.wait_live()
        await load(server.endpoint, "tiny")
        await infer_tiny(server.endpoint, times=3)

        async def all_are_counted() -> bool:
            return [row.success.count for row in (await api.read()).statistics or ()] == [3]

        # An answer may come before it is counted.
        await until(all_are_counted)

        await killed(server)
        for _ in range(reads_during_outage):
            with pytest.raises(Unreachable):
                await api.read()
        await server.start()
        await server.wait_live()
        back = await api.read()
        assert (back.live, back.control_mode) == (True, ControlMode.EXPLICIT)
        assert back.statistics == ()
        await load(server.endpoint, "tiny")
        assert set((await api.read()).configs) == {("tiny", "1")}
        await api.aclose()
        await server.stop()

    try:
        triton_loop.run(scenario())
    finally:
        server.kill()


def test_a_frozen_server_is_told_from_an_absent_one(triton_loop: LoopThread, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    server = LocalServer(tmp_path / "models", log_path=tmp_path / "tritonserver.log")

    async def scenario() -> None:
        await server.start()
        await server.wait_live()
        api = TritonApi(server.endpoint, timeout_s=1.0)
        await api.read()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for _ in range(2):
                with pytest.raises(ReadError, match="no answer within"):
                    await api.read()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (await first_reading(api)).live
        await api.aclose()
        await server.stop()

    try:
        triton_loop.run(scenario())
    finally:
        server.kill()
