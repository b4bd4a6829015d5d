"""Drives the supervisor: looks, lets it decide, has its actions done, and looks again.

Nothing is decided here. Events, finished actions and wishes only wake the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from tritop.runtimes.supervisor import (
    Action,
    Asked,
    Desired,
    Do,
    Finished,
    Input,
    Observed,
    Phase,
    Policy,
    Supervision,
    Wish,
    step,
)

_FIRST_LOOK_S, _LAST_LOOK_S, _LOOK_GROWTH = 0.5, 2.0, 1.5
"""While a server starts: seconds between two looks, growing."""
_STEADY_LOOK_S = 2.0
_DOING_LOOK_S = 0.5
_FIRST_RECONNECT_S, _LAST_RECONNECT_S = 1.0, 15.0
_LET_GO_S = 10.0
"""How long an action under way is waited for when tritop ends; the engine finishes it without us."""


class Runtime(Protocol):
    """Where a server runs, as the supervisor's driver needs it."""

    async def observe(self, state: Supervision) -> Observed:
        """Look at the engine and the server; never raises, an engine that does not answer is a finding."""
        ...

    async def perform(self, action: Action) -> Finished:
        """Do one thing; never raises."""
        ...

    def cancel(self) -> None:
        """Take the pull back that is under way."""
        ...


class Supervised:
    """One server under supervision. Drive it from one event loop.

    Args:
        runtime: looks and acts.
        desired: the operator's last word.
        keep: keeps on disk the operator's word, and the run that is being stopped, "" for none; called
            before anything follows from it.
        reload: reads both again, when another tritop had the say meanwhile.
        policy: limits and waits.
        unfinished: another tritop was killed while it stopped the run that is under way.
        monotonic: monotonic time [s].
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        desired: Desired,
        keep: Callable[[Desired, str], None],
        reload: Callable[[], tuple[Desired, str] | None],
        policy: Policy,
        unfinished: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # Where it is wanted, the end of that run is followed by a start, as that of a restart is.
        self.state = Supervision(desired=desired, since=monotonic(), restarting=unfinished)
        self.writer = True
        self._runtime = runtime
        self._keep = keep
        self._reload = reload
        self._policy = policy
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._action: asyncio.Task[None] | None = None
        self._acted = 0
        self._changed = asyncio.Condition()
        self._look_s = _FIRST_LOOK_S
        self._reconnect_s = _FIRST_RECONNECT_S

    def wake(self) -> None:
        """Look now; from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    def ask(self, wish: Wish) -> None:
        """Take an operator's wish in."""
        self._take(Asked(wish))
        self._wake.set()

    def begin(self, name: str) -> None:
        """Begin to supervise the server of that name; `end` must follow."""
        self._task = asyncio.create_task(self._run(), name=f"supervise {name}")

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            acted = self._acted
            seen = await self._runtime.observe(self.state)
            if acted != self._acted:
                # An action ended meanwhile, and what was seen may be from before it.
                continue
            if seen.engine and seen.writer and not self.writer:
                # Another tritop had the say until now.
                desired, stopping = self._reload() or (self.state.desired, "")
                unfinished = desired is Desired.RUN and stopping != "" and stopping == self.state.run
                self.state = replace(self.state, desired=desired, restarting=unfinished)
            self.writer = seen.writer if seen.engine else self.writer
            self._take(seen)
            async with self._changed:
                self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()

    async def until(self, condition: Callable[[Supervision], bool]) -> Supervision:
        """Wait until a look leads to a state that will do.

        Raises:
            TritopError: supervision has ended, such as where the operator's word could not be kept.
        """
        assert self._task is not None, "supervision was not begun"
        waiting = asyncio.ensure_future(self._met(condition))
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await self._task
            return await waiting
        finally:
            waiting.cancel()

    async def _met(self, condition: Callable[[Supervision], bool]) -> Supervision:
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self.state))
        return self.state

    @property
    def active(self) -> bool:
        """Whether supervision is under way."""
        return self._task is not None and not self._task.done()

    async def end(self) -> None:
        """Supervise no more. May be called twice."""
        if self.active:
            await self._let_go()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _let_go(self) -> None:
        """Wait a while for the action under way, a pull excepted, which is taken back."""
        action, doing = self._action, self.state.doing
        if action is None or action.done():
            return
        if doing is not None and doing.do is Do.PULL:
            self._runtime.cancel()
        await asyncio.wait({action}, timeout=_LET_GO_S)
        action.cancel()
        await asyncio.gather(action, return_exceptions=True)

    def _take(self, given: Input) -> None:
        before = self.state
        after, actions = step(before, given, self._monotonic(), self._policy)
        if (after.desired, _stopping(after)) != (before.desired, _stopping(before)):
            self._keep(after.desired, _stopping(after))
        self.state = after
        if after.phase is not before.phase:
            self._look_s = _FIRST_LOOK_S
        for action in actions:
            if action.do is Do.CANCEL:
                self._runtime.cancel()
            else:
                self._action = asyncio.create_task(
                    self._act(action), name=f"{action.do.value} {action.container_id[:12]}"
                )

    async def _act(self, action: Action) -> None:
        finished = await self._runtime.perform(action)
        self._acted += 1
        self._take(finished)
        self._wake.set()

    def _pause_s(self) -> float:
        state = self.state
        if state.phase is Phase.ENGINE_LOST:
            pause_s, self._reconnect_s = self._reconnect_s, min(_LAST_RECONNECT_S, self._reconnect_s * 2)
            return pause_s
        self._reconnect_s = _FIRST_RECONNECT_S
        if state.doing is not None:
            return _DOING_LOOK_S
        pause_s = _STEADY_LOOK_S
        if state.phase is Phase.STARTING:
            pause_s, self._look_s = self._look_s, min(_LAST_LOOK_S, self._look_s * _LOOK_GROWTH)
        waits = [at - self._monotonic() for at in (state.next_at, state.retry_at) if at is not None]
        return max(0.01, min([pause_s, *(wait for wait in waits if wait > 0)]))


def _stopping(state: Supervision) -> str:
    """The run that is about to be stopped, "" for none."""
    stops = state.restarting or (state.doing is not None and state.doing.do is Do.STOP)
    return state.run if stops and not state.run_ended else ""
