"""Containers with what they use: rates of the engine's counters, and which server each one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan

from tritop.derive.counters import increments, rate
from tritop.derive.round import ServerRound, SourceRound
from tritop.derive.sources import newest
from tritop.model import Container
from tritop.reading import ContainerSight, ContainerUsage, EngineReading, LaunchReading

_NS = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class ContainersTrack:
    """The containers as derived, and what the next reading is compared with."""

    reading: EngineReading | None = None
    containers: tuple[Container, ...] = ()
    """In the order of the reading."""
    samples: Mapping[str, ContainerUsage] = field(default_factory=dict)
    """Container id -> the newest sample."""


NO_CONTAINERS = ContainersTrack()


def next_containers(before: ContainersTrack, source: SourceRound | None) -> ContainersTrack:
    """Compare what the engine says now with what it said before; the last values stay where it says nothing."""
    if source is None:
        return NO_CONTAINERS
    reading = source.reading
    if not isinstance(reading, EngineReading) or reading is before.reading:
        return before
    known = {container.id: container for container in before.containers}
    return ContainersTrack(
        reading,
        tuple(
            _container(sight, before.samples.get(sight.container.id), known.get(sight.container.id))
            for sight in reading.containers
        ),
        {sight.container.id: sight.usage for sight in reading.containers if sight.usage is not None},
    )


def _container(sight: ContainerSight, old: ContainerUsage | None, known: Container | None) -> Container:
    usage, container = sight.usage, sight.container
    if usage is None:
        return container
    container = replace(container, memory_used_bytes=memory_used(usage), processes=usage.processes)
    if old is None or known is None:
        return container
    if usage.at <= old.at:
        # The engine samples once a second; until the next sample the last rates stand.
        return replace(
            container,
            cpu_cores=known.cpu_cores,
            received_bytes_per_s=known.received_bytes_per_s,
            sent_bytes_per_s=known.sent_bytes_per_s,
        )
    (cpu_ns, received, sent), _ = increments(_counters(usage), _counters(old))
    span_s = usage.at - old.at
    cpu_ns_per_s = rate(cpu_ns, span_s)
    return replace(
        container,
        cpu_cores=None if cpu_ns_per_s is None else cpu_ns_per_s / _NS,
        received_bytes_per_s=rate(received, span_s),
        sent_bytes_per_s=rate(sent, span_s),
    )


def _counters(usage: ContainerUsage) -> tuple[float, float, float]:
    """CPU time [ns], bytes received and sent; NaN for what is not counted."""
    return _float(usage.cpu_ns), _float(usage.received_bytes), _float(usage.sent_bytes)


def _float(value: int | None) -> float:
    return nan if value is None else float(value)


def memory_used(usage: ContainerUsage) -> int | None:
    """Memory without the file cache that can be dropped, as `docker stats` shows it."""
    if usage.memory_bytes is None:
        return None
    # An inactive cache that is larger than the whole was counted at another moment; the CLI then shows the whole.
    inactive = usage.inactive_file_bytes or 0
    return usage.memory_bytes - inactive if inactive < usage.memory_bytes else usage.memory_bytes


def container_of(server: ServerRound, track: ContainersTrack) -> Container | None:
    """The container of a server: the one that its runtime names, that the session found, or that has its address."""
    launch = newest(server, LaunchReading)
    container_id = (launch.launch.container_id if launch is not None else "") or server.container_id
    if container_id:
        return next((one for one in track.containers if one.id == container_id), None)
    if launch is not None or not server.endpoint:
        return None
    sights: Sequence[ContainerSight] = track.reading.containers if track.reading is not None else ()
    for sight, container in zip(sights, track.containers, strict=True):
        if sight.host and f"{sight.host}:{sight.grpc_port}" == server.endpoint.replace("localhost", "127.0.0.1"):
            return container
    return None
