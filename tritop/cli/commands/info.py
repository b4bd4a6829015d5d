"""`tritop info`: every path, and every setting with where it came from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tritop import __version__
from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.cli.text import aligned, printable
from tritop.config import Configuration, Setting
from tritop.config.file import TargetTable
from tritop.config.headers import state_of
from tritop.config.options import OPTIONS, Value

Json = dict[str, object]
Rows = list[tuple[str, ...]]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    arguments.add_connection(parser)
    arguments.add_repository(parser)
    arguments.add_interval(parser)
    arguments.add_screen(parser)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    if namespace.json:
        from tritop.cli.output import as_json

        print(as_json(describe(configuration)))
    else:
        print("\n".join(_lines(configuration)))
    return 0


def describe(configuration: Configuration) -> Json:
    """Paths, settings and targets. Of a header only where its value is and whether it is there."""
    return {
        "tritop": __version__,
        "python": sys.version.split()[0],
        "paths": {name: str(path) for name, path in _paths()},
        "config_file": str(configuration.file.path) if configuration.file.path else None,
        "config_places": [
            {"path": str(place.path), "reason": place.reason, "exists": place.path.is_file()}
            for place in configuration.places
        ],
        "settings": [
            {"key": setting.key, "value": setting.value, "origin": setting.origin}
            for setting in configuration.all_settings()
        ],
        "thresholds": [
            {"key": key, "value": list(value), "origin": origin} for key, value, origin in _thresholds(configuration)
        ],
        "targets": [_target(configuration, table) for table in configuration.file.targets.values()],
    }


def _target(configuration: Configuration, table: TargetTable) -> Json:
    return {
        "name": table.name,
        "address": table.address,
        "settings": [
            {"key": setting.key, "value": setting.value, "origin": setting.origin}
            for setting in _target_settings(configuration, table)
        ],
        "headers": [
            {"name": header.name, "from": header.reference, "state": state_of(header)} for header in table.headers
        ],
    }


def _paths() -> tuple[tuple[str, Path], ...]:
    return ("tritop", Path(__file__).resolve().parents[2]), ("python", Path(sys.executable))


def _thresholds(configuration: Configuration) -> Iterator[tuple[str, tuple[float, float], str]]:
    thresholds = configuration.screen().thresholds
    for key in type(thresholds).__dataclass_fields__:
        origin = str(configuration.file.path) if key in configuration.file.thresholds else "default"
        yield key, getattr(thresholds, key), origin


def _target_settings(configuration: Configuration, table: TargetTable) -> list[Setting]:
    return [configuration.setting(option.key, table) for option in OPTIONS if option.in_target]


def _lines(configuration: Configuration) -> Iterator[str]:
    yield f"tritop {__version__}, python {sys.version.split()[0]}"
    yield from _section("paths", [(name, str(path)) for name, path in _paths()])
    used = configuration.file.path
    places: Rows = [
        (place.reason, str(place.path), "in use" if place.path == used else "found" if place.path.is_file() else "none")
        for place in configuration.places
    ]
    yield from _section("config file, the first one found is used", places)
    yield from _section(
        "settings: flag > environment > target > file > default", _setting_rows(configuration.all_settings())
    )
    yield from _section(
        "thresholds, attention and alarm",
        [(key, f"{value[0]:g}, {value[1]:g}", origin) for key, value, origin in _thresholds(configuration)],
    )
    for table in configuration.file.targets.values():
        rows: Rows = [("address", table.address, str(used))]
        rows += _setting_rows(_target_settings(configuration, table))
        rows += [
            (f"header {header.name}", "(hidden)", f"{header.reference}, {state_of(header)}") for header in table.headers
        ]
        yield from _section(f"target {table.name}", rows)


def _setting_rows(settings: list[Setting] | tuple[Setting, ...]) -> Rows:
    return [(setting.key, _shown(setting.value), setting.origin) for setting in settings]


def _shown(value: Value) -> str:
    if value is None or value == ():
        return "--"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else value


def _section(title: str, rows: Rows) -> Iterator[str]:
    yield ""
    yield printable(title)
    if rows:
        clean = [tuple(printable(cell) for cell in row) for row in rows]
        yield from (f"  {line}" for line in aligned(clean, [False] * len(clean[0])))


COMMAND = Command(
    name="info",
    summary="Print every path, and every setting with where it came from.",
    add_arguments=_add_arguments,
    run=_run,
)
