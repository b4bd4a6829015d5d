"""The traffic process and its handle, against a gRPC server of our own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.processes import is_running
from tests.tritop.load.fake_triton import eventually, fake_triton
from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, OperationFailed, RuntimeFailure, TimedOut, TritopError, Unreachable, UsageError
from tritop.load import transport
from tritop.load.control import TrafficProcess
from tritop.model import TrafficState
from tritop.protocol import grpc


def visible_to_others(pid: int | None) -> bytes:
    """Arguments and environment of a process, which `ps` shows."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def traffic(endpoint: Endpoint, **options: Any) -> AsyncIterator[TrafficProcess]:
    process = TrafficProcess(endpoint, **{"model": "m", **options})
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
        assert process.pid is not None
        assert not is_running(process.pid)


async def test_it_sends_reports_and_stops() -> None:
    async with fake_triton() as fake:
        async with traffic(fake.endpoint, batch=3) as process:
            assert process.report().state is TrafficState.STARTING
            await process.set(concurrency=4)
            await eventually(lambda: process.report().requests_per_s is not None, "a window of half a second")
            report = process.report()
            assert (report.server, report.model, report.state) == ("fake", "m", TrafficState.RUNNING)
            assert report.concurrency == 4
            assert report.requests_per_s is not None
            assert report.requests_per_s > 0
            assert report.errors_per_s == 0
            assert report.p50_us is not None
            assert report.p99_us is not None
            assert report.max_us is not None
            assert 0 < report.p50_us <= report.p99_us <= report.max_us
            assert report.client_cpu_ratio is not None
            assert fake.batches == {3}
        after = process.report()
        assert (after.state, after.fault, after.requests_per_s) == (TrafficState.STOPPED, "", None)
        sent = fake.infers
        await process.stop()
        with pytest.raises(OperationFailed, match="stopped"):
            await process.set(concurrency=1)
        assert fake.infers == sent


async def test_it_is_steered_while_it_runs() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        await process.set(concurrency=1)
        await eventually(lambda: process.report().p50_us is not None, "numbers in a closed loop")
        await process.set(rate_per_s=50.0, poisson=True)
        report = process.report()
        assert (report.concurrency, report.rate_per_s, report.poisson) == (None, 50.0, True)
        assert report.requests_per_s is None, "numbers of the closed loop, said to be of the open one"
        await eventually(lambda: process.report().p50_us is not None, "numbers in an open loop")
        with pytest.raises(UsageError):
            await process.set(concurrency=0)
        assert process.report().rate_per_s == 50.0


async def test_it_goes_on_at_the_address_that_its_server_came_back_at() -> None:
    async with fake_triton() as after:
        async with fake_triton() as before:
            endpoint = before.endpoint
            process = TrafficProcess(endpoint, model="m")
            await process.start()
            await process.set(concurrency=2)
            await eventually(lambda: before.infers > 5, "traffic to the first address")
        try:
            await eventually(lambda: bool(process.report().errors_by_kind), "errors, for nobody is there any more")
            process.move(after.endpoint)
            await eventually(lambda: after.infers > 5, "traffic to the second address")
            assert (process.report().state, process.report().concurrency) == (TrafficState.RUNNING, 2)
        finally:
            await process.stop()


async def test_a_measurement_counts_what_the_server_counted() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint, batch=2, drain_s=0.1) as process:
        await process.set(concurrency=3)
        await eventually(lambda: fake.infers > 50, "traffic")
        fake.hangs = True
        await eventually(lambda: fake.hanging == 3, "all requests hanging")
        everything = await process.conclude()
        assert everything.total.requests == fake.infers - 3
        assert everything.total.inferences == 2 * everything.total.requests
        assert (everything.total.errors, everything.unfinished) == (0, 3)
        process.measure()
        nothing = await process.conclude()
        assert (nothing.total.requests, nothing.unfinished, nothing.total.p50_us) == (0, 3, None)
        assert nothing.total.seconds < everything.total.seconds


