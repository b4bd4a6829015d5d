"""ServerSpec: how a server is to be run in a container, and the `docker run` line that does the same.

Pure. `docker_spec` makes the engine's create arguments out of the same values; a test on a real
engine holds that both make the same container.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tritop.errors import UsageError

HOST = "127.0.0.1"
"""Where published ports are bound: Triton has no authentication."""
DEFAULT_IMAGE = "nvcr.io/nvidia/tritonserver:26.01-py3"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
"""Inside the container: Triton's defaults."""
REPOSITORY_IN_CONTAINER = "/models"
EXIT_TIMEOUT_S = 30
STOP_MARGIN_S = 10
"""Triton may use up its exit timeout; only then may the engine kill it."""
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
"""The engine's default is an unlimited log."""
LABEL = "io.github.tritop."
"""Prefix of tritop's labels."""
MANAGED, PROFILE, SPEC, OWNER, SCHEMA = (LABEL + word for word in ("managed", "profile", "spec", "owner", "schema"))
TRITON_LABEL = "com.nvidia.tritonserver.version"
"""Label of every image with Triton in it that NVIDIA's build made."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = ("--http-port", "--grpc-port", "--metrics-port", "--http-address", "--grpc-address", "--metrics-address")


@dataclass(frozen=True, slots=True)
class Ports:
    """The three ports of one server on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server to be run in a container. Secrets are not part of it: `environment` holds names."""

    name: str
    """Of the profile; its container is called `tritop-<name>`."""
    image: str = DEFAULT_IMAGE
    repository: str = ""
    """Absolute path of the model repository on the engine's host, mounted read-only."""
    gpus: tuple[str, ...] = ()
    """("all",), indices or UUIDs; empty for none."""
    base_port: int | None = None
    """HTTP, gRPC and metrics on this port and the two after it; `None` takes free ones."""
    shm_bytes: int = 1 << 30
    """Each instance of a Python model needs some; Docker's own default of 64 MiB is soon used up."""
    memory_bytes: int | None = None
    environment: tuple[str, ...] = ()
    """Names of variables that are handed on with the values that they have here."""
    arguments: tuple[str, ...] = ()
    """Further arguments of tritonserver; they win over ours."""
    exit_timeout_s: int = EXIT_TIMEOUT_S
    raise_limits: bool = True
    """Locked memory without a limit and a stack of 64 MiB, NVIDIA's usual flags. An engine without the
    right to raise limits (rootless, nested) refuses to start a container with them, so it is tried without."""

    @property
    def container_name(self) -> str:
        """Name of the container; the engine lets one have it, so it decides between two tritops."""
        return container_name(self.name)

    @property
    def stop_timeout_s(self) -> int:
        """How long a stop waits before the engine kills it."""
        return self.exit_timeout_s + STOP_MARGIN_S

    @property
    def digest(self) -> str:
        """SHA-256 of what was asked for: another digest means that a container was made by another spec."""
        asked_for = spec_document(replace(self, raise_limits=True))
        return hashlib.sha256(json.dumps(asked_for, sort_keys=True).encode()).hexdigest()


def container_name(name: str) -> str:
    """The container of a server."""
    return f"tritop-{name}"


def check_spec(spec: ServerSpec) -> ServerSpec:
    """Refuse what no engine could run.

    Raises:
        UsageError: a name, a port, a variable or an argument is out of place.
    """
    if not _NAME.fullmatch(spec.name):
        raise UsageError(
            f"{spec.name!r} cannot be the name of a server.", "Use letters, digits, '-', '_' and '.', up to 63 of them."
        )
    if not spec.image or not spec.image.isprintable() or " " in spec.image:
        raise UsageError(f"{spec.image!r} is no image.", f"Write it as {DEFAULT_IMAGE}.")
    if spec.base_port is not None and not 1 <= spec.base_port <= 65533:
        raise UsageError(f"{spec.base_port} cannot be the first of three ports.", "Give a number from 1 to 65533.")
    for variable in spec.environment:
        if not _VARIABLE.fullmatch(variable):
            raise UsageError(
                f"{variable.partition('=')[0]!r} is not the name of an environment variable.",
                "Give only the name: --env HF_TOKEN hands its value on without showing it.",
            )
    for argument in spec.arguments:
        if argument.partition("=")[0] in _OURS:
            raise UsageError(
                f"{argument.partition('=')[0]} is set by tritop: inside the container Triton keeps its own ports.",
                "Choose the ports on this host with --port BASE.",
            )
    return spec


