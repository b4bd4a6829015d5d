"""A model repository as a folder of this host."""

from __future__ import annotations

from pathlib import Path

from tritop.errors import UsageError


def repository_path(text: str) -> str:
    """The absolute path of a model repository.

    Raises:
        UsageError: there is no such folder here.
    """
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise UsageError(f"the model repository {path} is not a folder.", "Give the folder that holds the models.")
    if "," in str(path):
        raise UsageError(f"{path} holds a comma, which Docker cannot mount.", "Give the folder another name.")
    return str(path)


def models_in(repository: str) -> int | None:
    """How many models a repository holds, to count the loaded ones against; `None` where it cannot be read."""
    try:
        entries = [entry for entry in Path(repository).iterdir() if entry.is_dir() and entry.name[:1] != "."]
    except OSError:
        return None
    return len(entries)
