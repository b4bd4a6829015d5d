"""Which change an undo takes back, and how. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tritop.change import ChangeClass, ConfigEdit, VersionChoice
from tritop.control.compare import change_class, lost_fields
from tritop.control.edit import parse_config
from tritop.control.entry import Entry
from tritop.model import EventKind
from tritop.operation import EditConfig, LoadModel, ModelChange, ReloadModel, SetVersions, UnloadModel

_ENDS = (EventKind.TRIAL_KEPT, EventKind.TRIAL_TAKEN_BACK)
_UNDOABLE = ("edit", "versions", "load", "unload")


@dataclass(frozen=True, slots=True)
class Running:
    """What a server says of a model now."""

    pbtxt: str
    """Its configuration, "" where the model is not loaded."""
    versions: tuple[int, ...] = ()
    """READY versions."""


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What takes an entry back."""

    operation: ModelChange | None
    """`None` where the model is already as it was before."""
    conflict: str = ""
    """Who changed the model since, as far as that is known; not empty asks for a confirmation."""


def action_of(operation: ModelChange) -> str:
    """What the ledger calls an operation."""
    match operation:
        case EditConfig():
            return "edit"
        case SetVersions():
            return "versions"
        case LoadModel():
            return "versions" if operation.version else "load"
        case UnloadModel():
            return "versions" if operation.version else "unload"
        case ReloadModel():
            return "reload"


def open_trials(entries: Iterable[Entry], endpoint: str) -> tuple[Entry, ...]:
    """Trials on a server that were begun and neither kept nor taken back, oldest first.

    Whether the tritop that began one still watches it is for the caller to find out
    (`author.is_running`).
    """
    begun: dict[str, Entry] = {}
    for entry in entries:
        if entry.endpoint != endpoint:
            continue
        if entry.kind is EventKind.TRIAL_BEGUN:
            begun[entry.id] = entry
        elif entry.kind in _ENDS and entry.succeeded:
            begun.pop(entry.refers_to, None)
    return tuple(begun.values())


def last_undoable(entries: Sequence[Entry], endpoint: str, model: str = "") -> Entry | None:
    """The newest change on a server that can be taken back and was not yet.

    Args:
        entries: the ledger, oldest first.
        endpoint: the server.
        model: only changes of this model; "" is any.
    """
    undone = _undone(entries)
    for entry in reversed(entries):
        if entry.endpoint == endpoint and model in ("", entry.model) and _undoable(entry) and entry.id not in undone:
            return entry
    return None


def _undone(entries: Iterable[Entry]) -> set[str]:
    return {entry.refers_to for entry in entries if entry.kind is EventKind.UNDONE and entry.succeeded}


def _undoable(entry: Entry) -> bool:
    if entry.kind not in (EventKind.OPERATION, EventKind.TRIAL_KEPT) or not entry.succeeded:
        return False
    if entry.action not in _UNDOABLE:
        return False
    # A load of what was loaded, or without what it was loaded with, tells nothing to go back to.
    return entry.versions_before != entry.versions_after or entry.pbtxt_before != entry.pbtxt_after


def needed(entries: Sequence[Entry]) -> set[str]:
    """Ids of the entries that an undo, or the end of a trial, may still need."""
    undone = _undone(entries)
    # The newest of each model wins, because later ones overwrite earlier ones.
    newest = {
        (entry.endpoint, entry.model): entry.id for entry in entries if _undoable(entry) and entry.id not in undone
    }
    wanted = set(newest.values())
    for endpoint in {entry.endpoint for entry in entries if entry.kind is EventKind.TRIAL_BEGUN}:
        wanted.update(trial.id for trial in open_trials(entries, endpoint))
    wanted.update(entry.id for entry in entries if entry.who and entry.succeeded is None)
    # What ended or took back one of them must stay with it, or it would look as if nothing had.
    return wanted | {entry.id for entry in entries if entry.refers_to in wanted}


def undo_plan(entry: Entry, now: Running, entries: Sequence[Entry]) -> UndoPlan:
    """How to take a change back, and whether somebody changed the model since.

    Args:
        entry: a change of `last_undoable`, or the begin of a trial.
        now: the model as it is.
        entries: the ledger, to name who changed it.
    """
    if _is_as(now, entry.pbtxt_before, entry.versions_before, entry.action):
        return UndoPlan(None)
    conflict = "" if _is_as(now, entry.pbtxt_after, entry.versions_after, entry.action) else _who(entry, entries)
    return UndoPlan(_back(entry, now), conflict)


def _is_as(now: Running, pbtxt: str, versions: tuple[int, ...], action: str) -> bool:
    """Whether a model is in the state that an entry names."""
    if action == "versions":
        return now.versions == versions
    if not pbtxt or not now.pbtxt:
        return not pbtxt and not now.pbtxt
    return same_config(now.pbtxt, pbtxt)


def same_config(one: str, other: str) -> bool:
    """Whether two configurations are the same to the server.

    Raises:
        UsageError: one of them cannot be read.
    """
    return change_class(parse_config(one), parse_config(other)) is ChangeClass.NOTHING


def _back(entry: Entry, now: Running) -> ModelChange | None:
    server, model = entry.server, entry.model
    if entry.action == "versions" and now.versions:
        choice = version_choice(entry)
        return SetVersions(server, model, choice, based_on=now.pbtxt) if entry.versions_before else None
    if not entry.pbtxt_before:
        return UnloadModel(server, model)
    if not now.pbtxt:
        return LoadModel(server, model, pbtxt=entry.pbtxt_before)
    lost = lost_fields(parse_config(now.pbtxt), parse_config(entry.pbtxt_before))
    return EditConfig(server, model, ConfigEdit(pbtxt=entry.pbtxt_before), confirmed_losses=lost, based_on=now.pbtxt)


def version_choice(entry: Entry) -> VersionChoice:
    """The versions that were served before, by the policy of then if that served them."""
    policy = parse_config(entry.pbtxt_before).version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return VersionChoice(all=True)
        case "latest" if policy.latest.num_versions >= len(entry.versions_before):
            return VersionChoice(latest=policy.latest.num_versions)
        case _:
            return VersionChoice(specific=entry.versions_before)


def _who(entry: Entry, entries: Sequence[Entry]) -> str:
    """The last one who changed the model after an entry, in words."""
    later = [
        other
        for other in entries
        if (other.endpoint, other.model) == (entry.endpoint, entry.model)
        and other.at > entry.at
        and other.who
        and other.refers_to != entry.id
        and other.succeeded
    ]
    if not later:
        return f"somebody changed {entry.model} since, without tritop or as another user"
    return f"{later[-1].author} changed {entry.model} since: {later[-1].text}".rstrip(": ")
