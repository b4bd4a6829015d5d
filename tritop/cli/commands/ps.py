"""`tritop ps`: every Triton on the Docker engine, ours or not."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from tritop.cli.commands import Command
from tritop.cli.text import aligned, cells, printable

if TYPE_CHECKING:
    from tritop.runtimes.docker_list import TritonContainer
    from tritop.runtimes.supervisor import Health

_HEADING = ("SERVER", "CONTAINER", "STATE", "HEALTH", "SINCE", "ENDPOINT", "RUN BY", "IMAGE")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="also those of others that do not run")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def _run(namespace: argparse.Namespace) -> int:
    import asyncio

    containers = asyncio.run(_look(everything=namespace.all))
    if namespace.json:
        from tritop.cli.output import as_json

        print(as_json({"containers": [_document(container, health) for container, health in containers]}))
        return 0
    rows = [_HEADING, *(_row(container, health) for container, health in containers)]
    print("\n".join(aligned(rows, [False] * len(_HEADING))))
    return 0


async def _look(*, everything: bool) -> list[tuple[TritonContainer, Health]]:
    import asyncio

    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import list_tritons

    engine = Engine()
    try:
        found = await list_tritons(engine)
    finally:
        engine.close()
    shown = [one for one in found if everything or one.running or (one.managed and one.owner == engine.owner)]
    healths = await asyncio.gather(*(_health(container) for container in shown))
    return list(zip(shown, healths, strict=True))


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


def _row(container: TritonContainer, health: Health) -> tuple[str, ...]:
    state = container.status if container.exit_code is None else f"{container.status} ({container.exit_code})"
    endpoint = container.endpoint.grpc_address if container.endpoint else "--"
    since = container.started_at or container.finished_at
    words = (
        container.profile or "--",
        container.name,
        state,
        _HEALTH_WORDS[health.value],
        _age(since),
        endpoint,
        container.owner or "others",
        container.image,
    )
    return tuple(_short(printable(word)) for word in words)


_HEALTH_WORDS = {"UNKNOWN": "--", "SILENT": "no answer", "LIVE": "not ready", "READY": "ready"}
_WIDEST = 60


def _short(text: str) -> str:
    return text if cells(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _age(at: float | None) -> str:
    if at is None:
        return "--"
    from tritop.runtimes.docker_launch import duration

    return duration(max(0.0, time.time() - at))


def _document(container: TritonContainer, health: Health) -> dict[str, object]:
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
        "endpoint": endpoint.grpc_address if endpoint else None,
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
