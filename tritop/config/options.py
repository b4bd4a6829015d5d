"""The one table of settings: key in the file, flag, environment variable, default and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Value = bool | float | str | tuple[str, ...] | None
"""What a setting can be."""

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.25, 60.0

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Option:
    """One setting."""

    key: str
    """Key in the file, and the attribute of the parsed command line."""
    read: Callable[[object], Value]
    """Check and convert text or a TOML value; raises ValueError with what it should have been."""
    default: Value
    help: str
    flag: str = ""
    """"" where there is no flag."""
    variable: str = ""
    """Environment variable, "" where there is none."""
    in_target: bool = False
    """Whether `[targets.NAME]` may set it as well."""


def _seconds(value: object) -> float:
    expected = f"a number of seconds from {MIN_INTERVAL_S} to {MAX_INTERVAL_S:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(expected)
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(expected) from None
    if not (math.isfinite(seconds) and MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S):
        raise ValueError(expected)
    return seconds


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _YES + _NO:
        return value.lower() in _YES
    raise ValueError("true or false")


def _color(value: object) -> bool:
    """`NO_COLOR` counts when it is not empty, whatever it says (no-color.org)."""
    return _switch(value) if isinstance(value, bool) else not value


def _text(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("a text without control characters")


def _place(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _names(value: object) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    raise ValueError("a list of names")


def _folders(value: object) -> tuple[str, ...]:
    folders = [value] if isinstance(value, str) else value
    if isinstance(folders, list) and all(isinstance(folder, str) and folder for folder in folders):
        return tuple(folders)
    raise ValueError("a folder or a list of folders")


OPTIONS: tuple[Option, ...] = (
    Option("interval", _seconds, 1.0, "seconds between two readings", "--interval", "TRITOP_INTERVAL"),
    Option("theme", _text, None, "name of a theme", "--theme", "TRITOP_THEME"),
    Option("ascii", _switch, False, "draw with ASCII characters only", "--ascii", "TRITOP_ASCII"),
    Option("color", _color, True, "use colours", "--no-color", "NO_COLOR"),
    Option("mouse", _switch, True, "let the mouse select and scroll", "--no-mouse", "TRITOP_MOUSE"),
    Option(
        "low_bandwidth", _switch, None, "paint less often; unset: over SSH", "--low-bandwidth", "TRITOP_LOW_BANDWIDTH"
    ),
    Option("columns", _names, (), "columns of the overview in order", variable="TRITOP_COLUMNS"),
    Option("read_only", _switch, False, "offer nothing that changes a server", "--read-only", "TRITOP_READONLY", True),
    Option("metrics", _place, None, "where metrics are: a port, a URL or off", "--metrics-url", in_target=True),
    Option(
        "repository", _folders, (), "the server's model repositories as seen from here", "--repository", in_target=True
    ),
    Option("tls", _switch, None, "gRPC over TLS", "--tls", "TRITOP_TLS", True),
    Option("tls_ca", _text, None, "certificates to trust, PEM", "--tls-ca", "TRITOP_TLS_CA", True),
    Option("tls_cert", _text, None, "our certificate, PEM", "--tls-cert", "TRITOP_TLS_CERT", True),
    Option("tls_key", _text, None, "key of our certificate, PEM", "--tls-key", "TRITOP_TLS_KEY", True),
    Option(
        "tls_server_name",
        _text,
        None,
        "name in the server's certificate",
        "--tls-server-name",
        "TRITOP_TLS_SERVER_NAME",
        True,
    ),
)

OPTION_BY_KEY = {option.key: option for option in OPTIONS}

TARGET_KEYS = ("address", "headers", *(option.key for option in OPTIONS if option.in_target))
"""What `[targets.NAME]` may hold."""

FILE_KEYS = (*(option.key for option in OPTIONS), "thresholds", "targets", "servers")
"""What the top level of the file may hold."""
