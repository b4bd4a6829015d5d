"""Drift: the running configuration of a model against its `config.pbtxt`, and saving what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from google.protobuf import text_format

from tritop.change import Drift, DriftState, FieldChange
from tritop.control.compare import diff, normalised
from tritop.control.file_config import as_loaded, file_for, in_force
from tritop.control.pbtxt import edit_pbtxt
from tritop.control.repository import (
    InTwoRepositories,
    ModelFolder,
    NotHere,
    Unreadable,
    find_model,
    signature,
    write_config,
)
from tritop.errors import OperationFailed
from tritop.model import ModelState, ModelVersion, Server
from tritop.protocol import model_config_pb2
from tritop.reading import IndexEntry

Config: TypeAlias = model_config_pb2.ModelConfig

_WILL_BE_LOST = (
    "the file comes back, and these changes are lost, when the server restarts, when the model is unloaded, "
    "and when it is loaded after one of its files was changed."
)


def drift_of(
    server: str, model: str, repositories: Sequence[Path], running: Config, index: Sequence[IndexEntry]
) -> Drift:
    """How the running configuration of a model stands to its file.

    Args:
        server: name of the server.
        model: name of the model.
        repositories: those of the server, as seen from here.
        running: its configuration, of the highest version that is READY.
        index: the repository index, which tells the version policy in force.
    """
    try:
        found = find_model(repositories, model)
        file = _parse(found)
    except NotHere as error:
        return Drift(server, model, DriftState.NOT_HERE, text=str(error))
    except InTwoRepositories as error:
        return Drift(server, model, DriftState.AMBIGUOUS, text=str(error))
    except Unreadable as error:
        return Drift(server, model, DriftState.UNREADABLE, text=str(error))
    changes = _changes(found, file, in_force(running, file, index))
    path = str(found.path)
    if changes:
        text = f"What runs differs from {path}: {_WILL_BE_LOST}"
        return Drift(server, model, DriftState.DRIFTED, changes, path, text)
    if found.content is None:
        return Drift(server, model, DriftState.NO_FILE, text=f"{model} has no config file; the server completed it.")
    return Drift(server, model, DriftState.SAME, path=path, text=f"{path} says what runs.")


def _parse(found: ModelFolder) -> Config:
    try:
        return text_format.Parse(found.text, Config())
    except (text_format.ParseError, UnicodeError) as error:
        said = " ".join(str(error).split())
        raise Unreadable(f"{found.path} is no model configuration: {said}") from error


def _changes(found: ModelFolder, file: Config, running: Config) -> tuple[FieldChange, ...]:
    made = as_loaded(file, running, completes_itself=found.completes_itself)
    return diff(made, normalised(running))


class DriftWatch:
    """Looks at the files of all models again and again, and compares only what changed.

    Args:
        repositories_of: the repositories of a server by its name, empty where none is readable.
    """

    def __init__(self, repositories_of: Callable[[str], Sequence[Path]]) -> None:
        self._repositories_of = repositories_of
        self._known: dict[tuple[str, str], tuple[tuple[object, ...], Drift]] = {}

    def look(self, servers: Iterable[Server]) -> tuple[Drift, ...]:
        """The drift of every loaded model whose repository is readable; reads files, so not on an event loop."""
        known: dict[tuple[str, str], tuple[tuple[object, ...], Drift]] = {}
        for server in servers:
            repositories = self._repositories_of(server.name)
            if repositories:
                for rows in _by_model(server.models):
                    key = (server.name, rows[0].name)
                    known[key] = self._compared(key, repositories, rows)
        self._known = known
        return tuple(drift for _, drift in known.values())

    def _compared(
        self, key: tuple[str, str], repositories: Sequence[Path], rows: Sequence[ModelVersion]
    ) -> tuple[tuple[object, ...], Drift]:
        server, model = key
        texts = tuple((row.version, row.state, row.reason, row.config.pbtxt if row.config else "") for row in rows)
        mark = (signature(repositories, model), texts)
        before = self._known.get(key)
        if before is not None and before[0] == mark:
            return before
        newest = max((row for row in rows if _runs(row)), key=lambda row: int(row.version))
        assert newest.config is not None
        running = text_format.Parse(newest.config.pbtxt, Config())
        index = tuple(IndexEntry(row.name, row.version, *_listed(row)) for row in rows)
        return mark, drift_of(server, model, repositories, running, index)


def _by_model(rows: Iterable[ModelVersion]) -> list[list[ModelVersion]]:
    models: dict[str, list[ModelVersion]] = {}
    for row in rows:
        models.setdefault(row.name, []).append(row)
    return [rows for rows in models.values() if any(_runs(row) for row in rows)]


def _runs(row: ModelVersion) -> bool:
    known = row.config is not None and row.config.pbtxt != ""
    return row.state is ModelState.READY and row.version.isdecimal() and known


def _listed(row: ModelVersion) -> tuple[str, str]:
    """State and reason as the repository index gives them."""
    if row.state is ModelState.UNLOADED:
        return "UNAVAILABLE", row.reason or "unloaded"
    return row.state.value, row.reason


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving wrote."""

    text: str
    """One sentence."""
    diff: tuple[FieldChange, ...]
    """`before` is the file as it was."""
    path: Path
    backup: Path | None = None
    content_before: str = ""
    content_after: str = ""


