"""`tritop load MODEL`: load a model, one more version of it, or a model with a configuration of one's own."""

from __future__ import annotations

import argparse

from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.errors import UsageError
from tritop.operation import LoadModel


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument("--version", metavar="V", dest="model_version", default="", help="serve this version as well")
    parser.add_argument(
        "--config", metavar="FILE", dest="model_config", help="load with this configuration, pbtxt or JSON; -: stdin"
    )
    changing.add_arguments(parser, config=False)


def _run(namespace: argparse.Namespace) -> int:
    if namespace.model_version and namespace.model_config:
        raise UsageError(
            "--version and --config do not go together.", "Put version_policy into the configuration instead."
        )
    text = changing.read_text(namespace.model_config) if namespace.model_config else ""
    if namespace.model_config and not text.strip():
        raise UsageError(f"{namespace.model_config} is empty.", "Leave --config out to load what the repository has.")
    return changing.change(
        namespace, lambda server: LoadModel(server, namespace.model, namespace.model_version, pbtxt=text)
    )


COMMAND = Command(
    name="load",
    summary="Load a model, or one more version of it; what is loaded is reloaded where its files are newer.",
    usage="tritop load MODEL [--version V | --config FILE] [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
