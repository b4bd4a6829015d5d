"""`tritop instances MODEL N`: how many instances of a model run, and where."""

from __future__ import annotations

import argparse

from tritop.change import ConfigEdit
from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.cli.units import parse_numbers
from tritop.errors import UsageError
from tritop.model import InstanceGroup
from tritop.operation import EditConfig

_KINDS = {"cpu": "KIND_CPU", "gpu": "KIND_GPU", "model": "KIND_MODEL", "auto": "KIND_AUTO"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument("count", metavar="N", type=int, help="instances of each group, on each of its GPUs")
    parser.add_argument("--kind", choices=tuple(_KINDS), help="make one group of this kind in place of all")
    parser.add_argument("--gpus", metavar="N,N", help="GPUs of that group, by their number; means --kind gpu")
    changing.add_arguments(parser)


def _run(namespace: argparse.Namespace) -> int:
    edit = _edit(namespace)
    return changing.change(namespace, lambda server: EditConfig(server, namespace.model, edit))


def _edit(namespace: argparse.Namespace) -> ConfigEdit:
    if namespace.count < 1:
        raise UsageError(f"{namespace.count} instances cannot run.", "To take the model out: tritop unload MODEL.")
    if namespace.kind is None and namespace.gpus is None:
        return ConfigEdit(instance_count=namespace.count)
    gpus = parse_numbers(namespace.gpus, "--gpus") if namespace.gpus is not None else ()
    group = InstanceGroup(name="", kind=_KINDS[namespace.kind or "gpu"], count=namespace.count, gpus=gpus)
    return ConfigEdit(instance_groups=(group,))


COMMAND = Command(
    name="instances",
    summary="Run so many instances of a model; requests go on being served.",
    usage="tritop instances MODEL N [--kind KIND] [--gpus 0,1] [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
