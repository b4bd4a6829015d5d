"""Where the Docker engine is, and a client of it. Everything here blocks: call it in an engine thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tritop.errors import RuntimeFailure
from tritop.runtimes.docker_errors import EngineFailure, caught, engine_failure, transport_failure
from tritop.runtimes.supervisor import EndingKind

CALL_TIMEOUT_S = 10.0
"""The SDK's own default of 60 s would leave the operator without a word for a minute."""
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_CONNECT_TIMEOUT_S = 2.0


def engine_address(environ: Mapping[str, str]) -> str:
    """Where the engine is: DOCKER_HOST, then DOCKER_CONTEXT, then the current context, then the usual socket.

    Raises:
        RuntimeFailure: that is on another machine.
    """
    address = environ.get("DOCKER_HOST", "") or _address_of_context(environ) or _usual_socket(environ)
    if address.startswith("ssh://"):
        host = address.removeprefix("ssh://").rstrip("/")
        raise RuntimeFailure(
            f"the Docker engine is behind SSH ({address}), where GPUs and processes are another machine's.",
            f"Run tritop there: ssh -t {host} tritop, with DOCKER_HOST unset on this side.",
        )
    if address.startswith("tcp://") and urlsplit(address).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise RuntimeFailure(
            f"the Docker engine is on another machine ({address}), where GPUs, ports and processes are its own.",
            "Run tritop on that machine, over SSH.",
        )
    return address


def _address_of_context(environ: Mapping[str, str]) -> str:
    from docker.context import ContextAPI

    try:
        return str(ContextAPI.kwargs_from_context(environment=dict(environ)).get("base_url") or "")
    except caught() as error:
        raise RuntimeFailure(f"the Docker context cannot be used: {error}.", "docker context ls") from error


def _usual_socket(environ: Mapping[str, str]) -> str:
    """The system's engine or, where there is none, the rootless one of this user."""
    folder = environ.get("XDG_RUNTIME_DIR", "")
    rootless = os.path.join(folder, "docker.sock")
    if folder and os.path.exists(rootless) and not os.path.exists(_DEFAULT_SOCKET.removeprefix("unix://")):
        return f"unix://{rootless}"
    return _DEFAULT_SOCKET


def check_listening(address: str) -> None:
    """Open and close a connection of its own to a local engine.

    An engine that is shutting down closes its socket first, and goes on to answer over connections
    that it has already; what it says then of containers that end is not an operator's wish.

    Raises:
        EngineFailure: nobody listens there.
    """
    if not address.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_TIMEOUT_S)
        try:
            probe.connect(address.removeprefix("unix://"))
        except OSError as error:
            raise transport_failure(error, address) from error


def open_client(address: str, timeout_s: float = CALL_TIMEOUT_S) -> Any:
    """A new `docker.DockerClient`; asks the engine for its version, and is to be used in one thread only.

    Raises:
        EngineFailure: the engine cannot be used.
    """
    import docker

    environ = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    try:
        client = docker.DockerClient.from_env(
            timeout=timeout_s, environment={**environ, "DOCKER_HOST": address}, use_context=False
        )
        client.api.timeout = timeout_s
        version = client.version()
    except caught() as error:
        raise engine_failure(error, "ask the engine for its version", address) from error
    components = version.get("Components") or [{}]
    if "Podman" in str(components[0].get("Name", "")):
        client.close()
        raise EngineFailure(
            EndingKind.PERMANENT,
            f"podman answers at {address}: it takes requests for GPUs and silently leaves them out.",
            "Use Docker's engine, or start Triton with podman yourself and watch it: tritop HOST:8001",
        )
    return client
