"""`tritop completion SHELL`: a script that makes the shell complete tritop's verbs and options."""

from __future__ import annotations

import argparse

from tritop.cli.commands import Command

SHELLS = ("bash", "zsh", "tcsh")

_DESCRIPTION = """Print a completion script for a shell.

bash:  tritop completion bash > ~/.local/share/bash-completion/completions/tritop
zsh:   tritop completion zsh > DIRECTORY/_tritop, with DIRECTORY in $fpath
tcsh:  tritop completion tcsh > ~/.tritop.tcsh, and source it in ~/.tcshrc"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete in")


def _run(namespace: argparse.Namespace) -> int:
    import shtab

    from tritop.cli.arguments import full_parser

    print(shtab.complete(_with_files(full_parser()), shell=namespace.shell))
    return 0


def _with_files(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Mark every argument that wants a FILE, so that file names complete there."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in set(action.choices.values()):
                _with_files(below)
        elif action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    return parser


COMMAND = Command(
    name="completion",
    summary="Print a completion script for bash, zsh or tcsh.",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
