"""The config file: where it is looked for, and what may stand in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritop.config.headers import HeaderReference, header_reference
from tritop.config.options import FILE_KEYS, OPTION_BY_KEY, TARGET_KEYS, Value
from tritop.errors import UsageError
from tritop.settings import Thresholds

SYSTEM_FILE = Path("/etc/tritop/config.toml")


@dataclass(frozen=True, slots=True)
class TargetTable:
    """One `[targets.NAME]`."""

    name: str
    address: str
    values: Mapping[str, Value] = field(default_factory=dict)
    headers: tuple[HeaderReference, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a config file says; empty where there is none."""

    path: Path | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    targets: Mapping[str, TargetTable] = field(default_factory=dict)
    servers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """`[servers.NAME]`: how `tritop up NAME` runs a container; checked by it, see `profile`."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place where a config file is looked for."""

    path: Path
    reason: str
    """Why there: `--config`, `$TRITOP_CONFIG`, `this folder`, `this user`, `this machine`."""
    required: bool = False
    """Whether it is an error that no file is there."""


def places(flag: str | None, environ: Mapping[str, str], folder: Path) -> tuple[Place, ...]:
    """Where to look, the first file found wins.

    The user's place follows the XDG base directory specification: `$XDG_CONFIG_HOME`, or
    `~/.config` where that is unset or relative.
    """
    if flag is not None:
        return (Place(Path(flag).expanduser(), "--config", required=True),)
    variable = environ.get("TRITOP_CONFIG", "")
    if variable:
        return (Place(Path(variable).expanduser(), "$TRITOP_CONFIG", required=True),)
    home = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not home.is_absolute():
        home = Path(environ.get("HOME", "/")) / ".config"
    return (
        Place(folder / "tritop.toml", "this folder"),
        Place(home / "tritop" / "config.toml", "this user"),
        Place(SYSTEM_FILE, "this machine"),
    )


def read_first(candidates: Iterable[Place]) -> ConfigFile:
    """Read the first file that exists.

    Raises:
        UsageError: a file named by flag or environment is not there, or the file found cannot be used.
    """
    for place in candidates:
        if place.path.is_file():
            return read_file(place.path)
        if place.required:
            raise UsageError(
                f"there is no config file {place.path}, which {place.reason} names.", "tritop info shows every path."
            )
    return ConfigFile()


def read_file(path: Path) -> ConfigFile:
    """Read and check one config file.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds a key or value that is not allowed.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"cannot read the config file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the config file {path} is no TOML: {error}.", "See https://toml.io for the format."
        ) from error
    _only(document, FILE_KEYS, path, "")
    return ConfigFile(
        path,
        _values(document, path, ""),
        _thresholds(_table(document, "thresholds", path, ""), path),
        {name: _target(name, table, path) for name, table in _table(document, "targets", path, "").items()},
        {
            name: _table(_table(document, "servers", path, ""), name, path, "servers.")
            for name in document.get("servers", {})
        },
    )


def _only(table: Mapping[str, object], allowed: Iterable[str], path: Path, inside: str) -> None:
    import difflib

    keys = tuple(allowed)
    for key in table:
        if key in keys:
            continue
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
        advice = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(keys))}."
        raise UsageError(f"{path}: there is no setting {inside}{key}.", advice)


def _table(table: Mapping[str, object], key: str, path: Path, inside: str) -> Mapping[str, object]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {inside}{key} is {value!r}, and should be a table.")
    return value


def _values(table: Mapping[str, object], path: Path, inside: str) -> dict[str, Value]:
    """The plain settings of a table, checked. Relative paths count from the file's folder."""
    values: dict[str, Value] = {}
    for key, raw in table.items():
        option = OPTION_BY_KEY.get(key)
        if option is None:
            continue
        try:
            value = option.read(raw)
        except ValueError as expected:
            raise UsageError(f"{path}: {inside}{key} is {raw!r}, and should be {expected}.") from None
        if key in ("tls_ca", "tls_cert", "tls_key"):
            value = str(path.parent / Path(str(value)).expanduser())
        elif key == "repository" and isinstance(value, tuple):
            value = tuple(str(path.parent / Path(folder).expanduser()) for folder in value)
        values[key] = value
    return values


def _thresholds(table: Mapping[str, object], path: Path) -> dict[str, tuple[float, float]]:
    _only(table, Thresholds.__dataclass_fields__, path, "thresholds.")
    thresholds: dict[str, tuple[float, float]] = {}
    for key, pair in table.items():
        match pair:
            case [int() | float() as attention, int() | float() as alarm] if 0 <= attention <= alarm:
                thresholds[key] = (float(attention), float(alarm))
            case _:
                raise UsageError(
                    f"{path}: thresholds.{key} is {pair!r}, and should be two numbers, [attention, alarm].",
                    "The second is not below the first.",
                )
    return thresholds


def _target(name: str, table: object, path: Path) -> TargetTable:
    inside = f"targets.{name}."
    if not isinstance(table, dict):
        raise UsageError(f"{path}: targets.{name} is {table!r}, and should be a table.")
    _only(table, TARGET_KEYS, path, inside)
    address = table.get("address")
    if not isinstance(address, str):
        raise UsageError(f"{path}: {inside}address is missing.", f'Write address = "{name}:8001".')
    headers = tuple(
        header_reference(header, str(reference), f"{path}, {inside}headers")
        for header, reference in _table(table, "headers", path, inside).items()
    )
    return TargetTable(name, address, _values(table, path, inside), headers)
