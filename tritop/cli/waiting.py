"""Running a Session without a screen: wait for Snapshots, and always stop it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

from tritop.model import Server, Snapshot, Source, SourceState
from tritop.session import Session


class Ended(BaseException):
    """A signal asked the process to end; like KeyboardInterrupt it passes every handler of errors."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@contextmanager
def ending_by_signal() -> Iterator[None]:
    """Make the first SIGTERM or SIGHUP raise `Ended`; later ones are ignored, the cleaning up is under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        if not ended:
            ended = True
            raise Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(session: Session) -> Iterator[SimpleQueue[Snapshot]]:
    """Start a session, give the queue of its Snapshots, and stop it however the block is left."""
    arrived: SimpleQueue[Snapshot] = SimpleQueue()
    with ending_by_signal():
        try:
            session.start(arrived.put)
            yield arrived
        finally:
            session.stop()


def await_snapshot(session: Session, until: Callable[[Snapshot], bool], timeout_s: float) -> Snapshot | None:
    """Run a session until one of its Snapshots will do.

    Args:
        session: not started yet; it is stopped when this returns.
        until: asked once about each Snapshot, in order.
        timeout_s: how long to wait in all.

    Returns:
        The Snapshot that would do, the newest one after a time-out, or `None` if none came.
    """
    newest: Snapshot | None = None
    deadline = time.monotonic() + timeout_s
    with running(session) as arrived:
        while newest is None or not until(newest):
            try:
                newest = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
    return newest


class SamplingWindow:
    """Tells when one sampling window has passed for every server: two readings, so that there are rates.

    A source that cannot be read does not keep the others waiting.
    """

    def __init__(self) -> None:
        self._first_read_at: dict[tuple[str, str], float] = {}

    def __call__(self, snapshot: Snapshot) -> bool:
        """Look at the next Snapshot; True as soon as it closes the window of every server."""
        closed = [self._closed(server, snapshot) for server in snapshot.servers]
        return bool(closed) and all(closed)

    def _closed(self, server: Server, snapshot: Snapshot) -> bool:
        closed = [self._read_twice(server.name, source, snapshot) for source in server.sources]
        return bool(closed) and all(closed)

    def _read_twice(self, server: str, source: Source, snapshot: Snapshot) -> bool:
        if source.state is SourceState.WAITING:
            return False
        if source.state is not SourceState.OK or source.age_s is None:
            return True
        read_at = snapshot.mono - source.age_s
        first_read_at = self._first_read_at.setdefault((server, source.name), read_at)
        # Readings come a little early or late; half an interval tells two of them apart.
        return read_at - first_read_at >= 0.5 * snapshot.interval_s
