"""What `--json`, `--ndjson` and `--once` print.

The JSON is a contract that people script against: names do not change, more may come. Unknown is
null, and NaN and infinities, which JSON does not have, are unknown. Every field is mapped by
hand, so that renaming something inside tritop cannot rename it in somebody's script.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from tritop.model import (
    BatchSize,
    Container,
    Event,
    Fault,
    Gpu,
    Launch,
    ModelConfig,
    ModelState,
    ModelVersion,
    Server,
    ServerState,
    Snapshot,
    Source,
    SourceState,
    Traffic,
    Verdict,
)

Json = dict[str, object]

UNREACHABLE_STATES = (
    ServerState.CONNECTING,
    ServerState.UNREACHABLE,
    ServerState.UNRESPONSIVE,
    ServerState.NOT_TRITON,
)
"""States of a server of which one cannot say how it is."""


def exit_code(snapshot: Snapshot) -> int:
    """0 when every server is READY and no model FAILED, 3 when a server cannot be reached, else 1."""
    if not snapshot.servers or any(map(_unreachable, snapshot.servers)):
        return 3
    healthy = all(
        server.state is ServerState.READY and all(model.state is not ModelState.FAILED for model in server.models)
        for server in snapshot.servers
    )
    return 0 if healthy else 1


def _unreachable(server: Server) -> bool:
    """Whether nothing at all could be read of a server, wrong credentials included."""
    unread = bool(server.sources) and all(source.state is SourceState.FAULT for source in server.sources)
    return unread or server.state in UNREACHABLE_STATES


def as_json(document: Json) -> str:
    """One line of ASCII, harmless to any terminal."""
    return json.dumps(document, allow_nan=False, separators=(", ", ": "))


def snapshot_document(snapshot: Snapshot) -> Json:
    """A Snapshot as design section 8 fixes it."""
    return {
        "at": iso8601(snapshot.at),
        "interval_s": _finite(snapshot.interval_s),
        "servers": [_server(server, snapshot) for server in snapshot.servers],
        "gpus": [_gpu(gpu) for gpu in snapshot.gpus],
        "engine": _source(snapshot.engine) if snapshot.engine else None,
        "events": [_event(event) for event in snapshot.events],
    }


def iso8601(at: float) -> str:
    """Wall time [s since the epoch] in UTC with milliseconds, such as `2026-01-31T09:30:00.250Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(at: float | None) -> str | None:
    return None if at is None else iso8601(at)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _server(server: Server, snapshot: Snapshot) -> Json:
    return {
        "name": server.name,
        "endpoint": server.endpoint,
        "metrics_endpoint": server.metrics_endpoint or None,
        "version": server.version,
        "control_mode": server.control_mode.value,
        "state": server.state.value,
        "live": server.live,
        "ready": server.ready,
        "read_only": server.read_only,
        "extensions": list(server.extensions),
        "cpu_ratio": _finite(server.cpu_ratio),
        "memory_used_bytes": server.memory_used_bytes,
        "memory_total_bytes": server.memory_total_bytes,
        "pinned_used_bytes": server.pinned_used_bytes,
        "pinned_total_bytes": server.pinned_total_bytes,
        "counters_frozen": server.counters_frozen,
        "models": [model_document(model) for model in server.models],
        "traffic": [_traffic(traffic) for traffic in snapshot.traffic if traffic.server == server.name],
        "sources": [_source(source) for source in server.sources],
        "launch": _launch(server.launch) if server.launch else None,
        "container": container_document(server.container) if server.container else None,
        "custom": [
            {
                "family": sample.family,
                "name": sample.name or sample.family,
                "kind": sample.kind,
                "labels": dict(sample.labels),
                "value": _finite(sample.value),
                "per_s": _finite(sample.per_s),
            }
            for sample in server.custom
        ],
    }


def model_document(model: ModelVersion) -> Json:
    """One model version as it stands in `models` of the JSON."""
    return {
        "name": model.name,
        "version": model.version,
        "state": model.state.value,
        "reason": model.reason,
        "requests_per_s": _finite(model.requests_per_s),
        "failures_per_s": _finite(model.failures_per_s),
        "failures_by_reason": {reason: _finite(per_s) for reason, per_s in model.failures_by_reason},
        "inferences_per_s": _finite(model.inferences_per_s),
        "executions_per_s": _finite(model.executions_per_s),
        "batch_avg": _finite(model.batch_avg),
        "request_us": _finite(model.request_us),
        "queue_us": _finite(model.queue_us),
        "compute_input_us": _finite(model.compute_input_us),
        "compute_infer_us": _finite(model.compute_infer_us),
        "compute_output_us": _finite(model.compute_output_us),
        "quantiles": [
            {"stage": quantile.stage, "q": _finite(quantile.q), "us": _finite(quantile.us)}
            for quantile in model.quantiles
        ],
        "p99_us": _finite(model.p99_us),
        "p99_origin": model.p99_origin.value if model.p99_origin else None,
        "pending": model.pending,
        "busy_ratio": _finite(model.busy_ratio),
        "batch_sizes": [_batch_size(size) for size in model.batch_sizes],
        "batch_window_s": _finite(model.batch_window_s),
        "cache_hit_ratio": _finite(model.cache_hit_ratio),
        "last_inference_at": _time(model.last_inference_at),
        "load_duration_s": _finite(model.load_duration_s),
        "memory_bytes": dict(model.memory_bytes),
        "gpu_requests_per_s": {uuid: _finite(per_s) for uuid, per_s in model.gpu_requests_per_s},
        "age_s": _finite(model.age_s),
        "counters_restarted": model.counters_restarted,
        "verdict": _verdict(model.verdict) if model.verdict else None,
        "config": _config(model.config) if model.config else None,
    }


def _batch_size(size: BatchSize) -> Json:
    return {
        "size": size.size,
        "executions_per_s": _finite(size.executions_per_s),
        "us_per_inference": _finite(size.us_per_inference),
        "share": _finite(size.share),
    }


def _verdict(verdict: Verdict) -> Json:
    return {
        "kind": verdict.kind.value,
        "evidence": {name: _finite(value) for name, value in verdict.evidence},
        "text": verdict.text,
    }


def _config(config: ModelConfig) -> Json:
    return {
        "backend": config.backend,
        "platform": config.platform,
        "max_batch_size": config.max_batch_size,
        "scheduling": config.scheduling.value,
        "preferred_batch_sizes": list(config.preferred_batch_sizes),
        "max_queue_delay_us": config.max_queue_delay_us,
        "max_queue_size": config.max_queue_size,
        "instances": config.instances,
        "instance_groups": [
            {"name": group.name, "kind": group.kind, "count": group.count, "gpus": list(group.gpus)}
            for group in config.instance_groups
        ],
        "response_cache": config.response_cache,
        "decoupled": config.decoupled,
        "ensemble_steps": list(config.ensemble_steps),
        "version_policy": config.version_policy,
    }


def _source(source: Source) -> Json:
    return {
        "name": source.name,
        "state": source.state.value,
        "age_s": _finite(source.age_s),
        "fault": _fault(source.fault) if source.fault else None,
    }


def _fault(fault: Fault) -> Json:
    return {
        "title": fault.title,
        "sentence": fault.sentence,
        "advice": fault.advice,
        "since": _time(fault.since),
        "attempts": fault.attempts,
    }


def _traffic(traffic: Traffic) -> Json:
    return {
        "model": traffic.model,
        "version": traffic.version,
        "state": traffic.state.value,
        "concurrency": traffic.concurrency,
        "rate_per_s": _finite(traffic.rate_per_s),
        "poisson": traffic.poisson,
        "window_s": _finite(traffic.window_s),
        "requests_per_s": _finite(traffic.requests_per_s),
        "errors_per_s": _finite(traffic.errors_per_s),
        "errors_by_kind": dict(traffic.errors_by_kind),
        "p50_us": _finite(traffic.p50_us),
        "p90_us": _finite(traffic.p90_us),
        "p99_us": _finite(traffic.p99_us),
        "max_us": _finite(traffic.max_us),
        "in_flight": traffic.in_flight,
        "late": traffic.late,
        "client_cpu_ratio": _finite(traffic.client_cpu_ratio),
        "client_bound": traffic.client_bound,
        "fault": traffic.fault or None,
    }


def _launch(launch: Launch) -> Json:
    return {
        "runtime": launch.runtime,
        "state": launch.state,
        "step": launch.step,
        "done": launch.done,
        "total": launch.total,
        "restarts": launch.restarts,
        "pid": launch.pid,
        "exit_code": launch.exit_code,
        "explanation": launch.explanation,
        "log_path": launch.log_path or None,
    }


def container_document(container: Container) -> Json:
    """One container as it stands in `container` of a server."""
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "status": container.status,
        "managed": container.managed,
        "ours": container.ours,
        "owner": container.owner or None,
        "created_at": _time(container.created_at),
        "started_at": _time(container.started_at),
        "finished_at": _time(container.finished_at),
        "exit_code": container.exit_code,
        "crashed": container.crashed,
        "explanation": container.explanation or None,
        "engine_restarts": container.engine_restarts,
        "ports": [{"inside": inside, "outside": outside} for inside, outside in container.ports],
        "networks": list(container.networks),
        "gpus": container.gpus or None,
        "cpu_cores": _finite(container.cpu_cores),
        "memory_used_bytes": container.memory_used_bytes,
        "memory_limit_bytes": container.memory_limit_bytes,
        "received_bytes_per_s": _finite(container.received_bytes_per_s),
        "sent_bytes_per_s": _finite(container.sent_bytes_per_s),
        "processes": container.processes,
    }


def _gpu(gpu: Gpu) -> Json:
    return {
        "uuid": gpu.uuid,
        "name": gpu.name,
        "origin": gpu.origin,
        "index": gpu.index,
        "utilization_ratio": _finite(gpu.utilization_ratio),
        "used_bytes": gpu.used_bytes,
        "total_bytes": gpu.total_bytes,
        "power_w": _finite(gpu.power_w),
        "power_limit_w": _finite(gpu.power_limit_w),
        "temperature_c": _finite(gpu.temperature_c),
        "sm_clock_mhz": gpu.sm_clock_mhz,
        "memory_utilization_ratio": _finite(gpu.memory_utilization_ratio),
        "reserved_bytes": gpu.reserved_bytes,
        "energy_j": _finite(gpu.energy_j),
        "memory_clock_mhz": gpu.memory_clock_mhz,
        "performance_state": gpu.performance_state,
        "ecc_corrected": gpu.ecc_corrected,
        "ecc_uncorrected": gpu.ecc_uncorrected,
        "mig": gpu.mig,
        "xids": [{"at": iso8601(xid.at), "code": xid.code} for xid in gpu.xids],
        "throttle_reasons": list(gpu.throttle_reasons),
        "processes": [
            {
                "pid": process.pid,
                "name": process.name,
                "used_bytes": process.used_bytes,
                "server": process.server,
                "container": process.container,
                "user": process.user or None,
                "kind": process.kind or None,
            }
            for process in gpu.processes
        ],
        "servers": list(gpu.servers),
        "fault": gpu.fault or None,
    }


def _event(event: Event) -> Json:
    return {
        "at": iso8601(event.at),
        "kind": event.kind.value,
        "server": event.server,
        "model": event.model,
        "version": event.version,
        "who": event.who,
        "text": event.text,
    }