def server_command(spec: ServerSpec) -> tuple[str, ...]:
    """The command in the container.

    Explicit control mode, so that models can be loaded, unloaded and healed; all of them are loaded
    at the start, whoever starts the container. A model that fails does not end the server.
    """
    given = {argument.partition("=")[0] for argument in spec.arguments}
    command = ["tritonserver"]
    if not given & {"--model-repository", "--model-store"}:
        command.append(f"--model-repository={REPOSITORY_IN_CONTAINER}")
    if "--model-control-mode" not in given:
        command.append("--model-control-mode=explicit")
        command += [] if "--load-model" in given else ["--load-model=*"]
    if "--exit-on-error" not in given:
        command.append("--exit-on-error=false")
    if "--exit-timeout-secs" not in given:
        command.append(f"--exit-timeout-secs={spec.exit_timeout_s}")
    return (*command, *spec.arguments)


def labels_of(spec: ServerSpec, owner: str) -> dict[str, str]:
    """What marks the container as ours."""
    return {MANAGED: "1", PROFILE: spec.name, SPEC: spec.digest, OWNER: owner, SCHEMA: "1"}


def port_bindings(ports: Ports) -> tuple[tuple[int, int], ...]:
    """(port in the container, port on this host), all on 127.0.0.1: Triton has no authentication."""
    return (HTTP_PORT, ports.http), (GRPC_PORT, ports.grpc), (METRICS_PORT, ports.metrics)


def raised_limits(spec: ServerSpec) -> dict[str, int]:
    """Resource limits of the container by Docker's names for them; -1 is none."""
    return {"memlock": -1, "stack": 64 * 1024 * 1024} if spec.raise_limits else {}


def gpu_request(spec: ServerSpec) -> str:
    """The value of `docker run --gpus`, "" for none."""
    if not spec.gpus:
        return ""
    return "all" if spec.gpus == ("all",) else f'"device={",".join(spec.gpus)}"'


def docker_run_line(spec: ServerSpec, ports: Ports, owner: str) -> str:
    """The command line that makes the same container; secrets stay in the environment."""
    options: list[str] = ["--detach", "--init", "--name", spec.container_name]
    if gpu_request(spec):
        options += ["--gpus", gpu_request(spec)]
    for inside, outside in port_bindings(ports):
        options += ["--publish", f"{HOST}:{outside}:{inside}"]
    if spec.repository:
        options += ["--mount", f"type=bind,source={spec.repository},target={REPOSITORY_IN_CONTAINER},readonly"]
    options += ["--shm-size", str(spec.shm_bytes)]
    for limit, most in raised_limits(spec).items():
        options += ["--ulimit", f"{limit}={most}"]
    if spec.memory_bytes is not None:
        options += ["--memory", str(spec.memory_bytes), "--memory-swap", str(spec.memory_bytes)]
    for variable in spec.environment:
        options += ["--env", variable]
    options += ["--restart", "no", "--stop-timeout", str(spec.stop_timeout_s), "--log-driver", "json-file"]
    for option, value in LOG_OPTIONS.items():
        options += ["--log-opt", f"{option}={value}"]
    for label, value in labels_of(spec, owner).items():
        options += ["--label", f"{label}={value}"]
    return shlex.join(("docker", "run", *options, spec.image, *server_command(spec)))


def parse_size(text: str) -> int:
    """Bytes out of `512m`, `1g`, `1.5GiB` or `1073741824`; the units are powers of 1024, as Docker's.

    Raises:
        UsageError: it is none of these.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{text!r} is no size.", "Write it as 512m, 1g or 1073741824.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def parse_gpus(text: str) -> tuple[str, ...]:
    """GPUs out of `all`, `none`, `0,1` or `GPU-uuid,...`.

    Raises:
        UsageError: it is none of these.
    """
    if text == "none":
        return ()
    gpus = tuple(part.strip() for part in text.split(","))
    if gpus != ("all",) and not all(re.fullmatch(r"\d+|(?:GPU|MIG)-[0-9A-Za-z/-]+", gpu) for gpu in gpus):
        raise UsageError(f"{text!r} names no GPUs.", "Write it as all, none, 0,1 or GPU-6f2c...; UUIDs stay the same.")
    return gpus


def spec_document(spec: ServerSpec) -> dict[str, Any]:
    """The spec as JSON values, without what is at its default, so that a new field changes no digest."""
    given = {
        field.name: getattr(spec, field.name) for field in fields(spec) if getattr(spec, field.name) != field.default
    }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}


def spec_from_document(document: Mapping[str, Any]) -> ServerSpec:
    """The spec out of JSON values that `spec_document` made.

    Raises:
        TypeError: they are something else, such as those of a newer tritop.
    """
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
    }
    return ServerSpec(**values)


def ports_from_base(base: int) -> Ports:
    """The three ports from BASE on."""
    return Ports(base, base + 1, base + 2)
