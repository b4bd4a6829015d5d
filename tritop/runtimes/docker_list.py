"""Every Triton on a Docker engine, ours or not, and where it can be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritop.discovery import target_of_command
from tritop.endpoint import Endpoint
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_spec import seconds_of
from tritop.server_spec import HOST, MANAGED, OWNER, PROFILE, TRITON_LABEL
from tritop.target import GRPC_PORT, HTTP_PORT, METRICS_PORT, Target


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
    endpoint: Endpoint | None
    """Where it answers from this host; `None` where its ports are not published or it does not run."""

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
            found.append(triton_container(shown))
    return tuple(sorted(found, key=lambda container: container.name))


def looks_like_triton(listed: Mapping[str, Any]) -> bool:
    """Whether a container of the engine's list has Triton in it, by its labels or its command.

    A container's labels hold those of its image.
    """
    labels = listed.get("Labels") or {}
    return MANAGED in labels or TRITON_LABEL in labels or "tritonserver" in str(listed.get("Command", ""))


def triton_container(shown: Mapping[str, Any]) -> TritonContainer:
    """One container out of what `inspect` shows."""
    state, config = shown["State"], shown.get("Config") or {}
    labels = config.get("Labels") or {}
    managed = labels.get(MANAGED) == "1"
    name = str(shown.get("Name", "")).lstrip("/")
    status = str(state["Status"])
    over = status in ("exited", "dead")
    return TritonContainer(
        id=str(shown["Id"]),
        name=name,
        image=str(config.get("Image", "")),
        status=status,
        managed=managed,
        owner=str(labels.get(OWNER, "")) if managed else "",
        profile=str(labels.get(PROFILE, "")) if managed else "",
        started_at=None if over else seconds_of(str(state.get("StartedAt", ""))),
        finished_at=seconds_of(str(state.get("FinishedAt", ""))) if over else None,
        exit_code=int(state.get("ExitCode", 0)) if over else None,
        engine_restarts=int(shown.get("RestartCount") or 0),
        endpoint=_endpoint(shown, name) if status == "running" else None,
    )


def _endpoint(shown: Mapping[str, Any], name: str) -> Endpoint | None:
    """Where a running container answers from this host."""
    inside = _inside(shown)
    if inside is None:
        return None
    host_network = (shown.get("HostConfig") or {}).get("NetworkMode") == "host"
    published = {} if host_network else _published(shown)

    def outside(port: int) -> tuple[str, int] | None:
        return (HOST, port) if host_network else published.get(port)

    grpc = outside(inside.grpc_port)
    if grpc is None:
        return None
    http, metrics = outside(inside.http_port), outside(_metrics_port(inside))
    return Endpoint(
        name,
        grpc[0],
        grpc_port=grpc[1],
        http_port=http[1] if http else HTTP_PORT,
        metrics_url=f"http://{metrics[0]}:{metrics[1]}/metrics" if metrics and inside.metrics_url else "",
    )


def _inside(shown: Mapping[str, Any]) -> Target | None:
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


def _published(shown: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Port inside -> (address, port) on this host."""
    published: dict[int, tuple[str, int]] = {}
    for inside, bindings in ((shown.get("NetworkSettings") or {}).get("Ports") or {}).items():
        number, _, protocol = inside.partition("/")
        for binding in bindings or ():
            address, port = str(binding.get("HostIp", "")), str(binding.get("HostPort", ""))
            if protocol == "tcp" and number.isdecimal() and port.isdecimal():
                reachable = HOST if address in ("", "0.0.0.0", "::") else address
                published.setdefault(int(number), (reachable, int(port)))
    return published
