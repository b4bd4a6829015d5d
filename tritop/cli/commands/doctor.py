"""`tritop doctor [REPOSITORY]`: what is missing on this host, and the command that mends it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tritop.cli.commands import Command
from tritop.errors import UsageError

if TYPE_CHECKING:
    from tritop.doctor import Check

_DESCRIPTION = """Look whether this host can run Triton: engine, GPUs, driver, disk, ports, shared memory, the embedded
Triton, the terminal, and a model repository where one is given.

Nothing is changed and nothing is pulled. With --gpu-test a container runs for a moment: is CUDA really
visible in it? It ends with 1 where anything failed."""
_COLORS = {"ok": "\x1b[32m", "warning": "\x1b[33m", "failed": "\x1b[31m"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="REPOSITORY", nargs="?", help="a model repository to look at as well")
    parser.add_argument("--image", metavar="IMAGE", help="the image that Triton would be run from")
    parser.add_argument("--port", metavar="BASE", type=int, help="the first of the three ports to be used")
    parser.add_argument("--gpu-test", metavar="IMAGE", default="", help="run this image for a moment with all GPUs")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _run(namespace: argparse.Namespace) -> int:
    from tritop.doctor import CheckState, Request, examine
    from tritop.server_spec import DEFAULT_IMAGE

    if namespace.port is not None and not 1 <= namespace.port <= 65533:
        raise UsageError(f"{namespace.port} cannot be the first of three ports.", "Give a number from 1 to 65533.")
    request = Request(
        image=namespace.image or DEFAULT_IMAGE,
        repository=Path(namespace.repository).expanduser().absolute() if namespace.repository else None,
        base_port=namespace.port,
        gpu_test_image=namespace.gpu_test,
    )
    checks: list[Check] = []
    for check in examine(request):
        checks.append(check)
        if not namespace.json:
            print("\n".join(_lines(check)), flush=True)
    any_failed = any(check.state is CheckState.FAILED for check in checks)
    if namespace.json:
        from tritop.cli.output import as_json

        print(as_json({"healthy": not any_failed, "checks": [_document(check) for check in checks]}))
    return 1 if any_failed else 0


def _lines(check: Check) -> list[str]:
    from tritop.cli.text import printable

    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    state = f"{check.state:8}"
    if colored:
        state = f"{_COLORS[check.state]}{state}\x1b[0m"
    lines = [f"{state} {check.name:12} {printable(check.sentence)}"]
    return [*lines, f"{'':21} {printable(check.mend)}"] if check.mend else lines


def _document(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "state": check.state.value,
        "sentence": check.sentence,
        "mend": check.mend or None,
    }


COMMAND = Command(
    name="doctor",
    summary="Look whether this host can run Triton, and say what mends it.",
    description=_DESCRIPTION,
    usage="tritop doctor [REPOSITORY] [OPTION...]",
    add_arguments=_add_arguments,
    run=_run,
)