async def test_errors_are_told_by_kind_and_traffic_goes_on_after_them() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        fake.refusal = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size 17\n at 0x1")
        await process.set(rate_per_s=100.0)
        await eventually(lambda: bool(process.report().errors_per_s), "errors")
        report = process.report()
        assert dict(report.errors_by_kind).keys() == {"UNAVAILABLE: Exceeds maximum queue size #"}
        assert (report.state, report.fault, report.p50_us) == (TrafficState.RUNNING, "", None)
        fake.refusal = None
        await eventually(lambda: process.report().p50_us is not None, "successes")


async def test_a_cancellation_by_the_server_is_an_error_like_others() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        fake.refusal = (grpc.StatusCode.CANCELLED, "by the operator")
        await process.set(concurrency=1)
        await eventually(lambda: bool(process.report().errors_per_s), "errors")
        ((kind, _),) = process.report().errors_by_kind
        assert kind.startswith("CANCELLED")
        fake.refusal = None
        await eventually(lambda: process.report().p50_us is not None, "successes")


async def test_requests_follow_a_model_that_is_changed_under_them() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        await process.set(concurrency=1)
        await eventually(lambda: bool(fake.batches), "requests of the old shape")
        fake.shape = [-1, 5]
        await eventually(lambda: bool(process.report().errors_by_kind), "refusals")
        ((kind, _),) = process.report().errors_by_kind
        assert kind == "INVALID_ARGUMENT: unexpected shape for input 'x'"
        fake.batches.clear()
        await eventually(lambda: fake.batches == {1}, "requests of the new shape")


async def test_a_server_that_goes_and_comes_back_is_errors_in_between() -> None:
    async with fake_triton() as first:
        process = TrafficProcess(first.endpoint, model="m")
        await process.start()
        await process.set(concurrency=1)
        await eventually(lambda: process.report().p50_us is not None, "successes")
    try:
        await eventually(lambda: bool(process.report().errors_per_s), "errors")
        assert process.report().state is TrafficState.RUNNING
        # The request that was under way when it went may have been cancelled.
        await eventually(
            lambda: any(kind.startswith("UNAVAILABLE") for kind, _ in process.report().errors_by_kind),
            "refused connections",
        )
        async with fake_triton(first.address) as second:
            await eventually(lambda: second.infers > 3, "traffic to the second server")
            await process.stop()
    finally:
        await process.stop()


async def refusal(endpoint: Endpoint, **options: Any) -> TritopError:
    async with traffic(endpoint, **options) as process:
        with pytest.raises(TritopError) as caught:
            await process.set(concurrency=1)
        report = process.report()
        assert report.state is TrafficState.FAILED
        assert report.fault == str(caught.value)
        return caught.value


async def test_what_cannot_be_sent_to_is_refused_with_the_kind_of_error() -> None:
    assert isinstance(await refusal(Endpoint("x", "127.0.0.1", unused_port())), Unreachable)
    async with fake_triton() as fake:
        unknown = await refusal(fake.endpoint, model="nope")
        assert isinstance(unknown, OperationFailed)
        assert "has no model nope to send traffic to" in unknown.sentence
        assert isinstance(await refusal(fake.endpoint, batch=9), UsageError)
        assert isinstance(await refusal(fake.endpoint, input_path="/absent.json"), UsageError)
        fake.required_header = ("triton-grpc-protocol-key", "secret")
        assert isinstance(await refusal(fake.endpoint), AccessDenied)
        assert fake.infers == 0


async def test_a_server_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_triton() as fake:
        fake.hangs = True
        channel = transport.GrpcTransport(fake.endpoint)
        monkeypatch.setattr(transport, "SETUP_TIMEOUT_S", 0.2)
        try:
            with pytest.raises(TimedOut):
                await channel.read_inputs("m", "")
        finally:
            await channel.close()


