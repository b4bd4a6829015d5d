"""From the command line of `tritop up` to a server: profile, kept settings, flags, and what is there already."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritop.cli.containers import desk_of, failure_of, give_up, settle
from tritop.cli.output import as_json
from tritop.config import Configuration
from tritop.config.profile import beside, fields_of_profile
from tritop.errors import ReadError, RuntimeFailure, UsageError
from tritop.runtimes.desired import Desk
from tritop.runtimes.docker import Engine, this_owner
from tritop.runtimes.docker_server import DockerServer
from tritop.runtimes.docker_spec import environment_of
from tritop.runtimes.gpu_choice import gpus_by_uuid
from tritop.runtimes.launch_preview import driver_is_here, gives_gpus
from tritop.runtimes.ports import free_ports
from tritop.runtimes.repository_folder import repository_path
from tritop.runtimes.supervisor import Phase, Wish
from tritop.server_spec import (
    MANAGED,
    OWNER,
    SPEC,
    ServerSpec,
    check_spec,
    docker_run_line,
    parse_gpus,
    parse_size,
    ports_from_base,
)

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")
_NVML_ANSWER_S = 5.0
"""Without persistence the driver is loaded by the first question, which takes seconds."""


def fields_of(namespace: argparse.Namespace, configuration: Configuration) -> dict[str, Any]:
    """The fields of a ServerSpec that the command line and the profile give; flags win.

    Raises:
        UsageError: one of them cannot be used.
    """
    fields = _profile(namespace, configuration)
    given = {
        "name": namespace.name,
        "image": namespace.image,
        "gpus": None if namespace.gpus is None else parse_gpus(namespace.gpus),
        "base_port": namespace.port,
        "shm_bytes": None if namespace.shm_size is None else parse_size(namespace.shm_size),
        "memory_bytes": None if namespace.memory is None else parse_size(namespace.memory),
        "environment": None if namespace.env is None else tuple(namespace.env),
        "arguments": tuple(namespace.arguments) or None,
    }
    return fields | {key: value for key, value in given.items() if value is not None}


def _profile(namespace: argparse.Namespace, configuration: Configuration) -> dict[str, Any]:
    """What the word REPOSITORY stands for: a profile of the config file, or a folder."""
    word, file = namespace.repository, configuration.file
    if word is None:
        return {}
    if word in file.servers:
        fields = beside(file.path, fields_of_profile(word, file.servers[word], str(file.path)))
        if "repository" in fields:
            fields["repository"] = repository_path(fields["repository"])
        return fields
    path = repository_path(word)
    name = _NOT_IN_A_NAME.sub("-", Path(path).name).strip("-._")[:63]
    return {"name": name or "triton", "repository": path}


def _spec(fields: Mapping[str, Any]) -> ServerSpec:
    """The spec of what was given.

    Raises:
        UsageError: there is no repository, or something cannot be run.
    """
    fields = {"name": "triton", **fields}
    elsewhere = any(one.startswith(("--model-repository", "--model-store")) for one in fields.get("arguments", ()))
    if not fields.get("repository") and not elsewhere:
        raise UsageError(
            "which models? No REPOSITORY is given.",
            "tritop up FOLDER, tritop up PROFILE, or tritop up -- --model-repository=s3://...",
        )
    return check_spec(ServerSpec(**fields))


def dry_run_line(namespace: argparse.Namespace, configuration: Configuration) -> str:
    """The `docker run` line of a command line; no engine is asked.

    Raises:
        UsageError: the command line cannot be used.
    """
    fields = fields_of(namespace, configuration)
    spec = asyncio.run(_with_uuids(_spec({"gpus": ("all",) if driver_is_here() else (), **fields})))
    ports = free_ports() if spec.base_port is None else ports_from_base(spec.base_port)
    return docker_run_line(spec, ports, this_owner())


async def prepare(
    namespace: argparse.Namespace, configuration: Configuration, engine: Engine, environ: Mapping[str, str]
) -> DockerServer:
    """The server that a command line means, not started yet.

    Raises:
        UsageError: the command line cannot be used.
        RuntimeFailure: no engine can be used, or the server runs with other settings.
    """
    fields = fields_of(namespace, configuration)
    desk = await desk_of(engine)
    spec = await _with_uuids(_kept(desk, fields) or _spec({"gpus": await gpus_of(engine), **fields}))
    environment_of(spec, environ)
    differs = await _runs_differently(engine, spec)
    if differs and not namespace.replace:
        raise RuntimeFailure(
            f"{spec.name} runs already, with other settings.",
            "Make it anew with --replace, or give this one another --name.",
        )
    wish = Wish.RESTART if differs else Wish.START
    return DockerServer(spec, engine, wish=wish, stop_at_end=namespace.stop_at_exit, desk=desk)


async def _with_uuids(spec: ServerSpec) -> ServerSpec:
    """The spec with GPUs by UUID, where NVML on this host knows them; otherwise as it is.

    Raises:
        UsageError: this host has no such GPU.
    """
    if not any(gpu.isdecimal() for gpu in spec.gpus):
        return spec
    from collectors.nvml import NvmlGpus

    nvml = NvmlGpus(answer_s=_NVML_ANSWER_S)
    try:
        known = {gpu.index: gpu.uuid for gpu in (await nvml.read()).gpus if gpu.index is not None}
    except ReadError:
        # No driver, or one that does not answer: the engine tells what is wrong when it starts the container.
        return spec
    finally:
        await nvml.aclose()
    return replace(spec, gpus=gpus_by_uuid(spec.gpus, known))


def _kept(desk: Desk, fields: Mapping[str, Any]) -> ServerSpec | None:
    """The settings that a server had last, where only its name is given, with the flags laid over them."""
    wanted = desk.load(str(fields["name"])) if fields.get("name") and not fields.get("repository") else None
    return check_spec(replace(wanted.spec, **fields)) if wanted is not None else None


async def gpus_of(engine: Engine) -> tuple[str, ...]:
    """All GPUs where the engine can give a container any."""
    return ("all",) if gives_gpus(await engine.info()) else ()


async def _runs_differently(engine: Engine, spec: ServerSpec) -> bool:
    shown = await engine.inspect(spec.container_name)
    if shown is None or not shown["State"].get("Running"):
        return False
    labels = (shown.get("Config") or {}).get("Labels") or {}
    ours = labels.get(MANAGED) == "1" and labels.get(OWNER) == engine.owner
    return bool(ours and labels.get(SPEC) != spec.digest)


async def up_detached(server: DockerServer, *, wait: bool, as_json: bool) -> int:
    """Start a server, tell how it goes on stderr and where it is on stdout, and leave it.

    Raises:
        RuntimeFailure: it could not be started; nothing is left behind but the log of what ran.
    """
    try:
        await server.open()
        if not server.supervises:
            raise RuntimeFailure(
                f"another tritop supervises {server.name}: {server.launch().explanation}", "Start it there."
            )
        state = await settle(server, wait=wait)
        if state.phase not in (Phase.STARTING, Phase.READY, Phase.NOT_READY):
            failure = failure_of(server)
            await give_up(server)
            raise failure
        print(_document(server) if as_json else _line(server), flush=True)
        if state.phase is Phase.NOT_READY:
            raise RuntimeFailure(
                f"{server.name} runs, and is not ready: {state.trouble}",
                f"tritop models {server.endpoint.grpc_address} says why; tritop logs {server.name} shows its log.",
            )
        return 0
    finally:
        await server.stop()


def _line(server: DockerServer) -> str:
    return f"{server.name}  {server.state.phase}  {server.endpoint.grpc_address}"


def _document(server: DockerServer) -> str:
    launch, endpoint = server.launch(), server.endpoint
    return as_json(
        {
            "name": server.name,
            "state": launch.state,
            "container": server.state.container_id,
            "endpoint": endpoint.grpc_address,
            "http": f"{endpoint.host}:{endpoint.http_port}",
            "metrics": endpoint.metrics_url,
            "pid": launch.pid,
            "explanation": launch.explanation,
            "command": launch.command,
        }
    )
