"""The traffic process: `python -m tritop.load.worker`, spoken to in `messages`.

It ends when its stdin does, which happens when its parent closes it or ends in any way.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable

from tritop.endpoint import Endpoint
from tritop.errors import TritopError
from tritop.load import messages
from tritop.load.engine import Engine
from tritop.load.latencies import Latencies
from tritop.load.messages import Message, Report, Result, Setup
from tritop.load.request_file import RequestFile
from tritop.load.requests import ModelInputs, Request, made_up_requests
from tritop.load.schedule import Aim
from tritop.load.strain import StrainGauge, TimedSelector
from tritop.load.transport import GrpcTransport

REPORT_PERIOD_S = 0.25
_EXIT_AFTER_DRAIN_S = 1.5
_REREAD_PERIOD_S = 1.0
_CHUNK_BYTES = 65536
_REFUSED = "INVALID_ARGUMENT"
"""What Triton answers to a request that does not fit the model."""


class CommandPipe:
    """Reads lines from a pipe on a daemon thread and hands them to an event loop.

    The thread also makes sure that the process ends: if the loop has not ended it a while after
    the pipe's end, whatever keeps it, the thread does.

    Attributes:
        drain_s: what the loop may take for requests in flight before that while begins.
    """

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop, drain_s: float = messages.DRAIN_S) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self.drain_s = drain_s
        self.commands: asyncio.Queue[Message | None] = asyncio.Queue()
        """`None` is the end."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        # Not sys.stdin: a thread blocked in its lock would keep the interpreter from ending.
        while chunk := os.read(self._descriptor, _CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hand_over(json.loads(line))
        self._hand_over(None)
        time.sleep(self.drain_s + _EXIT_AFTER_DRAIN_S)
        os._exit(1)

    def _hand_over(self, command: Message | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.commands.put_nowait, command)
        except RuntimeError:  # the loop is closed: the process is ending already
            return


class Worker:
    """One model's traffic, from the set-up to the end of the commands.

    Args:
        setup: what to send, and where to.
        send: writes one line to the parent.
        selector: of the event loop that it runs on.
    """

    def __init__(self, setup: Setup, send: Callable[[bytes], None], selector: TimedSelector) -> None:
        self._setup = setup
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._transport = GrpcTransport(setup.endpoint, timeout_s=setup.timeout_s)
        self._latencies = Latencies(self._loop.time())
        self._gauge = StrainGauge(lambda: selector.idle_s)
        self._engine: Engine | None = None
        self._late_before = 0

    async def run(self, commands: asyncio.Queue[Message | None]) -> None:
        """Set up, then do as told until the commands end.

        Raises:
            TritopError: the model cannot be sent traffic to; nothing was sent.
        """
        try:
            requests = await self._read_requests()
            self._engine = Engine(self._transport, requests, self._latencies, max_in_flight=self._setup.max_in_flight)
            # What was made so far stays: keep the collector from walking over it while it measures.
            gc.freeze()
            self._send(messages.encode("ready", True))
            await self._obey_and_report(self._engine, commands)
        finally:
            if self._engine is not None:
                await self._engine.close(self._setup.drain_s)
            await self._transport.close()

    async def _obey_and_report(self, engine: Engine, commands: asyncio.Queue[Message | None]) -> None:
        tasks = [
            asyncio.create_task(self._obey(engine, commands)),
            asyncio.create_task(self._report(engine)),
            asyncio.create_task(self._follow_the_model(engine)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # the first of them ends at the end of the commands, the others by a bug
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _obey(self, engine: Engine, commands: asyncio.Queue[Message | None]) -> None:
        while (command := await commands.get()) is not None:
            if "aim" in command:
                self._steer(engine, Aim(**command["aim"]))
            if "endpoint" in command:
                await self._move(engine, messages.decode_endpoint(command["endpoint"]))
            if "measure" in command:
                self._latencies.restart(self._loop.time())
                self._gauge.restart()
                self._late_before = engine.late
            if "conclude" in command:
                self._send(messages.encode("result", self._result(engine)))

    def _steer(self, engine: Engine, aim: Aim) -> None:
        self._latencies.restart_window(self._loop.time())
        engine.steer(aim, settled=lambda: self._latencies.restart_window(self._loop.time()))

    async def _move(self, engine: Engine, endpoint: Endpoint) -> None:
        """Go on at another address of the same server, whose former one is gone."""
        former, self._transport = self._transport, GrpcTransport(endpoint, timeout_s=self._setup.timeout_s)
        engine.replace_transport(self._transport)
        await former.close()

    async def _report(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(REPORT_PERIOD_S)
            engine.check()
            if engine.aim is None:
                continue
            window = self._latencies.window(self._loop.time())
            strain = self._gauge.recent()
            report = Report(
                aim=engine.aim,
                window=window,
                errors_by_kind=self._latencies.errors_by_kind(),
                in_flight=engine.in_flight,
                settled=engine.is_settled,
                late=engine.late,
                cpu_ratio=strain.cpu_ratio,
                busy_ratio=strain.busy_ratio,
                client_bound=strain.is_bound,
            )
            self._send(messages.encode("report", report))

    def _result(self, engine: Engine) -> Result:
        total = self._latencies.total(self._loop.time())
        strain = self._gauge.since_restart()
        return Result(
            total=total,
            errors_by_kind=self._latencies.errors_by_kind(),
            unfinished=engine.in_flight,
            late=engine.late - self._late_before,
            cpu_ratio=strain.cpu_ratio,
            busy_ratio=strain.busy_ratio,
            client_bound=strain.is_bound,
        )

    async def _follow_the_model(self, engine: Engine) -> None:
        """Make the requests again when the server begins to refuse them: the model was changed under us."""
        seen = 0
        while True:
            await asyncio.sleep(_REREAD_PERIOD_S)
            refused = sum(count for kind, count in self._latencies.errors_by_kind() if kind.startswith(_REFUSED))
            if refused > seen:
                # Where that fails the old requests go on being refused, which the errors by kind show.
                with contextlib.suppress(TritopError):
                    engine.replace_requests(await self._read_requests())
            seen = refused

    async def _read_requests(self) -> tuple[Request, ...]:
        model = await self._transport.read_inputs(self._setup.model, self._setup.version)
        # Making them may take a second: not on the loop, which measures meanwhile.
        return await asyncio.to_thread(self._make_requests, model)

    def _make_requests(self, model: ModelInputs) -> tuple[Request, ...]:
        setup = self._setup
        if setup.input_path:
            return RequestFile(setup.input_path).requests(model)
        return made_up_requests(model, batch=setup.batch, shapes=setup.shapes)


def _write(line: bytes) -> None:
    while line:
        line = line[os.write(sys.stdout.fileno(), line) :]


async def _main(selector: TimedSelector) -> int:
    pipe = CommandPipe(sys.stdin.fileno(), asyncio.get_running_loop())
    first = await pipe.commands.get()
    if first is None:
        return 0
    try:
        setup = Setup.from_message(first["setup"])
        pipe.drain_s = setup.drain_s
        await Worker(setup, _write, selector).run(pipe.commands)
    except TritopError as error:
        _write(messages.encode_fault(error))
        return 1
    except BrokenPipeError:
        return 0  # the parent is gone, and nobody is left to tell
    return 0


if __name__ == "__main__":
    timed_selector = TimedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(timed_selector)) as runner:
        exit_code = runner.run(_main(timed_selector))
    os._exit(exit_code)  # connections are closed; gRPC's own threads need no goodbyes
