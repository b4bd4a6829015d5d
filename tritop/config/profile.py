"""Profiles: `[servers.NAME]` of the config file, as fields of a ServerSpec. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tritop.errors import UsageError
from tritop.server_spec import parse_gpus, parse_size
from tritop.settings import LaunchProfile


def _text(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise TypeError("a text")


def _port(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("a number")


def _size(value: object) -> int:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return parse_size(str(value))
    raise TypeError('a size such as "512m"')


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise TypeError("a list of texts")


_FIELDS: dict[str, tuple[str, Callable[[object], object]]] = {
    "image": ("image", _text),
    "repository": ("repository", _text),
    "gpus": ("gpus", lambda value: parse_gpus(_text(value))),
    "port": ("base_port", _port),
    "shm_size": ("shm_bytes", _size),
    "memory": ("memory_bytes", _size),
    "env": ("environment", _texts),
    "args": ("arguments", _texts),
}
"""Key in the file -> (field of ServerSpec, how it is read)."""


def fields_of_profile(name: str, table: Mapping[str, object], where: str) -> dict[str, Any]:
    """The fields of a ServerSpec that a profile gives.

    Args:
        name: of the profile.
        table: `[servers.NAME]`.
        where: path of the file, for the sentence of an error.

    Raises:
        UsageError: a key or a value is not allowed.
    """
    given: dict[str, Any] = {"name": name}
    for key, value in table.items():
        if key not in _FIELDS:
            raise UsageError(f"{where}: there is no setting servers.{name}.{key}.", f"Known: {', '.join(_FIELDS)}.")
        field, read = _FIELDS[key]
        try:
            given[field] = read(value)
        except TypeError as expected:
            raise UsageError(f"{where}: servers.{name}.{key} is {value!r}, and should be {expected}.") from None
        except UsageError as error:
            raise UsageError(f"{where}: servers.{name}.{key}: {error.sentence}", error.advice) from None
    return given


def launch_profiles(servers: Mapping[str, Mapping[str, object]], path: Path | None) -> tuple[LaunchProfile, ...]:
    """Every profile of the file; one that cannot be used keeps nobody from the others, nor from watching.

    Args:
        servers: `[servers.NAME]` by name.
        path: of the file; a relative repository is beside it.
    """
    profiles = []
    for name, table in servers.items():
        try:
            fields = fields_of_profile(name, table, str(path))
        except UsageError as error:
            profiles.append(LaunchProfile(name, {}, f"{error.sentence} {error.advice}".strip()))
            continue
        profiles.append(LaunchProfile(name, beside(path, fields)))
    return tuple(profiles)


def beside(path: Path | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with a relative repository taken as beside the file; whether it is there is not looked at."""
    found = dict(fields)
    if "repository" in found and path is not None:
        found["repository"] = str(path.parent / Path(found["repository"]).expanduser())
    return found
