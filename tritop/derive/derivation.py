"""`derive`: the state after one round, made of the state before and what the sources say now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritop.derive.containers import NO_CONTAINERS, ContainersTrack, container_of, next_containers
from tritop.derive.gpus import all_gpus, gpu_events, host_gpus
from tritop.derive.round import Round
from tritop.derive.server import ServerTrack, next_server
from tritop.derive.sources import strip
from tritop.model import EMPTY_SNAPSHOT, Event, Snapshot, SourceState, Traffic
from tritop.reading import TrafficReading

MAX_EVENTS = 500


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """A Snapshot, and everything that the next one is compared with."""

    snapshot: Snapshot
    tracks: Mapping[str, ServerTrack] = field(repr=False)
    """Server name -> its state."""
    containers: ContainersTrack = NO_CONTAINERS


NOTHING = Derivation(EMPTY_SNAPSHOT, {})


def derive(previous: Derivation | None, now: Round) -> Derivation:
    """Derive a Snapshot; pure, and without an error for any reading that can be made.

    Args:
        previous: what the last call returned, `None` at the start.
        now: what is known now.

    Returns:
        The Snapshot, numbered one more than the last, and the state to pass back. `previous` stays as
        it was: the same two arguments give the same result again.
    """
    previous = previous or NOTHING
    traffic = _traffic(now)
    containers = next_containers(previous.containers, now.engine)
    tracks = {
        server.name: next_server(
            previous.tracks.get(server.name),
            server,
            now,
            [one for one in traffic if one.server == server.name],
            container_of(server, containers),
        )
        for server in now.servers
    }
    host = host_gpus(now)
    gpus = all_gpus(host, [track.gpus for track in tracks.values()], previous.snapshot.gpus)
    noticed: list[Event] = [event for track in tracks.values() for event in track.events]
    if host.source is not None and host.source.state is SourceState.OK:
        noticed += gpu_events(gpus, previous.snapshot.gpus, now.at)
    events = previous.snapshot.events
    if noticed or now.events:
        events = (*events, *now.events, *noticed)[-MAX_EVENTS:]
    snapshot = Snapshot(
        seq=previous.snapshot.seq + 1,
        at=now.at,
        mono=now.mono,
        interval_s=now.interval_s,
        servers=tuple(track.server for track in tracks.values()),
        gpus=gpus,
        gpu_source=host.source,
        gpu_driver=host.driver,
        engine=strip((now.engine,), now.mono)[0] if now.engine is not None else None,
        traffic=traffic,
        operations=now.operations,
        events=events,
        trials=now.trials,
        drifts=now.drifts,
    )
    return Derivation(snapshot, tracks, containers)


def _traffic(now: Round) -> tuple[Traffic, ...]:
    """Our own traffic, by the session and by the sources."""
    readings = (source.reading for server in now.servers for source in server.sources)
    return now.traffic + tuple(
        one for reading in readings if isinstance(reading, TrafficReading) for one in reading.traffic
    )
