"""`tritop config show | diff | edit MODEL`: the whole configuration of a model on a running server."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritop.change import ConfigEdit, DriftState
from tritop.cli import changing
from tritop.cli.commands import Command
from tritop.cli.run import complain
from tritop.errors import OperationFailed, UsageError
from tritop.operation import EditConfig

if TYPE_CHECKING:
    from tritop.control.recorded import RecordedControl
    from tritop.control.situation import Situation
    from tritop.endpoint import Endpoint

_DESCRIPTION = """The whole configuration of a model, as it runs.

show   print it
diff   compare it with config.pbtxt, where the repository is readable from here
edit   open it in $VISUAL or $EDITOR, check it, show what it will do, and apply it"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "diff", "edit"))
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    changing.add_arguments(parser)


def _run(namespace: argparse.Namespace) -> int:
    if namespace.action == "show":
        return changing.show(namespace, _shown)
    endpoint = changing.only_server(namespace)
    if namespace.action == "diff":
        return _diff(namespace, endpoint)
    return changing.run_with_control(namespace, endpoint, lambda control: _edit(control, endpoint.name, namespace))


def _shown(situation: Situation) -> tuple[changing.Json, str]:
    from google.protobuf import json_format

    from tritop.control.edit import as_pbtxt

    config = changing.config_of(situation)
    document: changing.Json = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return document, as_pbtxt(config)


def _diff(namespace: argparse.Namespace, endpoint: Endpoint) -> int:
    """Compare with the file; 1 where there is nothing to compare with."""
    states = []

    def shown(situation: Situation) -> tuple[changing.Json, str]:
        document, text = _drift(situation, endpoint.repositories)
        states.append(document["state"])
        return document, text

    code = changing.show(namespace, shown, endpoint)
    return 1 if states[0] in {DriftState.NOT_HERE, DriftState.UNREADABLE, DriftState.AMBIGUOUS} else code


def _drift(situation: Situation, repositories: Sequence[str]) -> tuple[changing.Json, str]:
    from tritop.control.drift import drift_of

    running = changing.config_of(situation)
    folders = [Path(repository) for repository in repositories]
    drift = drift_of(situation.server, situation.model, folders, running, situation.index)
    document: changing.Json = {
        "model": situation.model,
        "state": drift.state.value,
        "path": drift.path or None,
        "text": drift.text,
        "diff": [{"path": one.path, "file": one.before or None, "running": one.after or None} for one in drift.diff],
    }
    return document, "\n".join([drift.text, *(f"  {change}" for change in drift.diff)])


async def _edit(control: RecordedControl, server: str, namespace: argparse.Namespace) -> int:
    """Edit until it can be applied, or until the operator gives up."""
    from tritop.control.edit import as_pbtxt

    before = as_pbtxt(changing.config_of(await control.look(namespace.model)))
    with tempfile.TemporaryDirectory(prefix="tritop-") as folder:
        path = Path(folder) / f"{Path(namespace.model).name}.config.pbtxt"
        path.write_text(before)
        while True:
            _open_editor(path)
            text = changing.read_text(str(path))
            if text == before:
                print("nothing was changed.")
                return 0
            change = EditConfig(server, namespace.model, ConfigEdit(pbtxt=text), based_on=before)
            preview = await control.preview(change)
            if not preview.problems:
                return await changing.apply(control, change, namespace)
            for problem in preview.problems:
                complain(str(problem))
            _ask_again()


def _open_editor(path: Path) -> None:
    """Run the operator's editor and wait for it.

    Raises:
        UsageError: there is none.
        OperationFailed: it ended with an error, which is how one gives up in most of them.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except OSError as error:
        raise UsageError(f"cannot run the editor {editor}: {error.strerror}.", "Set VISUAL or EDITOR.") from error
    if ended.returncode:
        raise OperationFailed(f"{editor} ended with exit code {ended.returncode}: nothing was changed.")


def _ask_again() -> None:
    """Return if the operator wants to correct the text.

    Raises:
        OperationFailed: not, or nobody can be asked.
    """
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("Edit again? [Y/n] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in {"", "y", "yes"}:
            return
    raise OperationFailed("nothing was changed.")


COMMAND = Command(
    name="config",
    summary="Show, compare or edit the whole configuration of a model.",
    description=_DESCRIPTION,
    usage="tritop config show | diff | edit MODEL [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
