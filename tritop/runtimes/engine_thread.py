"""Blocking calls in daemon threads, so that neither the event loop nor the end of tritop waits for an engine.

The threads of asyncio's own executor are waited for when the loop ends; an engine that hangs would
keep tritop for the whole time-out of the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _Call(Generic[T]):
    """One call and the future that waits for it, on the loop that made it."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._deliver(partial(self.future.set_exception, error))
        else:
            self._deliver(partial(self.future.set_result, result))

    def _deliver(self, settle: Callable[[], None]) -> None:
        def settle_if_awaited() -> None:
            if not self.future.done():
                settle()

        # The loop may have ended meanwhile, and nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle_if_awaited)


class EngineThread:
    """One daemon thread that makes blocking calls one after another."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function in the thread and wait for what it returns or raises."""
        call = _Call(function)
        self._calls.put(call)  # type: ignore[arg-type]  # the queue does not look at the result
        return await call.future

    def close(self) -> None:
        """Let the thread end after the calls that it has been given; does not wait."""
        self._calls.put(None)


async def call_apart(function: Callable[[], T], name: str) -> T:
    """Run a long function in a daemon thread of its own."""
    call = _Call(function)
    threading.Thread(target=call.run, name=name, daemon=True).start()
    return await call.future
