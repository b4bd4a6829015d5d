"""Drives trials: begins them, watches the rails, takes them back, and finds those that were left open."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

from tritop.change import ChangeClass, Outcome, Preview
from tritop.control.author import is_running
from tritop.control.entry import Entry
from tritop.control.recorded import Progress, RecordedControl
from tritop.control.trial import Interval, Trial, interval_of
from tritop.control.turn import Busy
from tritop.control.undo import open_trials, same_config
from tritop.errors import OperationFailed, TritopError
from tritop.model import EventKind, Snapshot
from tritop.operation import EditConfig, KeepTrial, TakeBackTrial, Undo
from tritop.trial import DEFAULT_RAILS, TrialState, TrialStatus

BEFORE_S = 3.0
"""At least so much is measured before a change, where there was no history yet."""
HISTORY_S = 15.0
MAX_HISTORY = 64
"""Bounds on the Snapshots that are kept for the window before a change."""
KEPT_ENDED = 8
"""Trials that ended stay on the screen; older ones are in the ledger."""
OVERDUE_S = 60.0
"""A trial that its tritop has not ended so long after its time is as good as left open."""
_RETRY_S = 2.0


def _silence(text: str) -> None:
    """Progress that nobody listens to."""


class Trials:
    """The trials of a session. Lives on one event loop.

    Args:
        control_of: the control of a server by its name; raises OperationFailed where there is none.
        changed: called whenever a status changed, to be shown soon.
        clock: wall time [s].
        monotonic: monotonic time [s], the clock of `Snapshot.mono`.
        before_s: see `BEFORE_S`.
        retry_s: between two attempts to take a change back from a server that does not answer.
    """

    def __init__(
        self,
        control_of: Callable[[str], RecordedControl],
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        before_s: float = BEFORE_S,
        retry_s: float = _RETRY_S,
    ) -> None:
        self._control_of = control_of
        self._changed = changed
        self._clock = clock
        self._monotonic = monotonic
        self._before_s = before_s
        self._retry_s = retry_s
        self._history: deque[Snapshot] = deque(maxlen=MAX_HISTORY)
        self._arrived = asyncio.Event()
        """Set with the next Snapshot, and then another one."""
        self._trials: dict[str, Trial] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def statuses(self) -> tuple[TrialStatus, ...]:
        """Every trial that is open, and the last few that ended, for `Round.trials`."""
        mono = self._monotonic()
        return tuple(trial.status(mono) for trial in self._trials.values())

    def observe(self, snapshot: Snapshot) -> None:
        """Take a Snapshot: it is the measure of the trials under way, and of the window before the next one."""
        before = self._history[-1] if self._history else None
        self._history.append(snapshot)
        while snapshot.mono - self._history[0].mono > HISTORY_S:
            self._history.popleft()
        for trial in self._trials.values():
            if before is not None and trial.state is TrialState.WATCHING:
                interval = interval_of(before, snapshot, trial.entry.server, trial.entry.model)
                if interval is not None:
                    trial.observe(interval)
                self._wakes[trial.entry.id].set()
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def begin(self, operation: EditConfig, progress: Progress) -> Outcome:
        """Apply an edit on trial and return once it is in force; it is then taken back unless it is kept.

        The ledger knows of the trial before the server does: where that cannot be written the
        trial does not begin, because a crash would leave it unnoticed.

        Raises:
            OperationFailed: the ledger cannot be written, or another trial of the model is open.
            TritopError: as `Control.perform`; the model is as it was.
        """
        assert operation.trial_s is not None
        self._refuse_second(operation)
        control = self._control_of(operation.server)
        asked = await control.preview(operation)
        if asked.refusal:
            raise OperationFailed(f"not sent: {asked.refusal}")
        if not asked.sendable:
            return await control.perform(replace(operation, trial_s=None), progress)
        before = await self._measure_before(operation, progress)
        # The entry must say what is there right before the change, because that is what is taken back to.
        preview = await control.preview(operation)
        if not preview.sendable:
            return await control.perform(replace(operation, trial_s=None), progress)
        entry = replace(
            control.entry(EventKind.TRIAL_BEGUN, operation.model, "edit"),
            diff=preview.diff,
            pbtxt_before=preview.pbtxt_before,
            pbtxt_after=preview.pbtxt_after,
            trial_s=operation.trial_s,
            text=f"on trial for {operation.trial_s:g} s: " + "; ".join(str(change) for change in preview.diff),
        )
        await control.write_first(entry)
        trial = self._adopt(Trial(entry, operation.rails, before), TrialState.APPLYING)
        try:
            change = replace(operation, trial_s=None, based_on=preview.pbtxt_before, exactly=True)
            outcome = await control.perform_unrecorded(change, progress)
        except OperationFailed as error:
            await self._end(trial, control, EventKind.TRIAL_TAKEN_BACK, TrialState.FAILED, f"not begun: {error}")
            raise
        except TritopError as error:
            # Nobody knows what the server made of it, so it is taken back as soon as the server answers.
            trial.ended(TrialState.STUCK, str(error))
            self._start(self._insist(trial, "the server went away while it was applied"), trial)
            raise
        trial.applied(self._monotonic())
        self._start(self._watch(trial), trial)
        return replace(outcome, text=f"{outcome.text}; on trial for {operation.trial_s:g} s, then taken back by itself")

    async def keep(self, operation: KeepTrial) -> Outcome:
        """Keep the change of a trial, also of one that was found in the ledger.

        Raises:
            OperationFailed: there is no such trial, or it is over.
        """
        trial = self._open(operation.trial_id)
        control = self._control_of(trial.entry.server)
        text = f"{trial.entry.model} keeps {'; '.join(str(change) for change in trial.entry.diff)}"
        failure = await self._end(trial, control, EventKind.TRIAL_KEPT, TrialState.KEPT, text)
        preview = Preview(*_of(trial), ChangeClass.NOTHING, trial.entry.diff)
        return Outcome(f"{text}{failure}", True, preview)

    async def take_back(self, operation: TakeBackTrial, progress: Progress) -> Outcome:
        """Take the change of a trial back, also of one that was found in the ledger.

        Raises:
            OperationFailed: there is no such trial, it is over, or somebody else changed the model since.
            TritopError: as `Control.perform`; the trial stays open.
        """
        trial = self._open(operation.trial_id)
        return await self._take_back(trial, "by the operator", progress, confirmed=operation.confirmed)

    async def undo(self, operation: Undo, progress: Progress) -> Outcome:
        """Take back the last change: an open trial first, otherwise what the ledger has.

        Raises:
            TritopError: as `take_back` and `RecordedControl.undo`.
        """
        await self._control_of(operation.server).settle_interrupted()
        await self.find_open(operation.server)
        for trial in reversed(list(self._trials.values())):
            same = trial.entry.server == operation.server and operation.model in ("", trial.entry.model)
            if same and trial.status(self._monotonic()).open:
                return await self.take_back(
                    TakeBackTrial(operation.server, trial.entry.id, operation.confirmed), progress
                )
        return await self._control_of(operation.server).undo(operation, progress)

    async def find_open(self, server: str) -> tuple[TrialStatus, ...]:
        """Look in the ledger for trials that a tritop left open on a server; ask once it answers.

        Those whose change is gone already, because the server restarted or has newer files, are
        closed in the ledger.

        Raises:
            TritopError: the ledger cannot be read, or the server does not answer.
        """
        control = self._control_of(server)
        entries = await asyncio.to_thread(control.ledger.entries)
        for entry in open_trials(entries, control.endpoint.place):
            if entry.id not in self._trials and self._is_left(entry):
                await self._look_at_left(replace(entry, server=server), control)
        return tuple(status for status in self.statuses() if status.server == server and status.open)

    async def close(self) -> None:
        """Take back what is still on trial: nobody watches it any more.

        What cannot be taken back stays open in the ledger, for the next tritop to find.
        """
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        watched = [trial for trial in self._trials.values() if trial.state is TrialState.WATCHING]
        ending = (self._take_back(trial, "tritop ended", _silence, confirmed=False) for trial in watched)
        await asyncio.gather(*ending, return_exceptions=True)

    # -- the window before ----------------------------------------------------------------

    async def _measure_before(self, operation: EditConfig, progress: Progress) -> list[Interval]:
        """The intervals before now; waits for a few where nobody has watched yet."""
        limit = self._monotonic() + 2 * self._before_s
        while True:
            intervals = self._intervals(operation.server, operation.model)
            measured_s = sum(one.seconds for one in intervals)
            left_s = limit - self._monotonic()
            if measured_s >= self._before_s or left_s <= 0:
                return intervals
            progress(f"measuring before the change: {measured_s:.1f} of {self._before_s:g} s")
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    def _intervals(self, server: str, model: str) -> list[Interval]:
        found = (interval_of(before, now, server, model) for before, now in pairwise(self._history))
        return [interval for interval in found if interval is not None]

    # -- the life of a trial --------------------------------------------------------------

    def _refuse_second(self, operation: EditConfig) -> None:
        for trial in self._trials.values():
            if _of(trial) == (operation.server, operation.model) and trial.state in _UNDECIDED:
                raise OperationFailed(
                    f"another change of {operation.model} is on trial.", "Keep it or take it back first."
                )

    def _adopt(self, trial: Trial, state: TrialState) -> Trial:
        trial.state = state
        self._trials[trial.entry.id] = trial
        self._wakes[trial.entry.id] = asyncio.Event()
        ended = [one.entry.id for one in self._trials.values() if one.state not in _UNDECIDED]
        for old in ended[:-KEPT_ENDED]:
            del self._trials[old], self._wakes[old]
        self._changed()
        return trial

    def _open(self, trial_id: str) -> Trial:
        trial = self._trials.get(trial_id)
        if trial is None:
            raise OperationFailed(f"there is no trial {trial_id}.")
        if trial.state not in _DECIDABLE:
            raise OperationFailed(f"the trial of {trial.entry.model} is over: {trial.state}.")
        return trial

    def _start(self, watch: Coroutine[Any, Any, None], trial: Trial) -> None:
        self._tasks[trial.entry.id] = asyncio.create_task(watch, name=f"trial {trial.entry.id}")
        self._changed()

    async def _watch(self, trial: Trial) -> None:
        """Take a trial back when its time has come, and go on trying while the server does not answer."""
        wake = self._wakes[trial.entry.id]
        reason = ""
        while not (reason := trial.reason_to_take_back(self._monotonic())):
            left_s = trial.left_s(self._monotonic())
            if left_s is None:
                return
            wake.clear()
            try:
                async with asyncio.timeout(left_s):
                    await wake.wait()
            except TimeoutError:
                continue
        await self._insist(trial, reason)

    async def _insist(self, trial: Trial, reason: str) -> None:
        """Take a trial back, however long the server does not answer."""
        while trial.state in {TrialState.WATCHING, TrialState.STUCK}:
            try:
                await self._take_back(trial, reason, _silence, confirmed=False)
            except Busy:
                await asyncio.sleep(self._retry_s)
            except OperationFailed:
                return
            except TritopError:
                await asyncio.sleep(self._retry_s)

    async def _take_back(self, trial: Trial, why: str, progress: Progress, *, confirmed: bool) -> Outcome:
        control, before = self._control_of(trial.entry.server), trial.state
        trial.ended(TrialState.TAKING_BACK, why)
        self._wakes[trial.entry.id].set()
        self._changed()
        entry = replace(
            control.entry(EventKind.TRIAL_TAKEN_BACK, trial.entry.model, ""),
            refers_to=trial.entry.id,
            text=f"taken back: {why}",
        )
        try:
            entries = await asyncio.to_thread(control.ledger.entries)
            outcome = await control.take_back(trial.entry, entry, entries, progress, confirmed=confirmed)
        except TritopError as error:
            left = TrialState.LEFT_OPEN if before is TrialState.LEFT_OPEN else TrialState.STUCK
            trial.ended(left, f"{why}, and {error}")
            self._changed()
            raise
        except asyncio.CancelledError:
            trial.ended(before, why)
            raise
        trial.ended(TrialState.TAKEN_BACK, why)
        self._changed()
        return replace(outcome, text=f"taken back, {why}: {outcome.text}")

    async def _end(self, trial: Trial, control: RecordedControl, kind: EventKind, state: TrialState, text: str) -> str:
        """End a trial without a change of the model; returns what is to be said of the ledger."""
        trial.ended(state, text)
        self._wakes[trial.entry.id].set()
        self._changed()
        began = trial.entry
        failure = await control.write(
            replace(
                control.entry(kind, began.model, "edit"),
                refers_to=began.id,
                text=text,
                outcome=text,
                succeeded=True,
                diff=began.diff if kind is EventKind.TRIAL_KEPT else (),
                pbtxt_before=began.pbtxt_before if kind is EventKind.TRIAL_KEPT else "",
                pbtxt_after=began.pbtxt_after if kind is EventKind.TRIAL_KEPT else "",
            )
        )
        return f". {failure}" if failure else ""

    # -- those left open ------------------------------------------------------------------

    def _is_left(self, entry: Entry) -> bool:
        """Whether nobody watches it; of a tritop on another host only its time can tell."""
        assert entry.author is not None
        overdue = self._clock() > entry.at + (entry.trial_s or 0.0) + OVERDUE_S
        return overdue or is_running(entry.author) is False

    async def _look_at_left(self, entry: Entry, control: RecordedControl) -> None:
        seen = await control.see(entry.model)
        trial = Trial(entry, DEFAULT_RAILS)
        if seen.running.pbtxt and same_config(seen.running.pbtxt, entry.pbtxt_before):
            text = "its change is gone already: the server restarted, or took newer files, or it was taken back by hand"
            await self._end(self._adopt(trial, TrialState.LEFT_OPEN), control, *_GONE, text)
            return
        as_tried = bool(seen.running.pbtxt) and same_config(seen.running.pbtxt, entry.pbtxt_after)
        now = "runs with it" if as_tried else "is another one by now: somebody changed or unloaded it since"
        who = entry.author
        trial.text = f"{who} (pid {who.pid if who else '?'}) ended during this trial, and {entry.model} {now}"
        self._adopt(trial, TrialState.LEFT_OPEN)


_UNDECIDED = {TrialState.BEFORE, TrialState.APPLYING, TrialState.WATCHING, TrialState.TAKING_BACK, TrialState.STUCK}
_DECIDABLE = {TrialState.WATCHING, TrialState.STUCK, TrialState.LEFT_OPEN}
_GONE = (EventKind.TRIAL_TAKEN_BACK, TrialState.TAKEN_BACK)


def _of(trial: Trial) -> tuple[str, str]:
    return trial.entry.server, trial.entry.model
