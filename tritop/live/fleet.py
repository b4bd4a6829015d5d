"""The servers of a session, which come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.live.hosted import Hosted
from tritop.live.watched import Watched
from tritop.operation import Operation

MakeWatched = Callable[[str, Endpoint | None, Hosted | None], Watched]


class Fleet:
    """Every server of a session in the order in which it is shown; used on the session's loop only.

    Args:
        make: makes a server out of its name, its address and its runtime.
        submit: see `Hosted.start`.
    """

    def __init__(self, make: MakeWatched, submit: Callable[[Operation], None]) -> None:
        self._make = make
        self._submit = submit
        self._watched: list[Watched] = []
        self._starting: dict[str, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Watched]:
        return iter(tuple(self._watched))

    def find(self, name: str) -> Watched | None:
        """The server of that name, `None` where there is none."""
        return next((watched for watched in self._watched if watched.name == name), None)

    def named(self, name: str) -> Watched:
        """The server of that name.

        Raises:
            OperationFailed: there is none.
        """
        watched = self.find(name)
        if watched is None:
            raise OperationFailed(f"there is no server named {name}.")
        return watched

    def endpoint_of(self, name: str) -> Endpoint:
        """The address of a server.

        Raises:
            OperationFailed: there is no such server, or it has none yet.
        """
        endpoint = self.named(name).endpoint
        if endpoint is None:
            raise OperationFailed(f"{name} has not been started yet.")
        return endpoint

    def add(self, name: str, endpoint: Endpoint | None = None, hosted: Hosted | None = None) -> Watched:
        """Take a server in, and begin to start it where the session runs it."""
        watched = self._make(name, endpoint, hosted)
        self._watched.append(watched)
        self._begin(watched)
        return watched

    async def host(self, watched: Watched, hosted: Hosted) -> Watched:
        """Run a server from now on that was only watched; it keeps its name and its place."""
        taken = self._make(watched.name, None, hosted)
        taken.container_id = watched.container_id
        self._watched[self._watched.index(watched)] = taken
        await watched.close_feeds()
        self._begin(taken)
        return taken

    def _begin(self, watched: Watched) -> None:
        if watched.hosted is not None:
            start = watched.start(self._submit)
            self._starting[watched.name] = asyncio.create_task(start, name=f"start {watched.name}")

    async def drop(self, watched: Watched) -> None:
        """Let a server go that is gone; what its runtime started runs on."""
        self._watched.remove(watched)
        await self._start_no_more(watched.name)
        await watched.close_feeds()
        if watched.hosted is not None:
            await watched.hosted.stop()

    async def _start_no_more(self, name: str) -> None:
        task = self._starting.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Close every connection first, since an open one can hold up a server's shutdown; then stop what is hosted."""
        for name in tuple(self._starting):
            await self._start_no_more(name)
        await asyncio.gather(*(watched.close_feeds() for watched in self._watched))
        await asyncio.gather(*(watched.hosted.stop() for watched in self._watched if watched.hosted))
