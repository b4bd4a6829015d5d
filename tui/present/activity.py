"""The lines above the footer: trials that wait, changes under way, and failures until they are dismissed."""

from __future__ import annotations

from collections.abc import Iterable

from tritop.model import Snapshot
from tritop.operation import (
    EditConfig,
    KeepTrial,
    LaunchServer,
    LoadModel,
    Operation,
    OperationState,
    OperationStatus,
    PreviewChange,
    PreviewEdit,
    PreviewLaunch,
    ReadNow,
    ReadPcie,
    ReloadModel,
    SaveConfig,
    SetInterval,
    SetTraffic,
    SetVersions,
    SteerServer,
    TakeBackTrial,
    Undo,
    UnloadModel,
)
from tritop.trial import TrialState, TrialStatus
from tui.format import age_s, duration_s
from tui.present.change import told
from tui.present.lines import wrapped
from tui.present.look import Look
from tui.present.trial import TRIAL_TONES, open_trials
from tui.widgets.lines import Line

__all__ = ["activity_lines", "is_quiet", "operation_name"]

SHOWN_AFTER_S = 1.0
"""What is over sooner needs no line of its own."""
FAILURE_LINES = 3

_QUIET = (PreviewEdit, PreviewChange, PreviewLaunch, SetInterval, ReadNow, ReadPcie)


def is_quiet(operation: Operation) -> bool:
    """Whether nobody needs to be told about an operation: its outcome shows where it was asked for."""
    return isinstance(operation, _QUIET)


def operation_name(operation: Operation, look: Look) -> str:
    """What is done to what, in a few words."""
    subject = look.clean(getattr(operation, "model", ""), 60)
    match operation:
        case SteerServer(server=server, wish=wish):
            words, subject = str(wish), look.clean(server, 60)
        case LaunchServer(spec=spec):
            words, subject = "launch", look.clean(spec.name, 60)
        case SetTraffic():
            words = "traffic to"
        case Undo():
            words = "undo of"
        case SaveConfig():
            words = "save the configuration of"
        case TakeBackTrial():
            words = "take the trial back"
        case KeepTrial():
            words = "keep the trial"
        case LoadModel() | UnloadModel() | ReloadModel() | SetVersions() | EditConfig():
            words = told(operation)
        case _:
            words = type(operation).__name__
    return f"{words} {subject}".strip()


def activity_lines(snapshot: Snapshot, dismissed: int, width: int, look: Look) -> list[Line]:
    """One line for each thing that goes on or waits, the newest failure in full.

    Args:
        snapshot: the newest one, also while the picture is held.
        dismissed: failures up to this number were read.
        width: cells.
        look: characters to draw with.
    """
    lines = [_trial_line(trial, look) for trial in open_trials(snapshot)]
    lines += [_running_line(status, snapshot.at, look) for status in _running(snapshot)]
    failures = [
        status
        for status in reversed(snapshot.operations)
        if status.state is OperationState.FAILED and status.number > dismissed and not is_quiet(status.operation)
    ]
    for place, status in enumerate(failures):
        lines += _failure_lines(status, width, look, FAILURE_LINES if place == 0 else 1)
    return lines


def _running(snapshot: Snapshot) -> Iterable[OperationStatus]:
    for status in snapshot.operations:
        under_way = status.state in (OperationState.QUEUED, OperationState.RUNNING)
        if under_way and not is_quiet(status.operation) and snapshot.at - status.started_at >= SHOWN_AFTER_S:
            yield status


def _running_line(status: OperationStatus, now: float, look: Look) -> Line:
    elapsed = duration_s(now - status.started_at)
    said = look.clean(status.text, 300) or ("waits for another change" if status.state == "QUEUED" else "")
    head = f"{look.glyphs.loading} {operation_name(status.operation, look)}  {elapsed}"
    return ((head, "accent"), (f"  {said}", "dim"))


def _trial_line(trial: TrialStatus, look: Look) -> Line:
    tone = TRIAL_TONES.get(trial.state, "")
    left = f", {age_s(trial.ends_in_s)} left" if trial.ends_in_s is not None else ""
    sign = look.glyphs.failed if tone == "error" else look.glyphs.loading
    spans = [(f"{sign} trial of {look.clean(trial.model, 60)}: {trial.state}{left}  ", tone)]
    if trial.open:
        first, second = (("K", " keep  "), ("Z", " take back  "))
        if trial.state is not TrialState.WATCHING:
            first, second = second, first
        spans += [(first[0], "key"), (first[1], "dim"), (second[0], "key"), (second[1], "dim")]
    spans += [("t", "key"), (" shows it", "dim")]
    return tuple(spans)


def _failure_lines(status: OperationStatus, width: int, look: Look, most: int) -> list[Line]:
    """The server's reason; the end of what does not fit is left out, since the ledger has all of it."""
    said = look.clean(status.text, 1000) or "it failed"
    made = wrapped(f"{operation_name(status.operation, look)}: {said}", max(20, width - 16), "error")
    lines = made[:most]
    if len(made) > most:
        lines[-1] = ((f"{lines[-1][0][0]} {look.glyphs.ellipsis}", "error"),)
    head: Line = ((f"{look.glyphs.failed} ", "error"), ("Bksp", "key"), (" dismiss  ", "dim"))
    return [(*head, *lines[0]), *lines[1:]]
