"""A change on trial from the command line: apply it, watch over it, tell how it ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tritop.cli.changing import ProgressLine
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.model import Snapshot
from tritop.operation import EditConfig, KeepTrial
from tritop.trial import RailState, TrialState, TrialStatus

if TYPE_CHECKING:
    from tritop.control.recorded import RecordedControl
    from tritop.control.trials import Trials

_INTERVAL_S = 0.5
_LOOK_S = 0.25
_LAST_CALL_S = 1.0
"""How long before its end a trial is kept, where it is to be kept."""
_UNDER_WAY = frozenset({TrialState.BEFORE, TrialState.APPLYING, TrialState.WATCHING, TrialState.TAKING_BACK})


async def run_trial(control: RecordedControl, endpoint: Endpoint, operation: EditConfig, *, keep: bool) -> TrialStatus:
    """Apply an edit as a trial and see it through.

    Args:
        control: of the server; the trial is in its ledger.
        endpoint: the server, for the numbers that the guard rails are about.
        operation: with `trial_s`.
        keep: keep the change at the end, unless a guard rail was crossed.

    Raises:
        OperationFailed: it did not begin, or could not be taken back.
        TritopError: as `Control.perform`.
    """
    from tritop.control.trials import Trials
    from tritop.live import LiveSession

    loop = asyncio.get_running_loop()
    trials = Trials(lambda server: control)
    session = LiveSession([endpoint], interval_s=_INTERVAL_S)

    def deliver(snapshot: Snapshot) -> None:
        loop.call_soon_threadsafe(trials.observe, snapshot)

    session.start(deliver)
    progress = ProgressLine()
    try:
        outcome = await trials.begin(operation, progress)
        if not outcome.changed:
            raise OperationFailed(outcome.text)
        return await _watch(trials, operation, progress, keep=keep)
    finally:
        progress.end()
        await trials.close()
        await asyncio.to_thread(session.stop)


async def _watch(trials: Trials, operation: EditConfig, progress: ProgressLine, *, keep: bool) -> TrialStatus:
    """Wait for the end of the trial, and keep it in time where that is wanted."""
    while True:
        trial = next(status for status in reversed(trials.statuses()) if status.model == operation.model)
        if trial.state not in _UNDER_WAY:
            return trial
        progress(_told(trial))
        if keep and trial.ends_in_s is not None and trial.ends_in_s <= _LAST_CALL_S:
            await trials.keep(KeepTrial(operation.server, trial.trial_id))
            continue
        await asyncio.sleep(_LOOK_S)


def verdict(trial: TrialStatus) -> tuple[int, str]:
    """(exit code, sentence): 0 where it was kept, or taken back only because its time ran out."""
    text = f"{trial.model}: {trial.state}" + (f", {trial.text}" if trial.text else "")
    if not trial.judged:
        text += "; not enough traffic to judge"
    crossed = any(rail.state is RailState.CROSSED for rail in trial.rails)
    return (0 if trial.state in {TrialState.KEPT, TrialState.TAKEN_BACK} and not crossed else 1), text


def _told(trial: TrialStatus) -> str:
    left = f", {trial.ends_in_s:.0f} s left" if trial.ends_in_s is not None else ""
    before, after = trial.before.requests_per_s, trial.after.requests_per_s
    speed = f", {before:.0f} -> {after:.0f} requests/s" if before is not None and after is not None else ""
    return f"trial of {trial.model}: {trial.state}{left}{speed}"
