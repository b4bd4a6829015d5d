"""The GPUs of this host and of the watched servers: each device once, with the processes that are on it.

A device is known by its UUID: DCGM, from which Triton's `nv_gpu_*` come, and NVML give the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tritop.derive.round import Round, ServerRound, SourceRound
from tritop.derive.sources import standing, strip
from tritop.endpoint import is_loopback
from tritop.model import Event, EventKind, Gpu, GpuProcess, Source
from tritop.reading import GpuReading, HostProcess, LaunchReading


@dataclass(frozen=True, slots=True)
class HostGpus:
    """What NVML on this host comes to."""

    gpus: tuple[Gpu, ...] = ()
    source: Source | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """How the processes of one server are recognised."""

    server: str
    pid: int | None = None
    container: str = ""
    port: int | None = None
    """Of its gRPC service, where that is on this host."""


def host_gpus(at: Round) -> HostGpus:
    """The GPUs by NVML with the owners of their processes; old values are unknown ones."""
    source = at.gpus
    if source is None:
        return HostGpus()
    (shown,) = strip((source,), at.mono)
    reading = source.reading
    if not isinstance(reading, GpuReading) or source.off:
        return HostGpus((), shown)
    if not standing(source, reading, at).current:
        return HostGpus(tuple(_only_identity(gpu, _why(source)) for gpu in reading.gpus), shown, reading.driver_version)
    owners = [owner_of(server) for server in at.servers]
    known = {process.pid: process for process in reading.processes}
    gpus = tuple(_with_owners(gpu, known, owners) for gpu in reading.gpus)
    return HostGpus(gpus, shown, reading.driver_version)


def _why(source: SourceRound) -> str:
    return source.fault.sentence if source.fault is not None else "NVML has not been read for a while."


def _only_identity(gpu: Gpu, fault: str) -> Gpu:
    return Gpu(
        uuid=gpu.uuid,
        name=gpu.name,
        origin=gpu.origin,
        index=gpu.index,
        bus_id=gpu.bus_id,
        total_bytes=gpu.total_bytes,
        xids=gpu.xids,
        fault=gpu.fault or fault,
    )


def owner_of(server: ServerRound) -> Owner:
    """What is known of where a server runs."""
    host, _, port = server.endpoint.rpartition(":")
    local_port = int(port) if port.isdecimal() and is_loopback(host) else None
    for source in server.sources:
        if isinstance(source.reading, LaunchReading):
            launch = source.reading.launch
            return Owner(server.name, launch.pid, launch.container_id, local_port)
    return Owner(server.name, port=local_port)


def _with_owners(gpu: Gpu, known: Mapping[int, HostProcess], owners: Sequence[Owner]) -> Gpu:
    processes = tuple(_owned(process, known.get(process.pid), owners) for process in gpu.processes)
    servers = dict.fromkeys(process.server for process in processes if process.server is not None)
    return replace(gpu, processes=processes, servers=tuple(servers))


def _owned(process: GpuProcess, host: HostProcess | None, owners: Iterable[Owner]) -> GpuProcess:
    if host is None:
        return process
    server = next((owner.server for owner in owners if _owns(owner, host)), None)
    return replace(process, name=host.name, user=host.user, container=host.container, server=server)


def _owns(owner: Owner, process: HostProcess) -> bool:
    if owner.pid is not None and owner.pid in (process.pid, *process.ancestors):
        return True
    if owner.container and owner.container == process.container:
        return True
    return owner.port is not None and owner.port in process.ports


def all_gpus(host: HostGpus, of_servers: Iterable[Sequence[Gpu]], before: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """One row for each device, those of this host first; rows that did not change stay the same objects.

    Args:
        host: the GPUs by NVML.
        of_servers: the GPUs by each server's gauges.
        before: the rows of the round before.
    """
    merged = {gpu.uuid: gpu for gpu in sorted(host.gpus, key=lambda gpu: (gpu.index is None, gpu.index))}
    remote: dict[str, Gpu] = {}
    for gpus in of_servers:
        for gpu in gpus:
            rows = merged if gpu.uuid in merged else remote
            known = rows.get(gpu.uuid)
            rows[gpu.uuid] = gpu if known is None else _together(known, gpu)
    kept = {gpu.uuid: gpu for gpu in before}
    rows_in_order = (*merged.values(), *(remote[uuid] for uuid in sorted(remote)))
    return tuple(kept[gpu.uuid] if kept.get(gpu.uuid) == gpu else gpu for gpu in rows_in_order)


_GAUGES = ("utilization_ratio", "used_bytes", "total_bytes", "power_w", "power_limit_w")
"""What Triton's gauges say of a GPU."""


def _together(first: Gpu, second: Gpu) -> Gpu:
    """The same device read in two ways: the first that knows a value gives it."""
    filled = {name: getattr(second, name) for name in _GAUGES if getattr(first, name) is None}
    servers = tuple(dict.fromkeys((*first.servers, *second.servers)))
    fault = first.fault if first.origin == "nvml" or first.fault == second.fault else ""
    return replace(first, servers=servers, fault=fault, **filled)


def gpu_events(gpus: Sequence[Gpu], before: Sequence[Gpu], at: float) -> tuple[Event, ...]:
    """What happened to GPUs of this host since the round before: critical errors, and GPUs that were lost.

    Args:
        gpus: the rows of this round.
        before: the rows of the round before.
        at: wall time of this round [s since the epoch].
    """
    past = {gpu.uuid: gpu for gpu in before}
    events: list[Event] = []
    for gpu in gpus:
        if gpu.origin != "nvml":
            continue
        last = past.get(gpu.uuid)
        name = f"GPU{gpu.index} {gpu.name}".rstrip()
        seen = set(last.xids) if last is not None else set()
        new = [xid for xid in gpu.xids if xid not in seen]
        events += [Event(xid.at, EventKind.GPU_ERROR, "", text=f"{name}: XID {xid.code}") for xid in new]
        if gpu.fault and (last is None or not last.fault):
            events.append(Event(at, EventKind.GPU_ERROR, "", text=f"{name}: {gpu.fault}"))
    return tuple(events)
