"""The log of a container over all its runs, followed in threads. Fulfils `tritop.logs.LogSource`."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from tritop.container_documents import seconds_of
from tritop.logs import LogChunk
from tritop.runtimes.docker_client import open_client
from tritop.runtimes.docker_errors import EngineFailure, caught
from tritop.runtimes.log_runs import RunCount, earliest_line_s

KEPT_LINES = 50_000
KEPT_BYTES = 16 * 1024 * 1024
_CHUNK_LINES = 2000
_RETRY_S = 1.0
_LINE_BYTES = 256 * 1024
"""A longer line is delivered in pieces; the engine itself cuts at 16 KiB and is joined up to here."""

StampedLine = tuple[str, bytes]
"""RFC 3339 timestamp by the engine's clock, and the line without its break."""


class DockerLog:
    """Follows a container's log from its beginning, over restarts and over another container of its name.

    Args:
        address: of the engine.
        container: its name.
    """

    def __init__(self, address: str, container: str) -> None:
        self._address = address
        self._container = container
        self._read: SimpleQueue[tuple[int, StampedLine] | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._followers: list[Callable[[LogChunk], None]] = []
        self._kept: deque[LogChunk] = deque()
        self._kept_lines = self._kept_bytes = 0
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._stream: Any = None
        self._runs = RunCount()
        self._position = ("", "")
        threading.Thread(target=self._read_on, name=f"docker log {container}", daemon=True).start()
        threading.Thread(target=self._deliver_on, name=f"docker log of {container}", daemon=True).start()

    def follow(self, deliver: Callable[[LogChunk], None]) -> Callable[[], None]:
        """See `tritop.logs.LogSource`."""
        with self._lock:
            for chunk in tuple(self._kept):
                deliver(chunk)
            self._followers.append(deliver)

        def end() -> None:
            with self._lock:
                if deliver in self._followers:
                    self._followers.remove(deliver)

        return end

    def look(self) -> None:
        """Look now whether the container runs again, instead of within a second."""
        self._wake.set()

    def close(self) -> None:
        """End both threads; returns at once."""
        self._closed.set()
        self._wake.set()
        self._read.put(None)
        with self._lock:
            if self._stream is not None:
                with contextlib.suppress(OSError, AttributeError):
                    self._stream.close()

    # -- reading --------------------------------------------------------------------------

    def _read_on(self) -> None:
        while not self._closed.is_set():
            # No engine, no container yet, or neither any more: tried again for as long as somebody wants the log.
            with contextlib.suppress(EngineFailure, *caught()):
                self._read_run()
            self._wake.wait(_RETRY_S)
            self._wake.clear()

    def _read_run(self) -> None:
        client = open_client(self._address)
        try:
            shown = client.api.inspect_container(self._container)
            container_id, run_begins_s = str(shown["Id"]), earliest_line_s(shown)
            known_id, last_stamp = self._position
            if known_id not in ("", container_id):
                self._runs.begin()
                last_stamp = ""
            since = seconds_of(last_stamp)
            stream = client.api.logs(
                container_id, stream=True, follow=True, timestamps=True, **({"since": since} if since else {})
            )
            with self._lock:
                self._stream = stream
                if self._closed.is_set():
                    return
            self._take_lines(stamped_lines(stream), container_id, run_begins_s, last_stamp)
        finally:
            with self._lock:
                self._stream = None
            client.close()

    def _take_lines(
        self, lines: Iterator[StampedLine], container_id: str, run_begins_s: float, last_stamp: str
    ) -> None:
        """Hand lines on; those that were read already, at or before the last timestamp, are left out."""
        older = (seconds_of(last_stamp) or 0.0) < run_begins_s
        self._position = (container_id, last_stamp)
        for stamp, line in lines:
            if stamp <= last_stamp:
                continue
            if older and (seconds_of(stamp) or 0.0) >= run_begins_s:
                # The first line of the run that is under way; lines before it are an earlier run's.
                self._runs.begin()
                older = False
            self._position = (container_id, stamp)
            self._read.put((self._runs.of(line), (stamp, line)))

    # -- delivering -----------------------------------------------------------------------

    def _deliver_on(self) -> None:
        carried: tuple[int, StampedLine] | None = None
        while not self._closed.is_set():
            item = carried or self._read.get()
            carried = None
            if item is None:
                return
            run, first = item
            lines = [first]
            with contextlib.suppress(Empty):
                while len(lines) < _CHUNK_LINES:
                    following = self._read.get_nowait()
                    if following is None or following[0] != run:
                        carried = following
                        break
                    lines.append(following[1])
            self._deliver(LogChunk(tuple(line for _, line in lines), run, tuple(seconds_of(at) for at, _ in lines)))

    def _deliver(self, chunk: LogChunk) -> None:
        with self._lock:
            self._kept.append(chunk)
            self._kept_lines += len(chunk.lines)
            self._kept_bytes += sum(map(len, chunk.lines))
            while len(self._kept) > 1 and (self._kept_lines > KEPT_LINES or self._kept_bytes > KEPT_BYTES):
                dropped = self._kept.popleft()
                self._kept_lines -= len(dropped.lines)
                self._kept_bytes -= sum(map(len, dropped.lines))
            for deliver in tuple(self._followers):
                deliver(chunk)


def read_log(client: Any, container: str, *, since_s: float = 0.0) -> Iterator[tuple[int, StampedLine]]:
    """What a container's log holds now, each line with the number of its run.

    Args:
        client: of the engine.
        container: its name or id.
        since_s: leave out what was written before, seconds since the epoch by the engine's clock, and
            what is more than `KEPT_LINES`; 0 leaves out nothing.

    Raises:
        DockerException: and whatever else `docker_errors.caught()` lists.
    """
    shown = client.api.inspect_container(container)
    run_begins_s, runs = earliest_line_s(shown), RunCount()
    older = True
    since = {"since": since_s, "tail": KEPT_LINES} if since_s > 0 else {}
    stream = client.api.logs(str(shown["Id"]), stream=True, follow=False, timestamps=True, **since)
    for stamp, line in stamped_lines(stream):
        if older and (seconds_of(stamp) or 0.0) >= run_begins_s:
            runs.begin()
            older = False
        yield runs.of(line), (stamp, line)


def stamped_lines(pieces: Iterator[bytes]) -> Iterator[StampedLine]:
    """Whole lines out of the engine's frames.

    A line of more than 16 KiB comes in several frames, each with the timestamp of the first and only
    the last one with a line break.
    """
    stamp, whole = "", b""
    for piece in pieces:
        at, _, text = piece.partition(b" ")
        if whole and at.decode(errors="replace") != stamp:
            yield stamp, whole
            whole = b""
        stamp = at.decode(errors="replace")
        whole += text
        if whole.endswith(b"\n") or len(whole) >= _LINE_BYTES:
            yield stamp, whole.removesuffix(b"\n").removesuffix(b"\r")
            whole = b""
    if whole:
        yield stamp, whole
