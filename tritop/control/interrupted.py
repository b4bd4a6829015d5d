"""Changes that a tritop had begun when it was killed: found in the ledger, and told by what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tritop.change import ChangeClass, Preview
from tritop.control.author import is_running
from tritop.control.edit import parse_config
from tritop.control.entry import NOTICED, Entry
from tritop.control.merge import listed
from tritop.control.undo import Running, action_of, same_config
from tritop.control.versions import versions_after
from tritop.model import EventKind
from tritop.operation import ModelChange

MAY_LOAD_S = 120.0
"""A server goes on loading when the tritop that asked for it is killed; not in force by then, it will not be."""
FOREIGN_S = 3600.0
"""Whether a tritop on another host still runs cannot be told; none changes a model for so long."""
_CHANGES = (EventKind.OPERATION, EventKind.UNDONE, EventKind.TRIAL_TAKEN_BACK)


def begun(entry: Entry, change: ModelChange, preview: Preview, ready: Sequence[int]) -> Entry:
    """An entry as it is written before a change is sent.

    Args:
        entry: who, when and why.
        change: what is asked for.
        preview: what will be sent.
        ready: versions that are served before.
    """
    after: tuple[int, ...] = ()
    if preview.change is not ChangeClass.UNLOAD and preview.pbtxt_after:
        after = versions_after(parse_config(preview.pbtxt_after).version_policy, ready) or ()
    return replace(
        entry,
        action=entry.action or action_of(change),
        text=entry.text or listed(preview.diff) or str(preview.change),
        diff=preview.diff,
        pbtxt_before=preview.pbtxt_before,
        pbtxt_after=preview.pbtxt_after,
        versions_before=tuple(ready),
        versions_after=after,
    )


def is_open(entry: Entry) -> bool:
    """Whether a change was begun and its outcome not written."""
    return entry.kind in _CHANGES and entry.action != NOTICED and entry.succeeded is None and entry.author is not None


def interrupted(entries: Iterable[Entry], endpoint: str, at: float) -> tuple[Entry, ...]:
    """Changes of a server that nobody carries out any more and whose outcome is not known, oldest first.

    Args:
        entries: the ledger.
        endpoint: host:port of the server, "" is any.
        at: now, wall time [s since the epoch].
    """
    return tuple(
        entry for entry in entries if endpoint in ("", entry.endpoint) and is_open(entry) and _is_left(entry, at)
    )


def _is_left(entry: Entry, at: float) -> bool:
    assert entry.author is not None
    running = is_running(entry.author)
    return running is False or (running is None and at > entry.at + FOREIGN_S)


def settled(entry: Entry, now: Running, at: float) -> Entry | None:
    """An interrupted change with what became of it; `None` where the server may still be carrying it out.

    Args:
        entry: of `interrupted`.
        now: the model as it runs.
        at: now, wall time [s since the epoch].
    """
    who = f"interrupted: {entry.author}" + (f" (pid {entry.author.pid})" if entry.author else "") + " ended meanwhile"
    if _is_in_force(entry, now):
        text = f"{who}, and it is in force"
        return replace(
            entry, outcome=text, succeeded=True, pbtxt_after=now.pbtxt, versions_after=now.versions, duration_s=None
        )
    if at < entry.at + MAY_LOAD_S:
        return None
    found = "runs as before" if _is_as_before(entry, now) else "runs with another configuration by now"
    if not now.versions:
        found = "is not loaded"
    return replace(entry, outcome=f"{who}; it is not in force, {entry.model} {found}", succeeded=False)


def _is_in_force(entry: Entry, now: Running) -> bool:
    if entry.action == "unload":
        return not now.versions
    if entry.versions_after and entry.versions_after != entry.versions_before:
        return now.versions == entry.versions_after
    if not entry.pbtxt_after:
        # A plain load shows by that there is something now, a reload of what was loaded by nothing.
        return bool(now.versions) and not entry.versions_before
    return bool(now.pbtxt) and same_config(now.pbtxt, entry.pbtxt_after)


def _is_as_before(entry: Entry, now: Running) -> bool:
    return bool(now.pbtxt) and bool(entry.pbtxt_before) and same_config(now.pbtxt, entry.pbtxt_before)
