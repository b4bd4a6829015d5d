"""The traffic generators of a session: one process for each model that traffic goes to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, TritopError
from tritop.model import Traffic
from tritop.operation import SetTraffic

if TYPE_CHECKING:
    from tritop.load.control import TrafficProcess

SETTLE_S = 2.0
"""After a change is in force: as long as a trial waits before it judges."""

_Key = tuple[str, str, str]


class TrafficDesk:
    """Starts, steers and stops traffic as SetTraffic operations ask."""

    def __init__(self) -> None:
        self._processes: dict[_Key, TrafficProcess] = {}
        self._wanted: dict[_Key, SetTraffic] = {}
        self._settling: set[asyncio.Task[None]] = set()

    def reports(self) -> tuple[Traffic, ...]:
        """The newest report of every generator, those that failed included until they are stopped."""
        return tuple(process.report() for process in self._processes.values())

    async def apply(self, operation: SetTraffic, endpoint: Endpoint) -> str:
        """Carry one operation out.

        Raises:
            OperationFailed: the server is read-only, or the model cannot be sent traffic to.
        """
        key = (operation.server, operation.model, operation.version)
        wanted = operation.concurrency is not None or operation.rate_per_s is not None
        process = self._processes.get(key)
        if not wanted:
            if process is None:
                return f"no traffic to {operation.model} was running"
            await process.stop()
            del self._processes[key]
            self._wanted.pop(key, None)
            return f"traffic to {operation.model} stopped"
        if endpoint.read_only:
            raise OperationFailed(
                f"{operation.server} is watched read-only: no traffic was sent.",
                "Start tritop without --read-only to send traffic to it.",
            )
        if process is not None and process.report().fault:
            await process.stop()
            process = None
        if process is None:
            from tritop.load.control import TrafficProcess

            process = TrafficProcess(endpoint, model=operation.model, version=operation.version)
            self._processes[key] = process
            await process.start()
        await process.set(concurrency=operation.concurrency, rate_per_s=operation.rate_per_s, poisson=operation.poisson)
        self._wanted[key] = operation
        if operation.concurrency is not None:
            return f"traffic to {operation.model}: {operation.concurrency} in flight"
        return f"traffic to {operation.model}: {operation.rate_per_s:g} requests/s"

    def move(self, endpoint: Endpoint) -> None:
        """Send to the server's new address from now on."""
        for (server, _, _), process in self._processes.items():
            if server == endpoint.name:
                process.move(endpoint)

    async def leave(self, server: str) -> tuple[SetTraffic, ...]:
        """Stop all traffic to a server, which is about to be stopped or gone; returns what would start it again."""
        left = []
        for key in [key for key in self._processes if key[0] == server]:
            self._wanted.pop(key, None)
            process = self._processes.pop(key)
            report = process.report()
            left.append(SetTraffic(*key, report.concurrency, report.rate_per_s, report.poisson))
            await process.stop()
        return tuple(left)

    async def model_changed(self, server: str, model: str) -> None:
        """Begin new windows for a model that was changed, at once and when it has settled.

        What came before is not what is now, and the first executions of a new copy are slow.
        """
        await self._measure_anew(server, model)

        async def later() -> None:
            await asyncio.sleep(SETTLE_S)
            await self._measure_anew(server, model)

        task = asyncio.create_task(later(), name=f"measure {model} anew")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _measure_anew(self, server: str, model: str) -> None:
        for key, operation in list(self._wanted.items()):
            process = self._processes.get(key)
            if process is None or key[:2] != (server, model) or process.report().fault:
                continue
            with contextlib.suppress(TritopError):  # the generator's own report says what is wrong with it
                await process.set(
                    concurrency=operation.concurrency, rate_per_s=operation.rate_per_s, poisson=operation.poisson
                )

    async def close(self) -> None:
        """Stop every generator; their connections are closed when this returns."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        processes = list(self._processes.values())
        self._processes.clear()
        await asyncio.gather(*(process.stop() for process in processes))

    def kill(self) -> None:
        """End every generator at once, for the way out of a crash."""
        for process in self._processes.values():
            process.kill()
