"""What the fixtures of conftest.py give a test: a live Triton and the loop that it lives on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

from tritop.endpoint import Endpoint
from tritop.runtimes.local import LocalServer

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, as the session has it, for tests that are not async."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 100.0) -> T:
        """Run a coroutine to its end.

        Raises:
            AssertionError: It takes longer than `timeout_s`; it is cancelled.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        finished, _ = wait([future], timeout_s)
        if not finished:
            future.cancel()
            raise AssertionError(f"{coroutine} takes longer than {timeout_s:g} s")
        return future.result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()


class RunningTriton:
    """A live server of a test.

    Attributes:
        server: the LocalServer; drive it through `run`.
        repository: the folder with its models.
    """

    def __init__(self, server: LocalServer, repository: Path, loop: LoopThread) -> None:
        self.server = server
        self.repository = repository
        self._loop = loop

    @property
    def endpoint(self) -> Endpoint:
        return self.server.endpoint

    @property
    def pid(self) -> int:
        pid = self.server.pid
        assert pid is not None, "the server does not run"
        return pid

    @property
    def log_path(self) -> Path:
        path = self.server.log_path
        assert path is not None
        return path

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop that the server lives on."""
        return self._loop.run(coroutine)

    def stop(self) -> None:
        self.run(self.server.stop())


TritonFactory = Callable[..., RunningTriton]
