"""How each source of a server stands, and what that says about the server itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tritop.derive.round import Round, ServerRound, SourceRound
from tritop.errors import NotTriton, Stopping, TimedOut, Unreachable
from tritop.model import Fault, Launch, Server, ServerState, Source, SourceState
from tritop.reading import ApiReading, MetricsReading, Reading

API, METRICS = "api", "metrics"
"""What the collectors of Triton's API and metrics are called."""

STALE_PERIODS = 3
LATE_PERIODS = 1.5
"""A reading comes once a period, give or take scheduling: up to this age it is fresh."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one source can be relied on in this round."""

    current: bool = False
    """Its newest good reading is not older than three periods."""
    usable: bool = False
    """Current, and its last attempt did not fail."""
    mono: float | None = None
    """When its newest good reading was made."""
    age_s: float | None = None
    late_s: float = 0.0
    """An age up to this is as fresh as its period allows."""
    stale_s: float = 0.0
    """An age up to this is current."""


ABSENT = Standing()

R = TypeVar("R", bound=Reading)


def newest(server: ServerRound, kind: type[R]) -> R | None:
    """The newest reading of one kind among the sources of a server."""
    found = [source.reading for source in server.sources if isinstance(source.reading, kind)]
    return max(found, key=lambda reading: reading.mono) if found else None


def source_of(server: ServerRound, name: str, kind: type[Reading]) -> SourceRound | None:
    """The source that gives readings of a kind, known by its name before it gave any."""
    for source in server.sources:
        if isinstance(source.reading, kind) or source.name == name:
            return source
    return None


def standing(source: SourceRound | None, reading: Reading | None, at: Round) -> Standing:
    """How far the newest good reading of a source can be relied on.

    Args:
        source: the source, `None` where there is none any more.
        reading: its newest good reading, which the source itself forgets when it is opened anew.
        at: the round.
    """
    if reading is None:
        return ABSENT
    period_s = source.period_s if source is not None else at.interval_s
    age_s = max(0.0, at.mono - reading.mono)
    stale_s = STALE_PERIODS * period_s
    current = source is not None and not source.off and age_s <= stale_s
    return Standing(
        current=current,
        usable=current and source is not None and source.fault is None,
        mono=reading.mono,
        age_s=age_s,
        late_s=LATE_PERIODS * period_s,
        stale_s=stale_s,
    )


def strip(sources: Iterable[SourceRound], mono: float) -> tuple[Source, ...]:
    """What the source strip shows."""
    return tuple(_source(source, mono) for source in sources)


def _source(source: SourceRound, mono: float) -> Source:
    reading, fault = source.reading, source.fault
    age_s = max(0.0, mono - reading.mono) if reading is not None else None
    if source.off:
        return Source(source.name, SourceState.OFF, None, fault)
    if fault is not None:
        return Source(source.name, SourceState.FAULT, age_s, fault)
    if reading is None or age_s is None:
        return Source(source.name, SourceState.WAITING)
    # A part that may not be read is worth knowing while the rest is fine.
    part = reading.part_faults[0] if isinstance(reading, ApiReading) and reading.part_faults else None
    stale = age_s > STALE_PERIODS * source.period_s
    return Source(source.name, SourceState.STALE if stale else SourceState.OK, age_s, part)


_LAUNCH_STATES = {
    "STOPPING": ServerState.STOPPING,
    "STOPPED": ServerState.STOPPED,
    "CRASHED": ServerState.CRASHED,
    "BACKOFF": ServerState.CRASHED,
    "FAILED": ServerState.FAILED,
    "ABSENT": ServerState.STOPPED,
    "PULLING": ServerState.STARTING,
    "CREATING": ServerState.STARTING,
    "WAITING": ServerState.STARTING,
    "PAUSED": ServerState.UNRESPONSIVE,
}
"""What the runtime knows better than an endpoint that no longer, or not yet, answers."""

_FAULT_STATES = {
    Unreachable.title: ServerState.UNREACHABLE,
    TimedOut.title: ServerState.UNRESPONSIVE,
    NotTriton.title: ServerState.NOT_TRITON,
    Stopping.title: ServerState.STOPPING,
}

_CLEAR_FAULTS = frozenset({TimedOut.title, Stopping.title})
"""Faults that say what is wrong with the server, whatever its metrics say."""


def server_state(server: ServerRound, launch: Launch | None, before: ServerState, at: Round) -> ServerState:
    """What is known about a server.

    Its runtime is believed first where it says that the server is not up; then the API; then the
    metrics, which open only once a server serves. A server whose metrics answer while its API does
    not is NOT_READY: it lives, and nobody can use it.
    """
    if launch is not None and launch.state in _LAUNCH_STATES:
        return _LAUNCH_STATES[launch.state]
    api = source_of(server, API, ApiReading)
    metrics = source_of(server, METRICS, MetricsReading)
    state = _api_state(api, metrics, before, at)
    if launch is not None and state in {ServerState.CONNECTING, ServerState.UNREACHABLE, ServerState.UNRESPONSIVE}:
        return ServerState.STARTING if launch.state in {"STARTING", "LOADING"} else state
    return state


def contained_state(server: Server, now: ServerRound) -> ServerState:
    """The state of a server, from its container where neither a runtime nor an endpoint tells of it."""
    container = server.container
    if container is None or server.launch is not None or now.sources:
        return server.state
    if container.status == "restarting":
        return ServerState.CRASHED
    if container.status == "paused":
        return ServerState.UNRESPONSIVE
    if container.runs:
        return ServerState.UNREACHABLE
    return ServerState.CRASHED if container.crashed else ServerState.STOPPED


def _api_state(api: SourceRound | None, metrics: SourceRound | None, before: ServerState, at: Round) -> ServerState:
    metrics_live = metrics is not None and standing(metrics, metrics.reading, at).usable
    if api is None or api.off:
        return ServerState.READY if metrics_live else _faulty(metrics.fault if metrics is not None else None)
    reading = api.reading if isinstance(api.reading, ApiReading) else None
    if api.fault is not None:
        return _faulty_api_state(api, api.fault, metrics_live, before, at)
    if reading is None:
        return ServerState.CONNECTING
    return ServerState.NOT_READY if reading.live is False or reading.ready is False else ServerState.READY


def _faulty_api_state(
    api: SourceRound, fault: Fault, metrics_live: bool, before: ServerState, at: Round
) -> ServerState:
    silent = fault.title == TimedOut.title
    # One late answer is not a dead server.
    if silent and standing(api, api.reading, at).current and before is not ServerState.CONNECTING:
        return before
    return ServerState.NOT_READY if metrics_live and fault.title not in _CLEAR_FAULTS else _faulty(fault)


def _faulty(fault: Fault | None) -> ServerState:
    if fault is None:
        return ServerState.CONNECTING
    return _FAULT_STATES.get(fault.title, ServerState.NOT_READY)