async def test_a_hanging_server_does_not_hold_the_stop_up() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint, drain_s=0.5) as process:
        await process.set(concurrency=3)
        await eventually(lambda: process.report().p50_us is not None, "successes")
        fake.hangs = True
        await eventually(lambda: fake.hanging == 3, "all requests hanging")
        before_s = asyncio.get_running_loop().time()
        await process.stop()
        # Draining ends after 0.5 s here and killing begins a second later; the rest is a bound on a slow machine.
        assert asyncio.get_running_loop().time() - before_s < 10.0
        assert process.report().state is TrafficState.STOPPED


async def test_headers_reach_the_server_and_no_command_line() -> None:
    async with fake_triton() as fake:
        fake.required_header = ("triton-grpc-protocol-key", "s3cret")
        endpoint = replace(fake.endpoint, headers=(fake.required_header,))
        async with traffic(endpoint) as process:
            await process.set(concurrency=1)
            await eventually(lambda: bool(fake.batches), "an admitted request")
            assert b"s3cret" not in visible_to_others(process.pid)


async def test_a_traffic_process_that_dies_is_a_fault() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        await process.set(concurrency=1)
        await eventually(lambda: process.report().p50_us is not None, "successes")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await eventually(lambda: process.report().state is TrafficState.FAILED, "the fault")
        assert "ended by itself (exit code -9)" in process.report().fault
        assert process.report().requests_per_s is None
        with pytest.raises(RuntimeFailure):
            await process.set(concurrency=2)
        with pytest.raises(RuntimeFailure):
            await process.conclude()


async def test_whoever_waits_for_a_result_learns_of_the_death() -> None:
    async with fake_triton() as fake, traffic(fake.endpoint) as process:
        await process.set(concurrency=1)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        waiting = asyncio.create_task(process.conclude())
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(RuntimeFailure, match="ended by itself"):
            await waiting


async def test_stop_before_start_and_before_set() -> None:
    process = TrafficProcess(Endpoint("x", "127.0.0.1", 1), model="m")
    await process.stop()
    assert process.report().state is TrafficState.STOPPED
    async with fake_triton() as fake, traffic(fake.endpoint) as started:
        assert started.pid is not None
    assert fake.infers == 0


PARENT = """
import asyncio, json, sys
from tritop.endpoint import Endpoint
from tritop.load.control import TrafficProcess

async def main():
    process = TrafficProcess(Endpoint("x", "127.0.0.1", int(sys.argv[1])), model="m")
    await process.start()
    await process.set(concurrency=2)
    print(process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_the_child_does_not_outlive_its_parent(number: signal.Signals) -> None:
    async with fake_triton() as fake:
        port = str(fake.endpoint.grpc_port)
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PARENT, port), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert parent.stdout is not None
            child = int(await parent.stdout.readline())
            await eventually(lambda: fake.infers > 10, "traffic")
            parent.send_signal(number)
            await parent.wait()
            await eventually(lambda: not is_running(child), "the end of the child")
        finally:
            if parent.returncode is None:
                parent.kill()
            await parent.wait()


async def test_a_child_that_is_stuck_ends_all_the_same() -> None:
    """The end of its stdin ends it even when its event loop does nothing any more."""
    code = (
        "import asyncio, sys, time\n"
        "from tritop.load.worker import CommandPipe\n"
        "async def main():\n"
        "    pipe = CommandPipe(sys.stdin.fileno(), asyncio.get_running_loop(), drain_s=0.1)\n"
        "    print(await pipe.commands.get(), flush=True)\n"
        "    time.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"aim": {}}).encode()[:5])
        await child.stdin.drain()
        child.stdin.write(json.dumps({"aim": {}}).encode()[5:] + b"\n")
        assert await child.stdout.readline() == b"{'aim': {}}\n"
        child.stdin.close()
        assert await child.wait() == 1
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
