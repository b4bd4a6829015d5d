"""What a Docker engine's documents say of a container, as tritop's own values. Pure.

The documents are those of `/containers/json`, `/containers/ID/json` and `/containers/ID/stats` of
Docker 20.10 to 29; their texts are the engine's and its users': untrusted.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tritop.discovery import target_of_command
from tritop.model import Container
from tritop.reading import ContainerSight, ContainerUsage
from tritop.server_spec import HOST, MANAGED, OWNER, PROFILE, TRITON_LABEL
from tritop.target import GRPC_PORT, HTTP_PORT, METRICS_PORT, Target

Json = Mapping[str, Any]

_NEVER = "0001-01-01"
"""The engine's date of what has not happened."""
_RFC_3339 = re.compile(r"(?P<whole>[\d-]+T[\d:]+)(?:\.(?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)", re.ASCII)
"""The engine's own zone where it has one, and no fraction where it is 0."""
_OVER = ("exited", "dead")
_UNREACHED = "Its gRPC port is not published on this host, or is behind TLS: it cannot be watched from here."


def seconds_of(timestamp: str) -> float | None:
    """The engine's RFC 3339 timestamp as seconds since the epoch; `None` for one that never was."""
    if not timestamp or timestamp.startswith(_NEVER):
        return None
    found = _RFC_3339.fullmatch(timestamp)
    if found is None:
        return None
    try:
        parsed = datetime.datetime.fromisoformat(found["whole"] + found["zone"])
    except ValueError:
        return None
    return parsed.timestamp() + float(f"0.{found['fraction'] or 0}")


def looks_like_triton(listed: Json) -> bool:
    """Whether a container of the engine's list has Triton in it, by its labels or its command.

    A container's labels hold those of its image.
    """
    labels = listed.get("Labels") or {}
    return MANAGED in labels or TRITON_LABEL in labels or "tritonserver" in str(listed.get("Command", ""))


def container_sight(shown: Json, owner: str) -> ContainerSight:
    """One container out of what `inspect` shows.

    Args:
        shown: the document.
        owner: user@host of this operator.
    """
    state, config, host = shown["State"], shown.get("Config") or {}, shown.get("HostConfig") or {}
    labels = config.get("Labels") or {}
    managed = labels.get(MANAGED) == "1"
    made_by = str(labels.get(OWNER, "")) if managed else ""
    status = str(state["Status"])
    over = status in _OVER
    container = Container(
        id=str(shown["Id"]),
        name=str(shown.get("Name", "")).lstrip("/"),
        image=str(config.get("Image", "")),
        status=status,
        managed=managed,
        ours=managed and made_by == owner,
        owner=made_by,
        created_at=seconds_of(str(shown.get("Created", ""))),
        started_at=None if over else seconds_of(str(state.get("StartedAt", ""))),
        finished_at=seconds_of(str(state.get("FinishedAt", ""))) if over else None,
        exit_code=int(state.get("ExitCode", 0)) if over else None,
        engine_restarts=int(shown.get("RestartCount") or 0),
        ports=_ports(shown, running=status in ("running", "paused")),
        networks=tuple((shown.get("NetworkSettings") or {}).get("Networks") or ()),
        gpus=_gpus(host.get("DeviceRequests") or ()),
        memory_limit_bytes=int(host.get("Memory") or 0) or None,
    )
    reached = _reached(shown) if status == "running" else None
    profile = str(labels.get(PROFILE, "")) if managed else ""
    if reached is None:
        why = _UNREACHED if status == "running" else ""
        return ContainerSight(replace(container, explanation=why), profile)
    return ContainerSight(container, profile, reached.host, reached.grpc_port, reached.http_port, reached.metrics_url)


def usage_of(stats: Json, mono: float) -> ContainerUsage | None:
    """One sample of what a container uses; `None` for the empty sample of one that does not run.

    Args:
        stats: the document.
        mono: when it came.
    """
    at = seconds_of(str(stats.get("read", "")))
    cpu_ns = _cpu_ns(stats, "cpu_stats")
    memory = stats.get("memory_stats") or {}
    if at is None or not memory:
        return None
    parts = memory.get("stats") or {}
    # cgroup v1 tells of the whole tree with total_; v2 has no such name and means it anyway.
    inactive = parts.get("total_inactive_file", parts.get("inactive_file"))
    # With the network of the host or of another container there is none to count.
    networks = stats.get("networks")
    return ContainerUsage(
        at=at,
        mono=mono,
        cpu_ns=cpu_ns,
        memory_bytes=_count(memory.get("usage")),
        inactive_file_bytes=_count(inactive),
        received_bytes=_sum_of(networks, "rx_bytes"),
        sent_bytes=_sum_of(networks, "tx_bytes"),
        processes=_count((stats.get("pids_stats") or {}).get("current")),
    )


