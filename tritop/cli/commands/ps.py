"""`tritop ps`: every Triton on the Docker engine, ours or not."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, NamedTuple

from tritop.cli.commands import Command
from tritop.cli.text import aligned, cells, printable
from tritop.units import size

if TYPE_CHECKING:
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import TritonContainer
    from tritop.runtimes.supervisor import Health

_HEADING = ("SERVER", "CONTAINER", "STATE", "HEALTH", "SINCE", "CPU", "MEMORY", "ENDPOINT", "RUN BY", "IMAGE")
_RIGHT = [title in ("CPU", "MEMORY") for title in _HEADING]
_MEASURED = 20
"""Containers that are asked what they use: each takes a thread and a second, all at the same time."""
_MEASURING_S = 4.0


class Seen(NamedTuple):
    """One container, as it is now."""

    container: TritonContainer
    health: Health
    cpu_cores: float | None
    memory_used_bytes: int | None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="also those of others that do not run")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def _run(namespace: argparse.Namespace) -> int:
    import asyncio

    containers = asyncio.run(_look(everything=namespace.all))
    if namespace.json:
        from tritop.cli.output import as_json

        print(as_json({"containers": [_document(seen) for seen in containers]}))
        return 0
    rows = [_HEADING, *(_row(seen) for seen in containers)]
    print("\n".join(aligned(rows, _RIGHT)))
    return 0


async def _look(*, everything: bool) -> list[Seen]:
    import asyncio

    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import list_tritons

    engine = Engine()
    try:
        found = await list_tritons(engine)
        shown = [one for one in found if everything or one.running or (one.managed and one.owner == engine.owner)]
        running = [one for one in shown if one.status == "running"][:_MEASURED]
        healths, used = await asyncio.gather(
            asyncio.gather(*(_health(container) for container in shown)),
            asyncio.gather(*(_usage(engine, container) for container in running)),
        )
    finally:
        engine.close()
    usage = {container.id: one for container, one in zip(running, used, strict=True)}
    return [
        Seen(container, health, *usage.get(container.id, (None, None)))
        for container, health in zip(shown, healths, strict=True)
    ]


async def _usage(engine: Engine, container: TritonContainer) -> tuple[float | None, int | None]:
    """CPU [cores] and memory [bytes]; unknown where the engine does not say in time."""
    import asyncio

    from tritop.container_documents import cpu_cores_of, usage_of
    from tritop.derive.containers import memory_used
    from tritop.runtimes.docker_errors import EngineFailure

    try:
        async with asyncio.timeout(_MEASURING_S):
            stats = await engine.stats(container.id)
    except (EngineFailure, TimeoutError):
        return None, None
    sample = usage_of(stats, time.monotonic())
    return cpu_cores_of(stats), memory_used(sample) if sample is not None else None


async def _health(container: TritonContainer) -> Health:
    from tritop.runtimes.probe import HealthProbe
    from tritop.runtimes.supervisor import Health

    if container.endpoint is None:
        return Health.UNKNOWN
    probe = HealthProbe(container.endpoint)
    try:
        return await probe.ask()
    finally:
        await probe.close()


def _row(seen: Seen) -> tuple[str, ...]:
    container = seen.container
    state = container.status if container.exit_code is None else f"{container.status} ({container.exit_code})"
    since = container.started_at or container.finished_at
    words = (
        container.profile or "--",
        container.name,
        state,
        _HEALTH_WORDS[seen.health.value],
        _age(since),
        _cores(seen.cpu_cores),
        size(seen.memory_used_bytes),
        container.address or "--",
        container.owner or "others",
        container.image,
    )
    return tuple(_short(printable(word)) for word in words)


_HEALTH_WORDS = {"UNKNOWN": "--", "SILENT": "no answer", "LIVE": "not ready", "READY": "ready"}
_WIDEST = 60


def _short(text: str) -> str:
    return text if cells(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _cores(cores: float | None) -> str:
    return "--" if cores is None else f"{cores:.2f}"


def _age(at: float | None) -> str:
    if at is None:
        return "--"
    from tritop.runtimes.docker_launch import duration

    return duration(max(0.0, time.time() - at))


def _document(seen: Seen) -> dict[str, object]:
    container, health = seen.container, seen.health
    endpoint = container.endpoint
    return {
        "name": container.profile or None,
        "container": container.name,
        "id": container.id,
        "image": container.image,
        "state": container.status,
        "health": None if health.value == "UNKNOWN" else _HEALTH_WORDS[health.value],
        "managed": container.managed,
        "owner": container.owner or None,
        "started_at": _iso(container.started_at),
        "finished_at": _iso(container.finished_at),
        "exit_code": container.exit_code,
        "engine_restarts": container.engine_restarts,
        "cpu_cores": seen.cpu_cores,
        "memory_used_bytes": seen.memory_used_bytes,
        "memory_limit_bytes": container.memory_limit_bytes,
        "endpoint": container.address or None,
        "metrics": (endpoint.metrics_url or None) if endpoint else None,
    }


def _iso(at: float | None) -> str | None:
    from tritop.cli.output import iso8601

    return None if at is None else iso8601(at)


COMMAND = Command(
    name="ps",
    summary="List the Triton containers of this host, ours and others.",
    add_arguments=_add_arguments,
    run=_run,
)
