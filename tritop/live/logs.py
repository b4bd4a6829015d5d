"""The logs of a session's servers: who wants to see one is given its lines as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tritop.endpoint import Endpoint
from tritop.live.hosted import Hosted
from tritop.logs import HasLog, LogChunk, LogLine, LogReader, LogSource
from tritop.runtimes.log_find import find_logs, is_loopback
from tritop.runtimes.log_follow import FileLog, PathLog

Deliver = Callable[[Sequence[LogLine]], None]
MakeSource = Callable[[], LogSource]


class LogDesk:
    """Knows where each server's log is; `follow` may be called from any thread.

    The logs of hosted servers are read from the start, so that they are there after a crash or a
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
        self._sources: dict[str, LogSource] = {each.name: _source_of(each) for each in hosted}
        self._offered: dict[str, MakeSource] = {}

    def offer(self, server: str, make: MakeSource) -> None:
        """Say where the log of a server is that came later; it is read once somebody asks for it."""
        with self._lock:
            self._offered.setdefault(server, make)

    def withdraw(self, server: str) -> None:
        """Forget the log of a server that is gone, or that is now somewhere else."""
        with self._lock:
            self._offered.pop(server, None)
            source = self._sources.pop(server, None)
        if source is not None:
            source.close()

    def follow(self, server: str, deliver: Deliver) -> Callable[[], None]:
        """See `tritop.session.Session.follow_log`."""
        reader = LogReader()
        source, reason = self._source(server)
        if source is None:
            deliver(reader.read(LogChunk((), note=reason), self._clock()))
            return lambda: None
        return source.follow(lambda chunk: deliver(reader.read(chunk, self._clock())))

    def _source(self, server: str) -> tuple[LogSource | None, str]:
        """The source of a server's log, or why there is none."""
        with self._lock:
            if self._closed:
                return None, "the session has ended"
            if server not in self._sources and server in self._offered:
                self._sources[server] = self._offered[server]()
            if server not in self._sources:
                path, reason = self._path_of(server)
                if path is None:
                    return None, reason
                self._sources[server] = PathLog(path)
            return self._sources[server], ""

    def _path_of(self, server: str) -> tuple[Path | None, str]:
        """The file that a server which somebody else runs writes to."""
        endpoint = self._endpoints.get(server)
        if endpoint is None:
            return None, f"there is no server named {server}"
        if not is_loopback(endpoint.host):
            return None, f"{server} runs on {endpoint.host}: its log cannot be read from here"
        found = next((log for log in find_logs() if log.grpc_port == endpoint.grpc_port), None)
        if found is None:
            return None, f"no process of this host was found that serves {endpoint.grpc_address}"
        return found.path, found.reason.rstrip(".")

    def close(self) -> None:
        """End every source; takes a moment, for each is waited for."""
        with self._lock:
            self._closed = True
            sources = list(self._sources.values())
            self._sources.clear()
        for source in sources:
            source.close()


def _source_of(hosted: Hosted) -> LogSource:
    return hosted.log_source() if isinstance(hosted, HasLog) else FileLog(hosted.launch)
