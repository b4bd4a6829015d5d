"""The generator: keeps requests in flight, or sends them on schedule, and can be steered meanwhile.

It knows nothing of gRPC: a `Transport` sends a request and says how that went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from tritop.load.latencies import Latencies
from tritop.load.requests import Request
from tritop.load.schedule import Aim, Arrivals

MAX_IN_FLIGHT = 1024
"""Open loop: no more requests than this wait for an answer; the ones after them are sent late."""
MAX_BEHIND_S = 10.0
"""Open loop: a request that is this late is given up, and counted as an error."""
NOT_SENT = f"NOT SENT: {MAX_BEHIND_S:g} s behind schedule"

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5


class Transport(Protocol):
    """Sends one request and waits for its answer."""

    async def infer(self, body: bytes) -> str:
        """Send a serialised `ModelInferRequest`; "" if it succeeded, or the kind of error."""
        ...


class Engine:
    """Sends requests as its `Aim` says and writes down how long each took.

    Latency is counted from the moment at which a request was *due*: in a closed loop that is when
    the one before it was answered, in an open loop the time that the schedule gave it, no matter
    how late it could be sent.

    A closed loop pauses after an error, 10 ms at first and up to half a second when errors go on,
    so that a server that refuses at once is not flooded; an open loop keeps its rate.

    Must be made on the event loop that it runs on, and closed there.

    Args:
        transport: what sends.
        requests: sent in turn.
        latencies: what it writes to.
        max_in_flight: bound on an open loop.
    """

    def __init__(
        self,
        transport: Transport,
        requests: Sequence[Request],
        latencies: Latencies,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._transport = transport
        self._latencies = latencies
        self._max_in_flight = max_in_flight
        self._clock = asyncio.get_running_loop().time
        self._slots: dict[int, asyncio.Task[None]] = {}
        self._slot_target = 0
        self._schedule: asyncio.Task[None] | None = None
        self._sent: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._bug: BaseException | None = None
        self._steered = 0
        self._older_in_flight = 0
        self._settled: Callable[[], None] = lambda: None
        self.replace_requests(requests)
        self.aim: Aim | None = None
        self.in_flight = 0
        self.late = 0
        """Open loop: requests sent after their time because `max_in_flight` others were waiting."""

    def replace_requests(self, requests: Sequence[Request]) -> None:
        """Send these from now on."""
        self._requests = tuple(requests)
        self._next = 0

    def replace_transport(self, transport: Transport) -> None:
        """Send through this from now on; what is in flight comes back through the one before."""
        self._transport = transport

    @property
    def is_settled(self) -> bool:
        """Whether everything that was in flight at the last `steer` has come back."""
        return self._older_in_flight == 0

    def steer(self, aim: Aim, settled: Callable[[], None] = lambda: None) -> None:
        """Change what is sent from now on; nothing that is in flight is lost or cut off.

        An open loop that is behind drops what it had not sent yet: the new schedule begins now.

        Args:
            aim: what to send.
            settled: called when everything that is in flight now has come back, at once if nothing is.
        """
        self.aim = aim
        self._steered += 1
        self._older_in_flight = self.in_flight
        self._settled = settled
        if not self.in_flight:
            settled()
        self._slot_target = aim.concurrency or 0
        if self._schedule is not None:
            self._schedule.cancel()
            self._schedule = None
        if aim.rate_per_s is not None:
            arrivals = Arrivals(aim.rate_per_s, poisson=aim.poisson, start_s=self._clock())
            self._schedule = asyncio.create_task(self._keep_schedule(arrivals))
            self._schedule.add_done_callback(self._note_bug)
        for number in range(self._slot_target):
            if number not in self._slots:
                self._slots[number] = self._spawn(self._keep_busy(number))

    def check(self) -> None:
        """Raise what a task of this engine died of: always a bug, for `Transport` raises nothing."""
        if self._bug is not None:
            raise self._bug

    async def close(self, drain_s: float) -> None:
        """Send nothing more, give what is in flight `drain_s` to come back, and cancel the rest."""
        self._slot_target = 0
        if self._schedule is not None:
            self._schedule.cancel()
        if self._sent:
            await asyncio.wait(self._sent, timeout=drain_s)
        left = [*self._sent, *([self._schedule] if self._schedule is not None else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._sent.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sent.discard(task)
        self._note_bug(task)

    def _note_bug(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._bug = self._bug or task.exception()

    async def _keep_busy(self, number: int) -> None:
        """One of the slots of a closed loop: one request after the other."""
        pause_s = _FIRST_PAUSE_S
        try:
            while number < self._slot_target:
                self.in_flight += 1
                if await self._send(self._clock(), self._steered):
                    pause_s = _FIRST_PAUSE_S
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            del self._slots[number]

    async def _keep_schedule(self, arrivals: Arrivals) -> None:
        """An open loop: every request at its time, as far as `max_in_flight` allows."""
        while True:
            await asyncio.sleep(max(0.0, arrivals.next_s - self._clock()))
            now_s = self._clock()
            held_up = False
            while arrivals.next_s <= now_s:
                if self.in_flight >= self._max_in_flight:
                    held_up = True
                    await self._wait_for_room()
                    now_s = self._clock()
                    self._give_up_before(now_s - MAX_BEHIND_S, arrivals)
                    continue
                self.in_flight += 1
                self.late += held_up
                self._spawn(self._send_one(arrivals.next_s, self._steered))
                arrivals.advance()

    async def _wait_for_room(self) -> None:
        while self.in_flight >= self._max_in_flight:
            self._room.clear()
            await self._room.wait()

    def _give_up_before(self, time_s: float, arrivals: Arrivals) -> None:
        given_up = arrivals.skip_until(time_s)
        if given_up:
            self._latencies.failed(self._clock(), NOT_SENT, given_up)

    async def _send_one(self, due_s: float, steered: int) -> None:
        await self._send(due_s, steered)

    async def _send(self, due_s: float, steered: int) -> bool:
        """Send the next request, which has been counted as in flight; whether it succeeded.

        Args:
            due_s: what its latency is counted from.
            steered: the number of the aim that it was sent under.
        """
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        try:
            error = await self._transport.infer(request.body)
        finally:
            self.in_flight -= 1
            self._room.set()
        now_s = self._clock()
        if error:
            self._latencies.failed(now_s, error)
        else:
            self._latencies.succeeded(now_s, round((now_s - due_s) * 1e6), request.inferences)
        if steered != self._steered and self._older_in_flight:
            self._older_in_flight -= 1
            if not self._older_in_flight:
                self._settled()
        return not error