def plan_save(
    model: str, repositories: Sequence[Path], running: Config, index: Sequence[IndexEntry]
) -> tuple[ModelFolder, Saved]:
    """What saving would write; writes nothing.

    Raises:
        OperationFailed: there is no such file here, or it cannot be changed for certain.
    """
    found = find_model(repositories, model)
    file = _parse(found)
    running = in_force(running, file, index)
    changes = _changes(found, file, running)
    if not changes:
        return found, Saved(f"nothing to do: {found.path} says what runs.", (), found.path)
    wanted = file_for(file, running, completes_itself=found.completes_itself)
    text = edit_pbtxt(found.text, wanted)
    # What the server fills in by itself differs as well, and is not written.
    written = diff(file, wanted)
    fields = ", ".join(change.path for change in written)
    return found, Saved(
        f"{fields} of {model} saved in {found.path}",
        written,
        found.path,
        content_before=found.text,
        content_after=text,
    )


def plan_file_edit(
    model: str, repositories: Sequence[Path], current: Config, wanted: Config, index: Sequence[IndexEntry]
) -> tuple[ModelFolder, bytes, tuple[FieldChange, ...]]:
    """What to write so that the server runs another configuration once it reads the file; writes nothing.

    Args:
        model: its name.
        repositories: those of its server, as seen from here.
        current: its configuration.
        wanted: the one it is to have.
        index: the repository index of its server.

    Returns:
        The file as it is, what it is to hold, and the fields that differ between the two.

    Raises:
        OperationFailed: there is no such file here, or it cannot be changed for certain.
    """
    found = find_model(repositories, model)
    file = _parse(found)
    running = Config()
    running.CopyFrom(wanted)
    if wanted.version_policy == current.version_policy:
        running = in_force(running, file, index)
    target = file_for(file, running, completes_itself=found.completes_itself)
    text = edit_pbtxt(found.text, target)
    return found, text.encode(errors="surrogateescape"), diff(file, target)


def save(
    model: str,
    repositories: Sequence[Path],
    running: Config,
    index: Sequence[IndexEntry],
    *,
    backups: Path | None = None,
) -> Saved:
    """Write what runs into the config file of a model, changing only the fields that differ.

    Args:
        model: its name.
        repositories: those of its server, as seen from here.
        running: its configuration.
        index: the repository index of its server.
        backups: where the backup goes, by default into tritop's own folder.

    Raises:
        OperationFailed: nothing was written; the sentence says why.
    """
    found, planned = plan_save(model, repositories, running, index)
    if not planned.diff:
        return planned
    backup = write_config(found, planned.content_after.encode(errors="surrogateescape"), backups=backups)
    after = _parse(find_model(repositories, model))
    if drift := _changes(found, after, in_force(running, after, index)):
        raise OperationFailed(
            f"{found.path} was written, and does not say what runs: {', '.join(str(one) for one in drift)}.",
            f"What it held before is in {backup}." if backup else "",
        )
    return replace(planned, backup=backup, text=f"{planned.text}. {_next_load(found, backup)}")


def _next_load(found: ModelFolder, backup: Path | None) -> str:
    """What the write means for the server (seen on 2.51; its core compares names and times of files)."""
    if backup is None:
        return "The next load of the model reads it, which is a full reload, because there was no file before."
    kept = f"What it held before is in {backup}."
    return f"The next load finds in it what runs, so it changes nothing. {kept}"
