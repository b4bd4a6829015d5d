"""One server in one round: its rows, its gauges, its state and what happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tritop.derive.catalogue import highest_ready, order, reached_by
from tritop.derive.events import Sight, notice
from tritop.derive.gauges import CustomTrack, HostGauges, host_gauges, next_custom, triton_gpus
from tritop.derive.layout import Key
from tritop.derive.process import ProcessTrack, next_process
from tritop.derive.round import Round, ServerRound
from tritop.derive.rows import RowSources, RowTrack, device_of, next_rows
from tritop.derive.sources import API, METRICS, contained_state, server_state, source_of, strip
from tritop.derive.view import View, next_view
from tritop.model import Container, ControlMode, Event, Gpu, ModelVersion, Server, Traffic
from tritop.reading import ApiReading, MetricsReading


@dataclass(frozen=True, slots=True, eq=False)
class ServerTrack:
    """One server as derived, and what the next round is compared with."""

    server: Server
    view: View = field(default_factory=View)
    gpus: tuple[Gpu, ...] = ()
    events: tuple[Event, ...] = ()
    """Noticed in this round."""
    custom: CustomTrack = field(default_factory=CustomTrack)
    keys: tuple[Key, ...] = ()
    rows: Mapping[Key, RowTrack] = field(default_factory=dict)
    sight: Sight = field(default_factory=Sight)
    process: ProcessTrack = field(default_factory=ProcessTrack)


def next_server(
    before: ServerTrack | None,
    now: ServerRound,
    at: Round,
    traffic: Iterable[Traffic],
    container: Container | None = None,
) -> ServerTrack:
    """Derive one server.

    Args:
        before: its last round, `None` in its first one.
        now: what its sources say.
        at: the round.
        traffic: our own traffic to it.
        container: where it runs, as far as that is known.
    """
    if before is None:
        before = ServerTrack(Server(now.name, now.endpoint))
    if container is not None and not now.sources:
        # A container that does not run has no models: nothing of its last run is kept.
        before = ServerTrack(before.server, sight=before.sight)
    view = next_view(before.view, now, at)
    host = host_gauges(view.exposition) if view.exposition is not None else HostGauges()
    gpus = _gpus(view, now)
    keys = _keys(before, view)
    rows = next_rows(
        before.rows, keys, RowSources(view, at.mono, _by_version(traffic, view), device_of(host.cpu_ratio, gpus))
    )
    custom = before.custom
    if view.exposition is not None:
        metrics = source_of(now, METRICS, MetricsReading)
        custom = next_custom(custom, view.exposition, metrics.period_s if metrics is not None else at.interval_s)
    process = next_process(before.process, now)
    server = replace(_server(before, now, view, host, at), container=container, processes=process.processes)
    server = replace(server, state=contained_state(server, now))
    server = replace(server, models=_models(before, rows), custom=custom.samples)
    sight = _sight(server, now, view, before.sight)
    noticed = notice(before.sight, sight, now.name, at.at, at.mono)
    sight = replace(sight, lost=noticed.lost, restarted_at=noticed.restarted_at)
    return ServerTrack(server, view, gpus, noticed.events, custom, keys, rows, sight, process)


def _server(before: ServerTrack, now: ServerRound, view: View, host: HostGauges, at: Round) -> Server:
    api = view.api
    # A server that was healthy when it last answered is not known to be so now.
    health = api if view.answered.usable else None
    return Server(
        name=now.name,
        endpoint=now.endpoint,
        state=server_state(now, view.launch, before.server.state, at),
        version=(api.version or None) if api is not None else None,
        control_mode=api.control_mode if api is not None else ControlMode.UNKNOWN,
        extensions=api.extensions if api is not None else (),
        live=health.live if health is not None else None,
        ready=health.ready if health is not None else None,
        read_only=now.read_only,
        sources=strip(now.sources, at.mono),
        cpu_ratio=host.cpu_ratio,
        memory_used_bytes=host.memory_used_bytes,
        memory_total_bytes=host.memory_total_bytes,
        pinned_used_bytes=host.pinned_used_bytes,
        pinned_total_bytes=host.pinned_total_bytes,
        counters_frozen=view.frozen,
        launch=view.launch,
        metrics_endpoint=now.metrics_endpoint,
    )


def _sight(server: Server, now: ServerRound, view: View, before: Sight) -> Sight:
    api = source_of(now, API, ApiReading)
    return Sight(
        state=server.state,
        why=api.fault.sentence if api is not None and api.fault is not None else "",
        catalogue=view.catalogue if view.api is not None else None,
        exposition=view.exposition,
        statistics=view.statistics,
        launch=view.launch,
        ended=_why_ended(server),
        # A server that restarts is asked for its mode again; until it has answered the old one stands.
        control_mode=before.control_mode if server.control_mode is ControlMode.UNKNOWN else server.control_mode,
    )


def _why_ended(server: Server) -> str:
    if server.launch is not None:
        return server.launch.explanation
    return server.container.explanation if server.container is not None else ""


def _gpus(view: View, now: ServerRound) -> tuple[Gpu, ...]:
    """The GPUs by the server's gauges; a device has no age of its own, so old values are unknown ones."""
    if view.exposition is None:
        return ()
    gpus = triton_gpus(view.exposition, now.name)
    if view.metrics.current:
        return gpus
    source = source_of(now, METRICS, MetricsReading)
    fault = source.fault.sentence if source is not None and source.fault is not None else "The metrics are stale."
    return tuple(Gpu(gpu.uuid, servers=gpu.servers, fault=fault) for gpu in gpus)


def _keys(before: ServerTrack, view: View) -> tuple[Key, ...]:
    """The versions that make rows: what the API lists, and what the metrics count.

    Series of a version that the API no longer lists are left over from a scrape that is older.
    """
    found = set(view.catalogue)
    if view.exposition is not None and (view.metrics.current or not view.listed.current):
        found |= view.exposition.columns.loaded
    if len(found) == len(before.keys) and found == set(before.keys):
        return before.keys
    return order(found)


def _models(before: ServerTrack, rows: Mapping[Key, RowTrack]) -> tuple[ModelVersion, ...]:
    models = tuple(track.row for track in rows.values())
    return before.server.models if models == before.server.models else models


def _by_version(traffic: Iterable[Traffic], view: View) -> dict[Key, Traffic]:
    traffic = tuple(traffic)
    if not traffic:
        return {}
    ready = highest_ready(view.catalogue)
    return {reached_by(one.model, one.version, ready): one for one in traffic}
