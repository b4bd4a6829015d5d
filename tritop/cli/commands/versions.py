"""`tritop versions MODEL`: which versions a model serves, and which it is to serve."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.cli.units import parse_versions
from tritop.operation import SetVersions

if TYPE_CHECKING:
    from tritop.control.situation import Situation


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument("--keep", metavar="CHOICE", help="latest:2, all, or versions such as 1,3; none: show them")
    changing.add_arguments(parser)


def _run(namespace: argparse.Namespace) -> int:
    if namespace.keep is None:
        return changing.show(namespace, _shown)
    versions = parse_versions(namespace.keep)
    return changing.change(namespace, lambda server: SetVersions(server, namespace.model, versions))


def _shown(situation: Situation) -> tuple[changing.Json, str]:
    rows = sorted(
        (row for row in situation.index if row.name == situation.model and row.version),
        key=lambda row: (len(row.version), row.version),
    )
    policy = _policy(situation)
    document: changing.Json = {
        "model": situation.model,
        "version_policy": policy,
        "versions": [{"version": row.version, "state": row.state, "reason": row.reason} for row in rows],
    }
    lines = [f"{row.version}  {row.state}  {row.reason.partition(chr(10))[0]}".rstrip() for row in rows]
    return document, "\n".join([f"version policy: {policy or 'not known, the model is not loaded'}", *lines])


def _policy(situation: Situation) -> str | None:
    if situation.current is None:
        return None
    from collectors.model_config import version_policy

    return version_policy(situation.current.version_policy)


COMMAND = Command(
    name="versions",
    summary="Show the versions of a model, or choose which it serves; the others are not touched.",
    usage="tritop versions MODEL [--keep latest:2 | 1,3 | all] [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
