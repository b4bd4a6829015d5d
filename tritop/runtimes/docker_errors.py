"""Everything that an engine can answer, turned into one EngineFailure: what it means, and what to do.

The texts are those of Docker 20.10 to 29 (moby's source, and measured on 20.10.24). An APIError of
the SDK is also an OSError, and errors of the transport pass through it untouched, so everything is
looked at here, in one place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tritop.errors import AccessDenied, RuntimeFailure, TimedOut, Unreachable
from tritop.runtimes.server_log import clean_line, sentence_case
from tritop.runtimes.supervisor import Ending, EndingKind

TOOLKIT = (
    "Install the NVIDIA Container Toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && "
    "sudo systemctl restart docker. Without a GPU: --gpus none."
)
_PORT_TAKEN = re.compile(r"address already in use|port is already allocated")
_PORT = re.compile(r"(?:listen tcp[46]?|Bind for|host port for) (?:\[[^\]]*\]|[\d.]+):(\d+)")
_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"no such host|connection refused|i/o timeout|TLS handshake|connection reset|network is unreachable|EOF"
    r"|deadline exceeded|Client\.Timeout",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"unauthorized|authentication required|access denied|denied:|no basic auth", re.IGNORECASE)
_NO_IMAGE = re.compile(
    r"manifest unknown|manifest for .* not found|name unknown|repository .* not found", re.IGNORECASE
)

_PERMANENT = (
    (r"could not select device driver", "this engine cannot give a container GPUs", TOOLKIT),
    (r"[Uu]nknown runtime|unknown or invalid runtime", "this engine has no NVIDIA runtime", TOOLKIT),
    (
        r"CDI device injection failed|unresolvable CDI device",
        "the engine knows no such GPU device (CDI)",
        "Write its description: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ),
    (
        r"nvml error: driver not loaded|driver/library version mismatch|nvidia-container-cli: initialization error",
        "the NVIDIA driver of this host cannot be used",
        "Look at nvidia-smi; after an update of the driver reboot, or load its module anew.",
    ),
    (r"unknown device", "there is no such GPU", "nvidia-smi -L lists the GPUs with their UUIDs."),
    (r"bind source path does not exist", "the model repository is not there", "Give a folder of the engine's host."),
    (
        r"executable file not found",
        "there is no tritonserver in this image",
        "Take an image with Triton in it, such as nvcr.io/nvidia/tritonserver.",
    ),
    (r"Invalid container name", "the engine refuses the name", "Choose another one with --name."),
    (r"invalid reference format", "that is no name of an image", "Write it as nvcr.io/nvidia/tritonserver:26.01-py3."),
    (r"cannot assign requested address", "that address is not one of this host", "Look at ip address."),
    (r"platform .* does not match|no match for platform", "the image was built for another kind of processor", ""),
)


NO_LIMITS = re.compile(r"error setting rlimit")
"""The engine may not raise the limits of a container."""


class EngineFailure(RuntimeFailure):
    """The engine did not do what it was asked to do.

    Args:
        kind: what it means for the next attempt.
        sentence: see TritopError.
        advice: see TritopError.
        port: the host port that is taken, where that is the failure.
        title: that of the ReadError which it is for whoever only looks.
    """

    def __init__(
        self,
        kind: EndingKind,
        sentence: str,
        advice: str = "",
        *,
        port: int | None = None,
        title: str = Unreachable.title,
    ) -> None:
        super().__init__(sentence, advice)
        self.kind = kind
        self.title = title
        self.port = port
        """The host port that is taken, where that is the failure."""

    def ending(self) -> Ending:
        """The same for the supervisor."""
        return Ending(self.kind, sentence_case(self.sentence), None, self.sentence, self.advice)


def caught() -> tuple[type[Exception], ...]:
    """What a call of the SDK can raise: its own errors, and those of the two layers below it."""
    import docker.errors
    import requests
    import urllib3.exceptions

    return (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        json.JSONDecodeError,
        OSError,
    )


def engine_failure(error: Exception, what: str, address: str) -> EngineFailure:
    """The failure behind an exception of the SDK.

    Args:
        error: one of `caught()`.
        what: what was asked of the engine, to follow on "could not".
        address: of the engine.
    """
    import docker.errors

    if isinstance(error, docker.errors.APIError):
        status = error.status_code or 0
        text = clean_line(str(error.explanation or error).strip()) or f"status {status}"
        return _by_answer(text, status, what, missing_image=isinstance(error, docker.errors.ImageNotFound))
    return transport_failure(error, address)


def transport_failure(error: BaseException, address: str) -> EngineFailure:
    """The failure behind an error of the connection to the engine: nothing is known of what became of the call."""
    for cause in _causes(error):
        if isinstance(cause, FileNotFoundError):
            return EngineFailure(
                EndingKind.LOST,
                f"there is no Docker engine at {address}.",
                "Start it (sudo systemctl start docker), or name another one with DOCKER_HOST.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return EngineFailure(
                EndingKind.LOST, f"no Docker engine listens at {address}.", "Start it: sudo systemctl start docker"
            )
        if isinstance(cause, PermissionError):
            return EngineFailure(
                EndingKind.LOST,
                f"this user may not use the Docker engine at {address}.",
                "Become a member of the group docker (sudo usermod -aG docker $USER, then log in again), or use a "
                "rootless engine.",
                title=AccessDenied.title,
            )
    if any(isinstance(cause, TimeoutError) or "timed out" in str(cause) for cause in _causes(error)):
        return EngineFailure(
            EndingKind.LOST,
            f"the Docker engine at {address} does not answer.",
            "Look at its log: sudo journalctl -u docker -n 50",
            title=TimedOut.title,
        )
    text = clean_line(str(error))
    return EngineFailure(EndingKind.LOST, f"the connection to the Docker engine at {address} broke: {text}.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and what the layers below wrapped into its arguments."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, tuple):
            waiting += cause
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, *cause.args, getattr(cause, "reason", None)]


def _by_answer(text: str, status: int, what: str, *, missing_image: bool) -> EngineFailure:
    failure = _in_the_way(text, status, what)
    if failure is None and status == 404 and not missing_image:
        failure = EngineFailure(EndingKind.CANCELLED, f"could not {what}: it is gone.")
    for pattern, sentence, advice in _PERMANENT:
        if failure is None and re.search(pattern, text):
            failure = EngineFailure(EndingKind.PERMANENT, f"{sentence}: {text}.", advice)
    kind = EndingKind.WORLD if status >= 500 else EndingKind.PERMANENT
    return failure or EngineFailure(kind, f"could not {what}: {text}.")


def _in_the_way(text: str, status: int, what: str) -> EngineFailure | None:
    """What may go away by itself: a taken port, a full disk, a name that another container has."""
    if _PORT_TAKEN.search(text):
        found = _PORT.search(text)
        port = int(found[1]) if found else None
        which = f"port {port}" if port else "one of its ports"
        return EngineFailure(
            EndingKind.WORLD,
            f"{which} is taken.",
            "Choose other ports with --port BASE, or none: free ones.",
            port=port,
        )
    if _SPACE.search(text):
        return EngineFailure(
            EndingKind.WORLD,
            f"could not {what}: the engine's disk is full.",
            "Look at docker system df, and remove images that nobody needs.",
        )
    if status == 409 and "is already in use" in text:
        return EngineFailure(EndingKind.WORLD, f"could not {what}: another container has that name.", "tritop ps")
    return None


def pull_failure(text: str, image: str) -> EngineFailure:
    """The failure behind what the engine says of a pull, before or in the middle of it."""
    text = clean_line(text.strip())
    if _SPACE.search(text):
        return EngineFailure(
            EndingKind.WORLD,
            f"the engine's disk is too full for {image}.",
            "Look at docker system df, and remove images that nobody needs.",
        )
    if _REFUSED.search(text):
        registry = image.partition("/")[0] if "/" in image else ""
        return EngineFailure(
            EndingKind.PERMANENT,
            f"the registry does not hand out {image}: {text}.",
            f"Look at the name, or log in: docker login {registry}".rstrip(),
        )
    if _NO_IMAGE.search(text):
        return EngineFailure(
            EndingKind.PERMANENT, f"the registry has no image {image}: {text}.", "Look at its name and tag."
        )
    if _NO_NETWORK.search(text):
        return EngineFailure(
            EndingKind.WORLD,
            f"the image {image} could not be pulled, because its registry cannot be reached: {text}.",
            "Look at the engine's network and proxy, or load the image: docker load < image.tar",
        )
    return EngineFailure(EndingKind.WORLD, f"the image {image} could not be pulled: {text}.")
