"""Operations of a live session: one task each, their statuses in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tritop.change import Preview
from tritop.errors import TritopError
from tritop.operation import LaunchPreview, Operation, OperationState, OperationStatus

KEPT_STATUSES = 50

Progress = Callable[[str], None]
"""Called with a sentence while an operation runs."""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of an operation."""

    text: str
    """A sentence."""
    result: Preview | LaunchPreview | None = None
    """What was found out or changed, field by field."""


Perform = Callable[[Operation, Progress], Awaitable[Done]]
"""Carries an operation out, or raises TritopError."""


class Operations:
    """Runs operations and keeps their statuses.

    Operations on different servers run side by side; those with the same `lane` wait for each
    other, in the order in which they were submitted.

    Args:
        perform: carries one operation out.
        lane: names what an operation must not share with another one at the same time; `None` waits for nothing.
        clock: wall time [s].
        changed: called whenever a status changed.
    """

    def __init__(
        self,
        perform: Perform,
        *,
        lane: Callable[[Operation], str | None],
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._perform = perform
        self._lane = lane
        self._clock = clock
        self._changed = changed
        self._statuses: deque[OperationStatus] = deque(maxlen=KEPT_STATUSES)
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def statuses(self) -> tuple[OperationStatus, ...]:
        """The newest operations, oldest first."""
        return tuple(self._statuses)

    def begin(self, operation: Operation) -> None:
        """Queue an operation; must be called on the session's loop."""
        self._count += 1
        self._statuses.append(OperationStatus(self._count, operation, OperationState.QUEUED, started_at=self._clock()))
        task = asyncio.create_task(self._run(self._count, operation), name=f"operation {self._count}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, number: int, operation: Operation) -> None:
        lane = self._lane(operation)
        lock = contextlib.nullcontext() if lane is None else self._locks.setdefault(lane, asyncio.Lock())
        async with lock:
            self._update(number, OperationState.RUNNING)
            try:
                done = await self._perform(operation, lambda text: self._update(number, OperationState.RUNNING, text))
            except TritopError as error:
                self._update(number, OperationState.FAILED, str(error))
            except asyncio.CancelledError:
                self._update(number, OperationState.FAILED, "tritop ended before it was done.")
                raise
            else:
                self._update(number, OperationState.DONE, done.text, done.result)

    def _update(
        self, number: int, state: OperationState, text: str = "", result: Preview | LaunchPreview | None = None
    ) -> None:
        ended = state in (OperationState.DONE, OperationState.FAILED)
        for position, status in enumerate(self._statuses):
            if status.number == number:
                finished_at = self._clock() if ended else None
                self._statuses[position] = replace(
                    status, state=state, text=text, finished_at=finished_at, result=result
                )
                break
        self._changed()

    async def close(self) -> None:
        """Cancel what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
