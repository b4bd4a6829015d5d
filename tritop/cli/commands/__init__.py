"""One file for each verb. A file in this folder is a verb as soon as it has a `COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass

_NOT_VERBS = ("__init__",)


@dataclass(frozen=True, slots=True)
class Command:
    """One verb of the command line."""

    name: str
    summary: str
    """What it does, in one line."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Does it and returns the exit code; a TritopError ends it with a sentence."""
    description: str = ""
    """Longer help; the summary where it is empty."""
    usage: str = ""
    rest: str = ""
    """Attribute for the arguments after `--`, for a verb that hands them on to somebody else."""


def command_names() -> tuple[str, ...]:
    """Every verb, sorted: the files of this folder."""
    names = (os.path.splitext(entry) for entry in os.listdir(os.path.dirname(__file__)))
    return tuple(sorted(name for name, suffix in names if suffix == ".py" and name not in _NOT_VERBS))


def command(name: str) -> Command:
    """Import one verb."""
    found = importlib.import_module(f"{__name__}.{name}").COMMAND
    assert isinstance(found, Command)
    return found
