"""Stand-ins for sources and servers, so that the session itself can be tested without either."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from tritop.endpoint import Endpoint
from tritop.errors import ReadError, RuntimeFailure
from tritop.model import Launch, Snapshot
from tritop.operation import Operation, Wish
from tritop.reading import ApiReading, Reading


class FakeCollector:
    """Says what it is told to say, and counts how often it was asked."""

    def __init__(self, name: str = "api", answer: Callable[[int], Reading] | None = None) -> None:
        self.name = name
        self.period_s: float | None = None
        self.reads = 0
        self.closed = False
        self.hang = False
        self.error: Exception | None = None
        self._answer = answer

    async def read(self) -> Reading:
        self.reads += 1
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        if self._answer is not None:
            return self._answer(self.reads)
        return ApiReading(at=time.time(), mono=time.monotonic(), live=True, ready=True, version="2.51.0")

    async def aclose(self) -> None:
        self.closed = True


class FakeHosted:
    """A server of the session that only remembers what was asked of it, in order."""

    def __init__(self, name: str = "mine", error: ReadError | None = None, log: list[str] | None = None) -> None:
        self.name = name
        self.log: list[str] = log if log is not None else []
        self.address = Endpoint(name=name, host="127.0.0.1", grpc_port=1)
        self._error = error

    @property
    def endpoint(self) -> Endpoint:
        if self._error is not None:
            raise RuntimeFailure(f"{self.name} has no address.")
        return self.address

    async def start(self, submit: Callable[[Operation], None]) -> Endpoint:
        self.log.append("start")
        if self._error is not None:
            raise self._error
        return self.endpoint

    def ask(self, wish: Wish) -> None:
        self.log.append(wish.value)

    def launch(self) -> Launch:
        return Launch(runtime="local", state="STARTING", step="loading matrix")

    async def stop(self) -> None:
        self.log.append("stop")


class Deliveries:
    """Receives Snapshots on the session's thread and hands them to the test's."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Snapshot] = queue.Queue()
        self.threads: set[str] = set()

    def __call__(self, snapshot: Snapshot) -> None:
        self.threads.add(threading.current_thread().name)
        self._queue.put(snapshot)

    def until(self, condition: Callable[[Snapshot], bool], timeout_s: float = 10.0) -> Snapshot:
        """The first Snapshot that meets the condition."""
        deadline = time.monotonic() + timeout_s
        while True:
            snapshot = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            if condition(snapshot):
                return snapshot

    def drain(self) -> list[Snapshot]:
        """Everything delivered so far."""
        snapshots = []
        while not self._queue.empty():
            snapshots.append(self._queue.get_nowait())
        return snapshots
