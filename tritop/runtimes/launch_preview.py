"""What a launch would do and what is in its way, found out without making anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritop.errors import TritopError
from tritop.operation import LaunchPreview
from tritop.runtimes.classify import size
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_errors import EngineFailure
from tritop.runtimes.docker_spec import environment_of
from tritop.runtimes.port_owner import process_at
from tritop.runtimes.ports import free_ports, is_free
from tritop.runtimes.repository_folder import models_in, repository_path
from tritop.runtimes.server_log import sentence_case
from tritop.server_spec import MANAGED, OWNER, ServerSpec, check_spec, docker_run_line, ports_from_base

_NVIDIA_DEVICE = Path("/dev/nvidiactl")
"""There where the NVIDIA driver of this host is loaded."""


def driver_is_here() -> bool:
    """Whether the NVIDIA driver of this host is loaded."""
    return _NVIDIA_DEVICE.exists()


def gives_gpus(info: Mapping[str, Any]) -> bool:
    """Whether an engine can give a container GPUs, as far as it says so itself.

    The list of runtimes is sufficient and not necessary, so the driver's device on this host counts too.
    """
    devices = info.get("DiscoveredDevices") or ()
    able = "nvidia" in (info.get("Runtimes") or {}) or any("nvidia" in str(one.get("ID", "")) for one in devices)
    return able or driver_is_here()


async def preview_launch(spec: ServerSpec, engine: Engine, environ: Mapping[str, str] = os.environ) -> LaunchPreview:
    """Say what a launch would do; whatever is wrong is part of the answer.

    Args:
        spec: how it is to be run.
        engine: where.
        environ: where the values of the spec's variables are from.
    """
    try:
        ports = free_ports() if spec.base_port is None else ports_from_base(spec.base_port)
        command = docker_run_line(spec, ports, engine.owner)
        check_spec(spec)
        environment_of(spec, environ)
        _check_repository(spec)
    except TritopError as error:
        return LaunchPreview(command="", obstacle=_sentence(error))
    try:
        info = await engine.info()
        obstacle = await _name_taken(spec, engine) or await _port_taken(spec, engine)
        return LaunchPreview(command, obstacle, await _notes(spec, engine, info))
    except EngineFailure as failure:
        return LaunchPreview(command, _sentence(failure))


def _sentence(error: TritopError) -> str:
    return f"{sentence_case(error.sentence)} {error.advice}".rstrip()


def _check_repository(spec: ServerSpec) -> None:
    """Refuse a repository that is no folder of this host.

    Raises:
        UsageError: it is not.
    """
    elsewhere = any(one.startswith(("--model-repository", "--model-store")) for one in spec.arguments)
    if spec.repository or not elsewhere:
        repository_path(spec.repository or "(none given)")


async def _name_taken(spec: ServerSpec, engine: Engine) -> str:
    shown = await engine.inspect(spec.container_name)
    if shown is None:
        return ""
    labels = (shown.get("Config") or {}).get("Labels") or {}
    if labels.get(MANAGED) == "1" and labels.get(OWNER) == engine.owner:
        return f"There is a server {spec.name} already ({shown['State']['Status']}). Start it, or choose another name."
    return f"A container that is not ours is named {spec.container_name}. Choose another name."


async def _port_taken(spec: ServerSpec, engine: Engine) -> str:
    if spec.base_port is None:
        return ""
    for port in range(spec.base_port, spec.base_port + 3):
        if is_free(port):
            continue
        owner = await engine.container_at(port) or process_at(port) or "somebody"
        return f"Port {port} is taken by {owner}. Choose another one, or none: free ones."
    return ""


async def _notes(spec: ServerSpec, engine: Engine, info: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if not await engine.has_image(spec.image):
        free = _free_bytes(str(info.get("DockerRootDir", "")))
        room = f" The engine's disk has {size(free)} free." if free is not None else ""
        notes.append(f"The image {spec.image} is not here: it is pulled first.{room}")
    if spec.gpus and not gives_gpus(info):
        notes.append("This engine says nothing of GPUs: it may refuse to give it any.")
    if not spec.gpus and gives_gpus(info):
        notes.append("It is given no GPU.")
    models = models_in(spec.repository) if spec.repository else None
    if models == 0:
        notes.append(f"The repository {spec.repository} holds no models.")
    return tuple(notes)


def _free_bytes(folder: str) -> int | None:
    """Free space where the engine keeps its images; `None` where that cannot be seen from here."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
