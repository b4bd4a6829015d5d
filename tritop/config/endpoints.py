"""Endpoints: the targets that were asked for, with their credentials resolved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tritop.config.effective import Configuration
from tritop.config.file import TargetTable
from tritop.config.headers import HeaderReference, header_flag
from tritop.endpoint import Endpoint, Tls
from tritop.errors import UsageError
from tritop.target import Target, metrics_url_from, parse_target


@dataclass(frozen=True, slots=True)
class Resolved:
    """The endpoints of a run, and what a person should know about how they were made."""

    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...] = ()
    """Sentences for stderr."""


def resolve_targets(configuration: Configuration, texts: Sequence[str]) -> Resolved:
    """Make an endpoint of each TARGET: the name of a `[targets.NAME]`, or an address.

    Raises:
        UsageError: a TARGET, a header or a certificate cannot be used.
    """
    endpoints, notes = [], []
    for text in texts:
        table = configuration.file.targets.get(text)
        target = parse_target(table.address if table else text)
        if target.note:
            notes.append(f"{text}: {target.note}")
        endpoints.append(endpoint_of(configuration, target, table.name if table else target.name, table))
    if len(endpoints) > 1 and _is_url(configuration.flags.get("metrics")):
        raise UsageError(
            f"--metrics-url is for one TARGET, and there are {len(endpoints)}.",
            "Give it with each: gpu-box:8001?metrics=http://gpu-box:8002/metrics",
        )
    return Resolved(tuple(with_unique_names(endpoints)), tuple(notes))


def endpoint_of(configuration: Configuration, target: Target, name: str, table: TargetTable | None = None) -> Endpoint:
    """One endpoint from a target and everything configured for it.

    Raises:
        UsageError: a header or a certificate cannot be used.
    """
    metrics = configuration.setting("metrics", table).value
    references = {header.name: header for header in (*(table.headers if table else ()), *_header_flags(configuration))}
    return Endpoint(
        name=name,
        host=target.host,
        grpc_port=target.grpc_port,
        http_port=target.http_port,
        metrics_url=metrics_url_from(metrics, target.host) if isinstance(metrics, str) else target.metrics_url,
        tls=_tls(configuration, target, table),
        headers=tuple((header.name, header.resolve(configuration.environ)) for header in references.values()),
        read_only=bool(configuration.setting("read_only", table).value),
        repositories=_repositories(configuration, table),
    )


def with_unique_names(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Number the second and later endpoints of one name: `gpu-box`, `gpu-box#2`."""
    named: list[Endpoint] = []
    taken: set[str] = set()
    for endpoint in endpoints:
        name, number = endpoint.name, 1
        while name in taken:
            number += 1
            name = f"{endpoint.name}#{number}"
        taken.add(name)
        named.append(endpoint if name == endpoint.name else replace(endpoint, name=name))
    return named


def _repositories(configuration: Configuration, table: TargetTable | None) -> tuple[str, ...]:
    folders = configuration.setting("repository", table).value
    return folders if isinstance(folders, tuple) else ()


def _is_url(flag: object) -> bool:
    return flag is not None and flag != "off"


def _header_flags(configuration: Configuration) -> tuple[HeaderReference, ...]:
    flags = configuration.flags.get("header")
    return tuple(header_flag(str(text)) for text in flags) if isinstance(flags, list) else ()


def _tls(configuration: Configuration, target: Target, table: TargetTable | None) -> Tls | None:
    """TLS is on when it is asked for, by the scheme or by any of its files, and not switched off."""
    wanted = configuration.setting("tls", table).value
    paths = {key: _pem(configuration, key, table) for key in ("tls_ca", "tls_cert", "tls_key")}
    server_name = str(configuration.setting("tls_server_name", table).value or "")
    if wanted is False or not (wanted or target.tls or server_name or any(paths.values())):
        return None
    if bool(paths["tls_cert"]) != bool(paths["tls_key"]):
        missing = "tls_key" if paths["tls_cert"] else "tls_cert"
        raise UsageError(
            "a client certificate and its key belong together, and one of them is missing.",
            f"Give --{missing.replace('_', '-')} as well.",
        )
    return Tls(paths["tls_ca"], paths["tls_cert"], paths["tls_key"], server_name)


def _pem(configuration: Configuration, key: str, table: TargetTable | None) -> str:
    setting = configuration.setting(key, table)
    if not setting.value:
        return ""
    path = os.path.expanduser(str(setting.value))
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise UsageError(
            f"{path}, which {setting.origin} names, cannot be read.", "Name a PEM file that this user may read."
        )
    return path