def cpu_cores_of(stats: Json) -> float | None:
    """CPU time over wall time between the two samples of one document; 1.0 is one core.

    The engine puts the sample before the newest one beside it as `precpu_stats` and `preread`, unless it was
    asked for one shot.
    """
    at, before = seconds_of(str(stats.get("read", ""))), seconds_of(str(stats.get("preread", "")))
    new, old = _cpu_ns(stats, "cpu_stats"), _cpu_ns(stats, "precpu_stats")
    if at is None or before is None or new is None or old is None or at <= before or new < old:
        return None
    return (new - old) / 1e9 / (at - before)


def _cpu_ns(stats: Json, part: str) -> int | None:
    return _count(((stats.get(part) or {}).get("cpu_usage") or {}).get("total_usage"))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sum_of(networks: Mapping[str, Json] | None, name: str) -> int | None:
    if not networks:
        return None
    return sum(_count(each.get(name)) or 0 for each in networks.values())


def _gpus(requests: Sequence[Json]) -> str:
    """GPUs that were asked for: "all", a count, or ids."""
    for request in requests:
        if ids := request.get("DeviceIDs"):
            return ",".join(map(str, ids))
        count = int(request.get("Count") or 0)
        if count:
            return "all" if count < 0 else str(count)
    return ""


def _ports(shown: Json, *, running: bool) -> tuple[tuple[int, str], ...]:
    """(port inside, address:port) of the TCP ports that are published or, while it does not run, to be published."""
    found = []
    host = shown.get("HostConfig") or {}
    bindings = ((shown.get("NetworkSettings") or {}).get("Ports") if running else host.get("PortBindings")) or {}
    for inside, outsides in bindings.items():
        number, _, protocol = inside.partition("/")
        for outside in outsides or ():
            port = str(outside.get("HostPort", ""))
            if protocol == "tcp" and number.isdecimal() and port.isdecimal():
                found.append((int(number), f"{outside.get('HostIp') or '0.0.0.0'}:{port}"))
    return tuple(sorted(found))


def _reached(shown: Json) -> Target | None:
    """Where a running container answers from this host; `None` where its gRPC port is not published."""
    inside = _inside(shown)
    if inside is None:
        return None
    if (shown.get("HostConfig") or {}).get("NetworkMode") == "host":
        return inside
    published: dict[int, tuple[str, int]] = {}
    for number, outside in _ports(shown, running=True):
        address, _, port = outside.rpartition(":")
        reachable = HOST if address in ("", "0.0.0.0", "::") else address
        published.setdefault(number, (reachable, int(port)))
    grpc = published.get(inside.grpc_port)
    if grpc is None:
        return None
    http, metrics = published.get(inside.http_port), published.get(_metrics_port(inside))
    return Target(
        grpc[0],
        grpc[1],
        http[1] if http else HTTP_PORT,
        f"http://{metrics[0]}:{metrics[1]}/metrics" if metrics and inside.metrics_url else "",
    )


def _inside(shown: Json) -> Target | None:
    """Triton's ports inside, by its command line; without TLS, whose authority nobody knows here."""
    words: Sequence[str] = [str(shown.get("Path", "")), *(str(word) for word in shown.get("Args") or ())]
    begin = next((at for at, word in enumerate(words) if word.rpartition("/")[2] == "tritonserver"), None)
    if begin is None:
        return Target(HOST, GRPC_PORT, HTTP_PORT, f"http://{HOST}:{METRICS_PORT}/metrics")
    target = target_of_command(words[begin + 1 :])
    return None if target is None or target.tls else target


def _metrics_port(inside: Target) -> int:
    digits = inside.metrics_url.rpartition(":")[2].partition("/")[0]
    return int(digits) if digits.isdecimal() else METRICS_PORT
