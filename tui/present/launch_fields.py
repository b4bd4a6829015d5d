"""The form for a new server: its fields, and the ServerSpec of what is typed into them."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tritop.errors import UsageError
from tritop.model import Snapshot
from tritop.server_spec import DEFAULT_IMAGE, ServerSpec, check_spec, parse_gpus, parse_size
from tritop.settings import LaunchProfile

__all__ = ["LAUNCH_FIELDS", "LaunchDraft", "LaunchField", "Places", "launch_draft", "launch_values", "profile_values"]

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")
_BLANK = ServerSpec("triton")


@dataclass(frozen=True, slots=True)
class LaunchField:
    """One line of the form."""

    key: str
    label: str
    bounds: str
    """What may stand there, beside the field."""
    sentence: str
    """What it does, below the form."""


LAUNCH_FIELDS = (
    LaunchField("repository", "repository", "a folder of models",
                "Folder with a folder for each model, on the engine's host; it is mounted read-only."),
    LaunchField("image", "image", "any with tritonserver",
                "Pulled first where the engine does not have it, with the credentials that docker login has kept."),
    LaunchField("name", "name", "empty: as the folder",
                "Of the server; its container is called tritop-NAME, and tritop finds it again by its label."),
    LaunchField("gpus", "GPUs", "all, none, 0,1 or UUIDs",
                "Indices can change when the host starts again; UUIDs (GPU-6f2c..., see the GPU view) cannot."),
    LaunchField("port", "base port", "empty: free ones",
                "HTTP, gRPC and metrics on this port and the two after it, on 127.0.0.1: Triton lets everybody in."),
    LaunchField("shm", "shared memory", "such as 512m or 2g",
                "Each instance of a Python model needs some; the engine's own default of 64m is soon used up."),
    LaunchField("memory", "memory limit", "empty: none",
                "The container is ended when it takes more; swap is not added to it."),
    LaunchField("environment", "environment", "names, not values",
                "Variables handed on with the values that they have here, such as HF_TOKEN; never shown or kept."),
    LaunchField("arguments", "arguments", "of tritonserver",
                "Further arguments; they win over tritop's own, such as --model-control-mode=poll."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """What a folder may be written relative to."""

    here: str
    """The folder that tritop was started in, an absolute path."""
    home: str = ""


@dataclass(frozen=True, slots=True)
class LaunchDraft:
    """What is typed."""

    spec: ServerSpec | None
    """`None` while a field cannot be used."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Key of a field -> what is wrong with it."""


def launch_values(snapshot: Snapshot) -> dict[str, str]:
    """What stands in the fields at the beginning: all GPUs where this host has some, and free ports."""
    here = any(gpu.origin == "nvml" for gpu in snapshot.gpus)
    return {one.key: "" for one in LAUNCH_FIELDS} | {
        "image": DEFAULT_IMAGE,
        "gpus": "all" if here else "none",
        "shm": "1g",
    }


def profile_values(profile: LaunchProfile) -> dict[str, str]:
    """What a profile puts into the fields; those that it says nothing of are not among them."""
    return {
        key: _WRITERS.get(key, str)(profile.fields[name])
        for key, (name, _) in _READERS.items()
        if profile.fields.get(name) is not None
    }


def launch_draft(values: Mapping[str, str], places: Places) -> LaunchDraft:
    """The spec of what is typed, or what is wrong with which field."""
    errors: dict[str, str] = {}
    given: dict[str, Any] = {"name": "triton"}
    for key, (name, read) in _READERS.items():
        try:
            value: Any = read(values.get(key, "").strip(), places)
            if value is not None:
                given[name] = value
                check_spec(replace(_BLANK, **{name: value}))
        except UsageError as error:
            errors[key] = error.advice or error.sentence
    if not values.get("name", "").strip() and "repository" not in errors:
        given["name"] = name_of_folder(given.get("repository", ""))
    elsewhere = any(one.startswith(("--model-repository", "--model-store")) for one in given.get("arguments", ()))
    if not given.get("repository") and not elsewhere and not errors.keys() & {"repository", "arguments"}:
        errors["repository"] = "Which models? Give their folder."
    return LaunchDraft(None if errors else check_spec(ServerSpec(**given)), errors)


def name_of_folder(path: str) -> str:
    """A name for a server out of the folder of its models, as `tritop up` makes it."""
    return _NOT_IN_A_NAME.sub("-", posixpath.basename(path)).strip("-._")[:63] or "triton"


def _folder(text: str, places: Places) -> str | None:
    """An absolute path; `None` for none.

    Raises:
        UsageError: it cannot be one.
    """
    if not text:
        return None
    if not text.isprintable():
        raise UsageError("the folder holds a character that cannot be shown.", "A path without control characters.")
    if text == "~" or text.startswith("~/"):
        text = places.home + text[1:]
    return posixpath.normpath(posixpath.join(places.here, text))


def _port(text: str, places: Places) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 5:
        raise UsageError(f"{text!r} is no port.", "Give a number from 1 to 65533.")
    return int(text)


def _words(text: str, places: Places) -> tuple[str, ...] | None:
    return tuple(text.replace(",", " ").split()) or None


def _arguments(text: str, places: Places) -> tuple[str, ...] | None:
    try:
        return tuple(shlex.split(text)) or None
    except ValueError as error:
        raise UsageError(f"the arguments cannot be read: {error}.", "A quotation mark has no other end.") from None


def _size(text: str, places: Places) -> int | None:
    return parse_size(text) if text else None


_READERS: dict[str, tuple[str, Callable[[str, Places], object]]] = {
    "repository": ("repository", _folder),
    "image": ("image", lambda text, places: text or None),
    "name": ("name", lambda text, places: text or None),
    "gpus": ("gpus", lambda text, places: parse_gpus(text or "none")),
    "port": ("base_port", _port),
    "shm": ("shm_bytes", _size),
    "memory": ("memory_bytes", _size),
    "environment": ("environment", _words),
    "arguments": ("arguments", _arguments),
}
"""Field of the form -> (field of ServerSpec, how it is read; `None` leaves its default)."""


def _size_text(count_bytes: int) -> str:
    """The shortest text that is read as exactly so many bytes."""
    for unit, power in (("g", 3), ("m", 2), ("k", 1)):
        if count_bytes % 1024**power == 0:
            return f"{count_bytes // 1024**power}{unit}"
    return str(count_bytes)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "gpus": lambda gpus: ",".join(gpus) or "none",
    "shm": _size_text,
    "memory": _size_text,
    "environment": " ".join,
    "arguments": shlex.join,
}
"""Field of the form -> its text; what is read back is the same."""
