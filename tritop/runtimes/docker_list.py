"""Every Triton on a Docker engine, ours or not, and where it can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritop.container_documents import container_sight, looks_like_triton
from tritop.endpoint import Endpoint
from tritop.reading import ContainerSight
from tritop.runtimes.docker import Engine


@dataclass(frozen=True, slots=True)
class TritonContainer:
    """A container with Triton in it. Texts are the engine's and its users': untrusted."""

    id: str
    name: str
    image: str
    status: str
    """`State.Status`, in the engine's words."""
    managed: bool
    """It was made by tritop."""
    owner: str
    """user@host that made it, "" for one that tritop did not make."""
    profile: str
    """tritop's name for it, "" for one that tritop did not make."""
    started_at: float | None
    """Seconds since the epoch, for one that runs."""
    finished_at: float | None
    exit_code: int | None
    """Of its last run, for one that does not run."""
    engine_restarts: int
    """How often the engine itself restarted it."""
    memory_limit_bytes: int | None
    """`None` where it has no limit of its own."""
    endpoint: Endpoint | None
    """Where it answers from this host; `None` where its ports are not published or it does not run."""

    @property
    def address(self) -> str:
        """host:port of its gRPC on this host, "" where it cannot be reached."""
        return self.endpoint.grpc_address if self.endpoint is not None else ""

    @property
    def running(self) -> bool:
        """Whether it runs, paused or not."""
        return self.status in ("running", "paused")


async def list_tritons(engine: Engine) -> tuple[TritonContainer, ...]:
    """Every container that was made by tritop, and every other one that looks like Triton; by name.

    Raises:
        EngineFailure: the engine cannot be used.
    """
    found = []
    for listed in await engine.containers():
        if not looks_like_triton(listed):
            continue
        shown = await engine.inspect(str(listed["Id"]))
        if shown is not None:
            found.append(triton_container(shown, engine.owner))
    return tuple(sorted(found, key=lambda container: container.name))


def triton_container(shown: Mapping[str, Any], owner: str = "") -> TritonContainer:
    """One container out of what `inspect` shows."""
    sight = container_sight(shown, owner)
    container = sight.container
    return TritonContainer(
        id=container.id,
        name=container.name,
        image=container.image,
        status=container.status,
        managed=container.managed,
        owner=container.owner,
        profile=sight.profile,
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code,
        engine_restarts=container.engine_restarts,
        memory_limit_bytes=container.memory_limit_bytes,
        endpoint=endpoint_of(sight, container.name),
    )


def endpoint_of(sight: ContainerSight, name: str) -> Endpoint | None:
    """Where a container answers from this host; `None` where it cannot be reached."""
    if not sight.host:
        return None
    return Endpoint(name, sight.host, sight.grpc_port, sight.http_port, sight.metrics_url)
