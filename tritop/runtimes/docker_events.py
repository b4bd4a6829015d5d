"""What the engine tells of one container: wakes the supervisor, and remembers what inspection cannot show.

That somebody sent a signal, and that the kernel killed a process for want of memory, stand in no
`inspect`: `State.OOMKilled` stays false while a child was killed, and on engines before 24 it stays
true after the next start. Everything else about an event only wakes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tritop.runtimes.docker_client import open_client
from tritop.runtimes.docker_errors import EngineFailure, caught

_ACTIONS = ["create", "start", "die", "oom", "kill", "stop", "restart", "pause", "unpause", "destroy", "rename"]
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 15.0
_HARMLESS = (signal.SIGSTOP, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class RunNotes:
    """What events told of the present or last run of one container."""

    signal_sent: int | None = None
    """The last signal that somebody sent through the engine."""
    out_of_memory: int = 0
    """How often the kernel killed one of its processes."""
    ended: bool = False


class DockerEvents:
    """Reads the events of containers in a thread.

    Args:
        address: of the engine.
        name: of the containers that are meant; "" means all.
        changed: called in the thread, after each event and whenever the stream begins or ends.
    """

    def __init__(self, address: str, name: str, changed: Callable[[], None]) -> None:
        self._address = address
        self._name = name
        self._changed = changed
        self._lock = threading.Condition()
        self._notes: dict[str, RunNotes] = {}
        self._seen_ns = 0
        self._seen: set[tuple[int, str, str]] = set()
        self._stream: Any = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"docker events {name}", daemon=True)
        self._thread.start()

    def notes(self, container_id: str, wait_for_end_s: float = 0.0) -> RunNotes:
        """What is known of the last run of a container.

        Args:
            container_id: the container.
            wait_for_end_s: how long to wait for the event of its end: inspection may be faster than it.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._notes.get(container_id, RunNotes()).ended, timeout=wait_for_end_s)
            return self._notes.get(container_id, RunNotes())

    def close(self) -> None:
        """End the thread; returns at once."""
        self._closed.set()
        with self._lock:
            self._close_stream()

    def _close_stream(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._stream.close()

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._closed.is_set():
            # Whatever ends the stream is seen by the next inspection; here it only means: try again.
            with contextlib.suppress(EngineFailure, *caught()):
                self._follow()
                retry_s = _FIRST_RETRY_S
            if self._closed.is_set():
                return
            self._changed()
            self._closed.wait(retry_s)
            retry_s = min(_LAST_RETRY_S, retry_s * 2)

    def _follow(self) -> None:
        client = open_client(self._address)
        try:
            filters: dict[str, object] = {"type": "container", "event": _ACTIONS}
            if self._name:
                filters["container"] = self._name
            # The engine keeps the last 256 events, so what happened between two connections is replayed.
            since = self._seen_ns / 1e9 if self._seen_ns else None
            stream = client.api.events(decode=True, filters=filters, since=since)
            with self._lock:
                self._stream = stream
                if self._closed.is_set():
                    self._close_stream()
            self._changed()
            for event in stream:
                self._take(event)
        finally:
            with self._lock:
                self._stream = None
            client.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        container_id, action = str(actor.get("ID", "")), str(event.get("Action", ""))
        key = (int(event.get("timeNano") or 0), container_id, action)
        if key in self._seen:
            return
        if key[0] > self._seen_ns:
            self._seen_ns = key[0]
            self._seen = {one for one in self._seen if one[0] > key[0] - 2_000_000_000}
        self._seen.add(key)
        with self._lock:
            before = self._notes.get(container_id, RunNotes())
            if action == "destroy":
                self._notes.pop(container_id, None)
            else:
                self._notes[container_id] = _after(before, action, actor.get("Attributes") or {})
            self._lock.notify_all()
        self._changed()


def _after(before: RunNotes, action: str, attributes: Mapping[str, Any]) -> RunNotes:
    match action:
        case "start":
            return RunNotes()
        case "oom":
            return RunNotes(before.signal_sent, before.out_of_memory + 1, before.ended)
        case "die":
            return RunNotes(before.signal_sent, before.out_of_memory, True)
        case "kill":
            text = str(attributes.get("signal", ""))
            number = int(text) if text.isdecimal() else signal.SIGKILL
            if number not in _HARMLESS:
                return RunNotes(number, before.out_of_memory, before.ended)
    return before
