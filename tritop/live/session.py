"""LiveSession: a daemon thread with its own event loop; the UI may stall, sampling does not."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tritop.derive.round import Round
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.live.changes import ChangeDesk
from tritop.live.containers import ContainerDesk
from tritop.live.fleet import Fleet
from tritop.live.gpus import GpuDesk, MakeGpuCollector, is_on_this_host
from tritop.live.hosted import Hosted
from tritop.live.logs import LogDesk
from tritop.live.operations import Done, Operations, Progress
from tritop.live.servers import ServerDesk
from tritop.live.sources import collectors_of
from tritop.live.traffic import TrafficDesk
from tritop.live.watched import MakeCollectors, Watched
from tritop.logs import LogLine
from tritop.model import EMPTY_SNAPSHOT, Snapshot
from tritop.operation import (
    KeepTrial,
    ModelChange,
    ModelOperation,
    Operation,
    OperationStatus,
    PreviewChange,
    PreviewEdit,
    ReadNow,
    ReadPcie,
    RecordedOperation,
    SaveConfig,
    ServerOperation,
    SetInterval,
    SetTraffic,
    TakeBackTrial,
    Undo,
)

if TYPE_CHECKING:
    from tritop.derive.derivation import Derivation

MIN_INTERVAL_S = 0.1
MAX_INTERVAL_S = 60.0
GATHER_SHARE = 0.6
"""Share of an interval that a round waits for its slowest source; a later answer counts in the next."""
STOP_TIMEOUT_S = 20.0
"""How long `stop` waits for servers that the session runs to end gracefully."""


class LiveSession:
    """Reads live servers, derives Snapshots and carries Operations out.

    Args:
        endpoints: servers that somebody else runs.
        hosted: servers that this session runs; they are stopped with it.
        interval_s: seconds between two rounds, 0.1 to 60.
        first_interval_s: seconds between the first two rounds, so that rates show early;
            `None` keeps the interval.
        attended: an operator looks at it: what is noticed goes into the ledger, trials that were
            left open are looked for, files are compared with what runs.
        make_collectors: the sources of one server.
        make_gpu_collector: the GPUs of this host, read while a server on it is watched; `None` leaves them out.
        engine: address of the Docker engine of this host whose containers are shown, "" for none.
        discover: every Triton of that engine is a server, for as long as its container is there.
        read_only: no server is launched, started, stopped or supervised, and none that is discovered changed.
        clock: wall time [s].
        monotonic: monotonic time [s].
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint] = (),
        *,
        hosted: Sequence[Hosted] = (),
        interval_s: float = 1.0,
        first_interval_s: float | None = None,
        attended: bool = False,
        make_collectors: MakeCollectors = collectors_of,
        make_gpu_collector: MakeGpuCollector | None = None,
        engine: str = "",
        discover: bool = False,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._hosted = tuple(hosted)
        self._interval_s = min(max(interval_s, MIN_INTERVAL_S), MAX_INTERVAL_S)
        self._first_interval_s = first_interval_s
        self._attended = attended
        self._make_collectors = make_collectors
        self._make_gpu_collector = make_gpu_collector
        self._engine = engine
        self._discover = discover
        self._read_only = read_only
        self._clock = clock
        self._monotonic = monotonic
        self._deliver: Callable[[Snapshot], None] = lambda snapshot: None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._state: Derivation | None = None
        self._seq = 0
        self._published_operations: tuple[OperationStatus, ...] = ()
        self._logs: LogDesk | None = None

    # -- the Session protocol -------------------------------------------------------------

    def start(self, deliver: Callable[[Snapshot], None]) -> None:
        """Begin to read; `deliver` is called on the session's thread."""
        self._deliver = deliver
        self._logs = self._logs or LogDesk(self._endpoints, self._hosted, self._clock)
        self._thread = threading.Thread(target=self._run_thread, name="tritop-session", daemon=True)
        self._thread.start()
        self._ready.wait()

    def submit(self, operation: Operation) -> None:
        """Ask for something; ignored once the session has ended."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._begin, operation)

    def follow_log(self, server: str, deliver: Callable[[Sequence[LogLine]], None]) -> Callable[[], None]:
        """Deliver the lines of a server's log, see `LogDesk`; nothing comes before `start`."""
        return self._logs.follow(server, deliver) if self._logs is not None else lambda: None

    def stop(self) -> None:
        """End reading, traffic and hosted servers; returns when they are gone."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._end)
        thread.join(STOP_TIMEOUT_S)
        self._thread = None
        if self._logs is not None:
            self._logs.close()

    # -- the session's thread -------------------------------------------------------------

    def _run_thread(self) -> None:
        try:
            asyncio.run(self._run())
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._read_all_now = False
        self._republish = False
        self._make_desks(self._logs or LogDesk(self._endpoints, self._hosted, self._clock))
        for endpoint in self._endpoints:
            self._fleet.add(endpoint.name, endpoint)
        for hosted in self._hosted:
            self._fleet.add(hosted.name, hosted=hosted)
        self._ready.set()
        try:
            await self._rounds()
        finally:
            await self._close()

    def _make_desks(self, logs: LogDesk) -> None:
        self._fleet = Fleet(self._watch, self.submit)
        self._traffic = TrafficDesk()
        self._changes = ChangeDesk(
            self._fleet.endpoint_of,
            logs.since,
            after_change=lambda change: self._traffic.model_changed(change.server, change.model),
            changed=self._republish_soon,
            attended=self._attended,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        self._gpus = GpuDesk(self._make_gpu_collector, clock=self._clock, monotonic=self._monotonic)
        self._containers = ContainerDesk(
            self._engine,
            self._fleet,
            logs,
            discover=self._discover,
            read_only=self._read_only,
            leave=self._leave,
            changed=self._republish_soon,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        self._servers = ServerDesk(
            self._fleet,
            self._containers,
            leave=self._leave,
            submit=self.submit,
            record=self._changes.record,
            read_only=self._read_only,
            clock=self._clock,
        )
        self._operations = Operations(self._perform, lane=_lane, clock=self._clock, changed=self._wake.set)

    def _watch(self, name: str, endpoint: Endpoint | None, hosted: Hosted | None) -> Watched:
        if hosted is not None or (endpoint is not None and is_on_this_host(endpoint)):
            self._gpus.open()
        return Watched(
            name,
            endpoint=endpoint,
            hosted=hosted,
            make_collectors=self._make_collectors,
            read_only=self._read_only,
            clock=self._clock,
            monotonic=self._monotonic,
        )

    async def _leave(self, server: str) -> tuple[SetTraffic, ...]:
        """Close what is open to a server beside its sources; returns the traffic that ran."""
        traffic = await self._traffic.leave(server)
        await self._changes.forget(server)
        return traffic

    async def _rounds(self) -> None:
        """One round per interval, on a grid, so that a slow round does not shift those after it."""
        scheduled_at = self._monotonic()
        early_s: float | None = None
        while not self._stopping.is_set():
            early = early_s is not None
            early_s = self._first_interval_s if self._state is None else None
            try:
                await self._round(now=early)
            except Exception:  # noqa: BLE001  the one supervising loop: a bug must show, not end supervision
                self._deliver_bug(traceback.format_exc())
            scheduled_at = await self._sleep_after(scheduled_at, early_s)

    async def _sleep_after(self, scheduled_at: float, early_s: float | None) -> float:
        """Sleep until the next round and return when it is scheduled.

        An operation that moves on is published at once, without reading the sources again; a new
        interval counts from the last round.
        """
        while True:
            next_at = scheduled_at + (early_s or self._interval_s)
            left_s = next_at - self._monotonic()
            if left_s <= 0 or self._stopping.is_set() or self._read_all_now:
                return max(next_at, self._monotonic()) if left_s <= 0 else self._monotonic()
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()
            if self._republish or self._operations.statuses() != self._published_operations:
                self._publish()

    async def _round(self, *, now: bool) -> None:
        """Read what is due, or every source if `now` or the operator says so, and publish."""
        now, self._read_all_now = now or self._read_all_now, False
        await self._follow()
        reads = [feed.pulse(self._interval_s, now=now) for watched in self._fleet for feed in watched.feeds]
        if self._state is not None:  # starting NVML and importing the SDK take longer than the first picture may
            await self._containers.open()
            reads += [desk.pulse(self._interval_s, now=now) for desk in (self._gpus, self._containers)]
        under_way = [read for read in reads if read is not None]
        if under_way:
            # Only waiting for the reads is cancelled after its time: they go on into the next round.
            waits = [asyncio.create_task(self._stopping.wait()), asyncio.create_task(asyncio.wait(under_way))]
            await asyncio.wait(waits, timeout=self._interval_s * GATHER_SHARE, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        self._publish()

    async def _follow(self) -> None:
        """Go after hosted servers that came up at another address than before."""
        await self._containers.follow()
        for watched in self._fleet:
            if await watched.follow() and watched.endpoint is not None:
                self._traffic.move(watched.endpoint)
                await self._changes.forget(watched.name)

    def _publish(self) -> None:
        from tritop.derive.derivation import derive

        at, mono = self._clock(), self._monotonic()
        self._state = derive(
            self._state,
            Round(
                at=at,
                mono=mono,
                interval_s=self._interval_s,
                servers=tuple(watched.as_round(self._interval_s, at, mono) for watched in self._fleet),
                traffic=self._traffic.reports(),
                operations=self._operations.statuses(),
                events=self._changes.take_news(),
                trials=self._changes.trials(),
                drifts=self._changes.drifts(),
                gpus=self._gpus.as_round(self._interval_s),
                engine=self._containers.as_round(self._interval_s),
            ),
        )
        self._seq = self._state.snapshot.seq
        self._published_operations = self._operations.statuses()
        self._republish = False
        self._deliver(self._state.snapshot)
        self._changes.observe(self._state.snapshot)

    def _republish_soon(self) -> None:
        self._republish = True
        self._wake.set()

    def _deliver_bug(self, text: str) -> None:
        last = self._state.snapshot if self._state else EMPTY_SNAPSHOT
        self._deliver(replace(last, bug=text))

    async def _close(self) -> None:
        """Our connections first: an open one can hold up a server's shutdown for 30 s (facts, Triton 4.3)."""
        await self._operations.close()
        await asyncio.gather(self._traffic.close(), self._changes.close(), self._gpus.close(), self._containers.close())
        await self._fleet.close()

    def _end(self) -> None:
        self._stopping.set()
        self._wake.set()

    # -- operations -----------------------------------------------------------------------

    def _begin(self, operation: Operation) -> None:
        if isinstance(operation, SetInterval):
            self._interval_s = min(max(operation.interval_s, MIN_INTERVAL_S), MAX_INTERVAL_S)
        elif isinstance(operation, ReadNow):
            self._read_all_now = True
        elif isinstance(operation, ReadPcie):
            self._gpus.read_pcie(operation.wanted)
            return
        else:
            self._operations.begin(operation)
            return
        self._wake.set()

    async def _perform(self, operation: Operation, progress: Progress) -> Done:
        if isinstance(operation, SetTraffic):
            progress("starting")
            return Done(await self._traffic.apply(operation, self._fleet.endpoint_of(operation.server)))
        if isinstance(operation, ServerOperation):
            return await self._servers.perform(operation, progress)
        if isinstance(operation, ModelOperation | RecordedOperation):
            outcome = await self._changes.perform(operation, progress)
            return Done(outcome.text, outcome.preview)
        raise OperationFailed(f"a live session cannot do {type(operation).__name__}.")


def _lane(operation: Operation) -> str | None:
    """Changes of one model wait for each other; previews do not wait for anything.

    Nor do operations on servers, so that a start can be taken back; `ServerDesk` sees to their order.
    """
    if isinstance(operation, ServerOperation):
        return None
    if isinstance(operation, SetTraffic):
        return f"traffic {operation.server} {operation.model}"
    if isinstance(operation, PreviewEdit | PreviewChange):
        counts = isinstance(operation, PreviewChange) and operation.count_sequences  # which may take half a minute
        return f"{'count' if counts else 'preview'} {operation.server} {operation.model}"
    if isinstance(operation, KeepTrial | TakeBackTrial | Undo):
        return f"undo {operation.server}"
    if isinstance(operation, ModelChange | SaveConfig):
        return f"change {operation.server} {operation.model}"
    return ""
