"""`tritop unload MODEL`: unload a model, or one of its versions."""

from __future__ import annotations

import argparse

from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.operation import UnloadModel


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument("--version", metavar="V", dest="model_version", default="", help="take only this version out")
    changing.add_arguments(parser)


def _run(namespace: argparse.Namespace) -> int:
    return changing.change(namespace, lambda server: UnloadModel(server, namespace.model, namespace.model_version))


COMMAND = Command(
    name="unload",
    summary="Unload a model, or one of its versions, and wait until it is gone.",
    usage="tritop unload MODEL [--version V] [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
