"""tritop as a process of its own, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tritop.endpoint import Endpoint

TIMEOUT_S = 100.0


def environ(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without anybody's configuration of tritop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRITOP_", "XDG_", "SSH_"))}
    return kept | {"HOME": str(folder)} | dict(extra or {})


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tritop", *arguments]


def run(folder: Path, *arguments: str, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environ(folder, extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A tritop that runs on; killed at the end, whatever became of it."""
    with subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=environ(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def target(endpoint: Endpoint) -> str:
    return f"{endpoint.grpc_address}?metrics={endpoint.metrics_url}"


def only_document(stdout: str) -> dict[str, Any]:
    assert stdout.count("\n") == 1, "one JSON object on one line"
    document: dict[str, Any] = json.loads(stdout)
    return document


def models_of(server: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    return {(model["name"], model["version"]): model for model in server["models"]}
