"""What happened at a server between two rounds, noticed from what its sources say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritop.derive.catalogue import entry_state
from tritop.derive.exposition import Exposition
from tritop.derive.layout import Key
from tritop.derive.statistics import EXECUTIONS, Statistics
from tritop.model import ControlMode, Event, EventKind, Launch, ModelState, ServerState
from tritop.reading import IndexEntry

LOST_STATES = frozenset(
    {
        ServerState.UNREACHABLE,
        ServerState.UNRESPONSIVE,
        ServerState.NOT_TRITON,
        ServerState.CRASHED,
        ServerState.FAILED,
    }
)
CRASH_STATES = frozenset({ServerState.CRASHED, ServerState.FAILED})
UP_STATES = frozenset({ServerState.READY, ServerState.NOT_READY})


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one server looked like in one round, as far as events come from it."""

    state: ServerState = ServerState.CONNECTING
    why: str = ""
    """What its API source said went wrong."""
    catalogue: Mapping[Key, IndexEntry] | None = None
    """`None` until it was first read."""
    exposition: Exposition | None = None
    statistics: Statistics | None = None
    launch: Launch | None = None
    ended: str = ""
    """Why it ended, by its runtime or its container."""
    control_mode: ControlMode = ControlMode.UNKNOWN
    lost: bool = False
    """It was up, and has not been up again since."""
    restarted_at: float = 0.0
    """Monotonic time when a restart was last noticed."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """What one round tells about one server."""

    events: tuple[Event, ...]
    lost: bool
    restarted_at: float


def notice(before: Sight, now: Sight, server: str, at: float, mono: float) -> Noticed:
    """Compare two rounds.

    Args:
        before: the last round.
        now: this round, `lost` and `restarted_at` not yet known.
        server: its name.
        at: wall time of the events [s since the epoch].
        mono: monotonic time of this round [s].
    """
    events: list[Event] = []
    lost = before.lost
    if now.state in CRASH_STATES and before.state not in CRASH_STATES | {ServerState.CONNECTING}:
        events.append(Event(at, EventKind.SERVER_CRASHED, server, text=now.ended))
    if now.state in LOST_STATES and before.state in UP_STATES | {ServerState.STOPPING}:
        lost = True
        events.append(Event(at, EventKind.SERVER_LOST, server, text=now.why))
    elif now.state in UP_STATES and lost:
        lost = False
        events.append(Event(at, EventKind.SERVER_BACK, server))
    elif now.state in {ServerState.STOPPING, ServerState.STOPPED}:
        lost = False
    restarted = _server_restarted(before, now)
    restarted_at = mono if restarted else before.restarted_at
    if restarted:
        events.append(Event(at, EventKind.SERVER_RESTARTED, server))
    known = ControlMode.UNKNOWN not in (before.control_mode, now.control_mode)
    if known and before.control_mode is not now.control_mode:
        text = f"{before.control_mode} -> {now.control_mode}"
        events.append(Event(at, EventKind.CONTROL_MODE, server, text=text))
    events.extend(_model_events(before, now, server, at, restarted))
    if now.statistics is not before.statistics and not restarted:
        events.extend(_reloads(before, now, server, at))
    return Noticed(tuple(events), lost, restarted_at)


def _server_restarted(before: Sight, now: Sight) -> bool:
    """A new process, or counters that only a new process explains; each restart is noticed once."""
    if before.launch is not None and now.launch is not None and now.launch.restarts > before.launch.restarts:
        return True
    if before.launch is not None and now.launch is not None and before.launch.pid and now.launch.pid:
        return before.launch.pid != now.launch.pid
    old, new = before.exposition, now.exposition
    if old is not None and new is not None and new is not old and new.restarted:
        return old.reading.mono >= before.restarted_at
    was, is_now = before.statistics, now.statistics
    if not before.lost or was is None or is_now is None or was is is_now or was.reading.mono < before.restarted_at:
        return False
    moved = [key for key, tally in was.versions.items() if any(tally.totals[: EXECUTIONS + 1])]
    return bool(moved) and all(key not in is_now.versions or is_now.versions[key].restarted for key in moved)


_EVENTS = {
    ModelState.READY: EventKind.MODEL_LOADED,
    ModelState.UNLOADED: EventKind.MODEL_UNLOADED,
    ModelState.FAILED: EventKind.MODEL_FAILED,
}


def _model_events(before: Sight, now: Sight, server: str, at: float, restarted: bool) -> list[Event]:
    old, new = before.catalogue, now.catalogue
    if old is None or new is None or old is new:
        return []
    events = []
    for key, entry in new.items():
        known = old.get(key)
        if known is not entry and known != entry:
            kind = _change(known, entry)
            if kind is not None and not (restarted and kind is EventKind.MODEL_UNLOADED):
                text = entry.reason if kind is EventKind.MODEL_FAILED else ""
                events.append(Event(at, kind, server, key[0], key[1], text=text))
    if not restarted and len(old) + len(new) > 0:
        gone = (key for key, entry in old.items() if key not in new and _serves(entry))
        events.extend(Event(at, EventKind.MODEL_UNLOADED, server, *key) for key in gone)
    return events


def _serves(entry: IndexEntry) -> bool:
    return entry.state in {"READY", "UNLOADING"}


def _change(known: IndexEntry | None, entry: IndexEntry) -> EventKind | None:
    """What the step from one entry of a version to the next is called, `None` for a step on the way."""
    state = entry_state(entry)
    if known is not None and entry_state(known) is state:
        # A refused in-place update leaves READY with a reason; another failure has another reason.
        refused = entry.reason and entry.reason != known.reason and state in {ModelState.READY, ModelState.FAILED}
        return EventKind.MODEL_FAILED if refused else None
    served = known is not None and _serves(known)
    if state is ModelState.LOADING and served:
        # A reload goes on in the background with READY shown; this one was unloaded first.
        return EventKind.MODEL_UNLOADED
    if state is ModelState.UNLOADED and not served:
        return None
    return _EVENTS.get(state)


def _reloads(before: Sight, now: Sight, server: str, at: float) -> list[Event]:
    """Statistics that restarted while the version was listed as READY before and after."""
    if now.statistics is None or before.statistics is None or now.catalogue is None or before.catalogue is None:
        return []
    if before.statistics.reading.mono < before.restarted_at:
        return []
    events = []
    for key, tally in now.statistics.versions.items():
        if tally.restarted:
            was, entry = before.catalogue.get(key), now.catalogue.get(key)
            if was is not None and entry is not None and was.state == entry.state == "READY":
                events.append(Event(at, EventKind.MODEL_RELOADED, server, *key))
    return events
