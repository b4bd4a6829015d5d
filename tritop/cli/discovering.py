"""The Triton containers of this host, for a command line that names no server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure

if TYPE_CHECKING:
    from tritop.runtimes.docker_list import TritonContainer

_ENGINE_TIMEOUT_S = 2.0
_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class ContainersHere:
    """What an engine of this host has."""

    endpoints: tuple[Endpoint, ...] = ()
    """Running Tritons whose ports are published, ours and others."""
    answered: bool = False
    """Whether an engine answered: it may get a Triton later, by this tritop or by somebody else."""
    tried: str = ""
    """A sentence for when nothing was found."""


def containers_here(environ: Mapping[str, str] = os.environ) -> ContainersHere:
    """Ask the engine of this host, if there is one, for running Tritons. An engine in trouble is only told of."""
    if not engine_is_likely(environ):
        return ContainersHere(tried="Docker: no engine here")
    import asyncio

    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import list_tritons

    async def look() -> tuple[TritonContainer, ...]:
        engine = Engine(timeout_s=_ENGINE_TIMEOUT_S)
        try:
            return await list_tritons(engine)
        finally:
            engine.close()

    try:
        found = asyncio.run(look())
    except RuntimeFailure as failure:
        return ContainersHere(tried=f"Docker: {failure.sentence.rstrip('.')}")
    endpoints = tuple(one.endpoint for one in found if one.endpoint is not None)
    return ContainersHere(
        endpoints, True, f"Docker: {len(found)} Triton containers, none of them with its ports published"
    )


def engine_is_likely(environ: Mapping[str, str]) -> bool:
    """Whether an engine is worth asking for; looks only at names, so that a host without one pays nothing."""
    rootless = os.path.join(environ.get("XDG_RUNTIME_DIR", ""), "docker.sock")
    named = environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT")
    return bool(named) or os.path.exists(_SOCKET) or (bool(environ.get("XDG_RUNTIME_DIR")) and os.path.exists(rootless))


def engine_here(environ: Mapping[str, str] = os.environ) -> str:
    """Address of the engine of this host for a session to read, "" where none is likely or it cannot be used."""
    if not engine_is_likely(environ):
        return ""
    from tritop.runtimes.docker_client import engine_address

    try:
        return engine_address(environ)
    except RuntimeFailure:
        # The search for servers tells of it.
        return ""
