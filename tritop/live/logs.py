"""The logs of a session's servers: who wants to see one is given its lines as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure
from tritop.live.hosted import Hosted
from tritop.logs import HasLog, LogChunk, LogLine, LogReader, LogSource
from tritop.runtimes.log_find import log_file_of
from tritop.runtimes.log_place import FilePlace, LaunchPlace

Deliver = Callable[[Sequence[LogLine]], None]


class LogDesk:
    """Knows where each server's log is; may be used from any thread.

    The logs of hosted servers are followed from the start, so that they are there after a crash or a
    restart; that of another server on this host only once somebody asks for it.

    Args:
        endpoints: servers that somebody else runs.
        hosted: servers of the session.
        clock: wall time [s].
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], hosted: Sequence[Hosted], clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._places: dict[str, HasLog] = {
            each.name: each if isinstance(each, HasLog) else LaunchPlace(each.launch) for each in hosted
        }
        self._sources = {name: place.log_source() for name, place in self._places.items()}

    def offer(self, server: str, place: HasLog) -> None:
        """Say where the log of a server is that came later; it is read once somebody asks for it."""
        with self._lock:
            self._places.setdefault(server, place)

    def withdraw(self, server: str) -> None:
        """Forget the log of a server that is gone, or that is now somewhere else."""
        with self._lock:
            self._places.pop(server, None)
            source = self._sources.pop(server, None)
        if source is not None:
            source.close()

    def follow(self, server: str, deliver: Deliver) -> Callable[[], None]:
        """See `tritop.session.Session.follow_log`."""
        reader = LogReader()
        try:
            source = self._source(server)
        except RuntimeFailure as failure:
            deliver(reader.read(LogChunk((), note=failure.sentence.rstrip(".")), self._clock()))
            return lambda: None
        return source.follow(lambda chunk: deliver(reader.read(chunk, self._clock())))

    def since(self, server: str, at: float) -> Iterator[LogChunk]:
        """What a server wrote from a wall time [s since the epoch] on, read anew; it may begin earlier. Blocks.

        Raises:
            RuntimeFailure: it cannot be read from here.
        """
        with self._lock:
            place = self._place(server)
        return place.log_since(at)

    def _source(self, server: str) -> LogSource:
        with self._lock:
            if self._closed:
                raise RuntimeFailure("the session has ended.")
            if server not in self._sources:
                self._sources[server] = self._place(server).log_source()
            return self._sources[server]

    def _place(self, server: str) -> HasLog:
        """Where a server's log is.

        Raises:
            RuntimeFailure: it cannot be read from here.
        """
        if server in self._places:
            return self._places[server]
        endpoint = self._endpoints.get(server)
        if endpoint is None:
            raise RuntimeFailure(f"there is no server named {server}.")
        # Not kept: the next one at the address may be another process.
        return FilePlace(log_file_of(endpoint))

    def close(self) -> None:
        """End every source; takes a moment, for each is waited for."""
        with self._lock:
            self._closed = True
            sources = list(self._sources.values())
            self._sources.clear()
        for source in sources:
            source.close()
