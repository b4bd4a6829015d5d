"""Writes what tritop noticed into the ledger: reloads by others, models gone, servers restarted."""

from __future__ import annotations

import asyncio
from collections import deque

from tritop.control.author import this_author
from tritop.control.entry import Author, noticed_entry
from tritop.control.ledger import Ledger, NotRecorded
from tritop.model import Event, Snapshot

MAX_WAITING = 1000
"""Events kept while the ledger cannot be written; the oldest go first."""


class NoticedEvents:
    """Takes the new events out of Snapshots and writes them, one thread at a time. Lives on one event loop.

    Args:
        ledger: where they are written; several tritops that notice one thing write it once.
        author: who notices, this process by default.
    """

    def __init__(self, ledger: Ledger, author: Author | None = None) -> None:
        self._ledger = ledger
        self._author = author or this_author()
        self._last: Event | None = None
        self._waiting: deque[tuple[Event, str]] = deque(maxlen=MAX_WAITING)
        self._task: asyncio.Task[None] | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Take a Snapshot; returns at once."""
        endpoints = {server.name: server.endpoint for server in snapshot.servers}
        for event in self._new(snapshot.events):
            # What tritop did has an author, and its entry was written by whoever did it.
            if not event.who and not event.id and event.server in endpoints:
                self._waiting.append((event, endpoints[event.server]))
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(), name="write noticed events")

    def _new(self, events: tuple[Event, ...]) -> list[Event]:
        """Events behind the last one known: a Snapshot repeats those of the one before."""
        new: list[Event] = []
        for event in reversed(events):
            if event is self._last:
                break
            new.append(event)
        if events:
            self._last = events[-1]
        return new[::-1]

    async def _write(self) -> None:
        while self._waiting:
            batch = [noticed_entry(event, endpoint, self._author) for event, endpoint in self._waiting]
            self._waiting.clear()
            try:
                await asyncio.to_thread(self._ledger.append_noticed, batch)
            except NotRecorded:
                return  # The ledger keeps them, and writes them before the next entry.

    async def close(self) -> None:
        """Write what is still waiting."""
        if self._task is not None:
            await self._task
        await self._write()
