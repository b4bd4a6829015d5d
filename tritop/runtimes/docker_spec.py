"""A ServerSpec as the engine's create arguments, and what the engine shows as our own values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritop.errors import UsageError
from tritop.server_spec import (
    GRPC_PORT,
    HOST,
    HTTP_PORT,
    LOG_OPTIONS,
    METRICS_PORT,
    REPOSITORY_IN_CONTAINER,
    Ports,
    ServerSpec,
    labels_of,
    port_bindings,
    raised_limits,
    server_command,
)

Json = Mapping[str, Any]


def create_arguments(
    spec: ServerSpec, ports: Ports, owner: str, environ: Mapping[str, str], api_version: str
) -> dict[str, Any]:
    """Arguments of the SDK's `create_container`, which alone takes a stop time-out.

    A mount instead of a volume, because a missing source then is an error and not a new folder of
    root's; no restart policy, because tritop restarts; an init process, because Triton as process 1
    ignores SIGTERM until its models are loaded.

    Raises:
        UsageError: a variable of the spec is not set here.
    """
    from docker.types import HostConfig, LogConfig, Mount, Ulimit

    mounts = [Mount(REPOSITORY_IN_CONTAINER, spec.repository, type="bind", read_only=True)] if spec.repository else []
    host_config = HostConfig(
        version=api_version,
        init=True,
        mounts=mounts,
        port_bindings={f"{inside}/tcp": (HOST, outside) for inside, outside in port_bindings(ports)},
        shm_size=spec.shm_bytes,
        mem_limit=spec.memory_bytes,
        memswap_limit=spec.memory_bytes,
        ulimits=[Ulimit(name=limit, soft=value, hard=value) for limit, value in raised_limits(spec).items()],
        log_config=LogConfig(type=LogConfig.types.JSON, config=LOG_OPTIONS),
        restart_policy={"Name": "no"},
        device_requests=gpu_requests(spec),
    )
    return {
        "image": spec.image,
        "name": spec.container_name,
        "command": list(server_command(spec)),
        "labels": labels_of(spec, owner),
        "environment": environment_of(spec, environ),
        "ports": [(inside, "tcp") for inside, _ in port_bindings(ports)],
        "stop_timeout": spec.stop_timeout_s,
        "host_config": host_config,
    }


def gpu_requests(spec: ServerSpec) -> list[Any]:
    """The engine's DeviceRequests for the GPUs of a spec, as `docker run --gpus` makes them."""
    from docker.types import DeviceRequest

    if not spec.gpus:
        return []
    if spec.gpus == ("all",):
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return [DeviceRequest(device_ids=list(spec.gpus), capabilities=[["gpu"]])]


def environment_of(spec: ServerSpec, environ: Mapping[str, str]) -> list[str]:
    """NAME=VALUE for the variables that are handed on.

    Raises:
        UsageError: one of them is not set.
    """
    missing = [name for name in spec.environment if name not in environ]
    if missing:
        raise UsageError(
            f"the environment variable {missing[0]} is not set.", f"Set it, or leave --env {missing[0]} out."
        )
    return [f"{name}={environ[name]}" for name in spec.environment]


def bound_ports(inspected: Json) -> Ports | None:
    """The ports on this host that a container was made with, running or not; `None` for other than three."""
    bindings = (inspected.get("HostConfig") or {}).get("PortBindings") or {}
    found: list[int] = []
    for inside in (HTTP_PORT, GRPC_PORT, METRICS_PORT):
        for binding in bindings.get(f"{inside}/tcp") or ():
            if str(binding.get("HostPort", "")).isdecimal():
                found.append(int(binding["HostPort"]))
                break
    return Ports(*found) if len(found) == 3 else None
