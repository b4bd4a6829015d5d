"""The supervisor's driver with a runtime that is a mere script: looking, acting, waiting, ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tritop.errors import RuntimeFailure
from tritop.operation import Wish
from tritop.runtimes.supervised import Supervised
from tritop.runtimes.supervisor import (
    Action,
    Container,
    Desired,
    Do,
    Ending,
    EndingKind,
    Finished,
    Health,
    Observed,
    Phase,
    Policy,
    Status,
    Supervision,
)


class FakeRuntime:
    """A server that starts and stops at once, unless it is held; notes what was done."""

    def __init__(self) -> None:
        self.status = Status.CREATED
        self.ending: Ending | None = None
        self.did: list[Do] = []
        self.held = asyncio.Event()
        self.held.set()

    async def observe(self, state: Supervision) -> Observed:
        started_at = "" if self.status is Status.CREATED else "once"
        container = Container("id", self.status, ours=True, started_at=started_at, ending=self.ending)
        return Observed(True, container, Health.READY)

    async def perform(self, action: Action) -> Finished:
        await self.held.wait()
        self.did.append(action.do)
        self.status = Status.RUNNING if action.do is Do.START else Status.EXITED
        return Finished(action, container_id="id")

    def cancel(self) -> None:
        raise AssertionError("nothing is pulled")


def forget(desired: Desired, stopping: str) -> None:
    """For a server whose operator's word is not kept."""


def supervised_of(runtime: FakeRuntime, keep: Callable[[Desired, str], None] = forget) -> Supervised:
    return Supervised(runtime, desired=Desired.RUN, keep=keep, reload=lambda: None, policy=Policy())


def within_a_while(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10.0):
            await scenario()

    asyncio.run(bounded())


def test_what_is_wanted_is_done_and_a_wish_is_kept_before_anything_follows() -> None:
    async def scenario() -> None:
        runtime, kept = FakeRuntime(), list[tuple[Desired, str, int]]()
        supervised = supervised_of(runtime, lambda desired, run: kept.append((desired, run, len(runtime.did))))
        supervised.begin("mine")
        await supervised.until(lambda state: state.phase is Phase.READY)
        supervised.ask(Wish.STOP)
        state = await supervised.until(lambda state: state.phase is Phase.STOPPED)
        assert state.desired is Desired.STOP
        assert runtime.did == [Do.START, Do.STOP]
        assert kept == [(Desired.STOP, "", 1), (Desired.STOP, "once", 1), (Desired.STOP, "", 2)]
        await supervised.end()
        assert not supervised.active

    within_a_while(scenario)


def test_the_end_waits_for_the_action_under_way_and_may_come_twice() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        runtime.held.clear()
        supervised = supervised_of(runtime)
        supervised.begin("mine")
        await supervised.until(lambda state: state.doing is not None)
        ending = asyncio.create_task(supervised.end())
        await asyncio.sleep(0)
        assert not ending.done()
        runtime.held.set()
        await ending
        assert runtime.did == [Do.START]
        await supervised.end()

    within_a_while(scenario)


def test_who_waits_is_told_where_the_operators_word_cannot_be_kept() -> None:
    async def scenario() -> None:
        def refuse(desired: Desired, stopping: str) -> None:
            raise RuntimeFailure("the disk is full.")

        runtime = FakeRuntime()
        supervised = supervised_of(runtime, refuse)
        supervised.begin("mine")
        await supervised.until(lambda state: state.phase is Phase.READY)
        waiting = asyncio.create_task(supervised.until(lambda state: state.phase is Phase.PAUSED))
        # The server is stopped from outside, which is a wish that is to be kept.
        runtime.status, runtime.ending = Status.EXITED, Ending(EndingKind.ASKED, "Somebody stopped it.")
        supervised.wake()
        with pytest.raises(RuntimeFailure, match="disk is full"):
            await waiting
        assert not supervised.active
        await supervised.end()

    within_a_while(scenario)
