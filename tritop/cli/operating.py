"""Operations that need more than a server (the ledger, a watch over a trial): run by a session."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from queue import Empty

from tritop.cli.changing import ProgressLine, only_server
from tritop.cli.text import printable
from tritop.cli.waiting import running
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, Unreachable
from tritop.model import Snapshot
from tritop.operation import EditConfig, KeepTrial, Operation, OperationState, OperationStatus
from tritop.session import Session
from tritop.trial import RailState, TrialState, TrialStatus

_INTERVAL_S = 0.5
_SILENCE_S = 30.0
"""A session delivers twice a second; one that is silent for so long is broken."""
_LAST_CALL_S = 1.5
"""How long before its end a trial is kept, where it is to be kept."""
_UNDER_WAY = frozenset({TrialState.BEFORE, TrialState.APPLYING, TrialState.WATCHING, TrialState.TAKING_BACK})


def operate(namespace: argparse.Namespace, make: Callable[[str], Operation]) -> int:
    """Carry one operation out and print what became of it; return the exit code.

    Raises:
        OperationFailed: it was refused.
    """
    endpoint = only_server(namespace)
    operation = make(endpoint.name)
    session = _session(endpoint)
    with running(session) as arrived:
        session.submit(operation)
        status = _follow(_snapshots(arrived.get), operation)
    print(printable(status.text))
    return 0


def run_trial(endpoint: Endpoint, operation: EditConfig, *, keep: bool) -> int:
    """Apply an edit as a trial, watch it to its end, and print what became of it.

    Args:
        endpoint: the server.
        operation: with `trial_s`.
        keep: keep it at the end, unless a guard rail was crossed.

    Returns:
        0 where it was kept or the time ran out, 1 where a rail was crossed.

    Raises:
        OperationFailed: it was refused, or could not be taken back.
    """
    session = _session(endpoint)
    with running(session) as arrived:
        session.submit(operation)
        ended = _watch(_snapshots(arrived.get), session, operation, keep=keep)
    print(printable(f"{ended.state}: {ended.text}" if ended.text else str(ended.state)))
    if ended.state in {TrialState.FAILED, TrialState.STUCK}:
        raise OperationFailed(ended.text or f"the trial of {operation.model} {ended.state}.")
    return 1 if any(rail.state is RailState.CROSSED for rail in ended.rails) else 0


def _session(endpoint: Endpoint) -> Session:
    from tritop.live import LiveSession

    return LiveSession([endpoint], interval_s=_INTERVAL_S)


def _snapshots(get: Callable[..., Snapshot]) -> Iterator[Snapshot]:
    while True:
        try:
            yield get(timeout=_SILENCE_S)
        except Empty:
            raise Unreachable(f"nothing was heard of the session for {_SILENCE_S:g} s.") from None


def _follow(snapshots: Iterator[Snapshot], operation: Operation) -> OperationStatus:
    """Wait for the end of an operation.

    Raises:
        OperationFailed: it failed; the sentence is its own.
    """
    progress = ProgressLine()
    try:
        for snapshot in snapshots:
            for status in snapshot.operations:
                if status.operation != operation:
                    continue
                if status.state is OperationState.FAILED:
                    raise OperationFailed(status.text)
                if status.state is OperationState.DONE:
                    return status
                progress(status.text)
    finally:
        progress.end()
    raise OperationFailed("the session ended before the operation did.")


def _watch(snapshots: Iterator[Snapshot], session: Session, operation: EditConfig, *, keep: bool) -> TrialStatus:
    """Wait for the end of a trial, and keep it in time where that is wanted.

    Raises:
        OperationFailed: it never began.
    """
    progress, asked, began_at = ProgressLine(), False, time.time()
    try:
        for snapshot in snapshots:
            for status in snapshot.operations:
                if status.operation == operation and status.state is OperationState.FAILED:
                    raise OperationFailed(status.text)
            trial = next((one for one in snapshot.trials if _is_of(one, operation, began_at)), None)
            if trial is None:
                continue
            if trial.state not in _UNDER_WAY:
                return trial
            progress(_told(trial))
            if keep and not asked and trial.ends_in_s is not None and trial.ends_in_s <= _LAST_CALL_S:
                session.submit(KeepTrial(operation.server, trial.trial_id))
                asked = True
    finally:
        progress.end()
    raise OperationFailed("the session ended before the trial did.")


def _is_of(trial: TrialStatus, operation: EditConfig, began_at: float) -> bool:
    return trial.model == operation.model and trial.began_at >= began_at - 1.0


def _told(trial: TrialStatus) -> str:
    left = f", {trial.ends_in_s:.0f} s left" if trial.ends_in_s is not None else ""
    rates = [figures.requests_per_s for figures in (trial.before, trial.after)]
    speed = f", {rates[0]:.0f} -> {rates[1]:.0f} requests/s" if rates[0] is not None and rates[1] is not None else ""
    return f"trial of {trial.model}: {trial.state}{left}{speed}"
