"""A model repository: can it be read, is its layout what Triton expects, which backends does it need.

The rules are those of Triton's model repository documentation: a folder for each model, in it
`config.pbtxt` and a folder for each version, whose name is a number that does not begin with 0, in
that the model's file under its backend's default name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritop.doctor.check import Check, failed, ok, warning
from tritop.errors import UsageError

NAME = "repository"
CONFIG = "config.pbtxt"
MODELS_TOLD = 20
"""Models whose problems are told one by one; the others are counted."""
_FILES = {
    "python": ("model.py",),
    "onnxruntime": ("model.onnx",),
    "tensorrt": ("model.plan",),
    "pytorch": ("model.pt", "model.py"),
    "openvino": ("model.xml", "model.onnx"),
    "tensorflow": ("model.savedmodel", "model.graphdef"),
    "vllm": ("model.json",),
}
"""Default names of the model's file or folder by backend; one of them is there."""
_BACKENDS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "ensemble": "",
}
"""Backend by the older field `platform`; an ensemble has none."""
_COMPLETES = frozenset({"onnxruntime", "tensorrt", "openvino", "tensorflow", "python"})
"""Backends that can fill in a configuration by themselves."""


_ALMOST_A_VERSION = re.compile(r"0\d*|v(?:ersion)?[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model of a repository as its files are."""

    name: str
    backend: str | None
    """"" for an ensemble, `None` where nothing says it."""
    problems: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Config:
    """What a configuration, or the lack of one, says about the files of a model."""

    backend: str | None
    files: tuple[str, ...] = ()
    """Names of which each version has one; empty where any will do."""
    problems: tuple[Check, ...] = ()


def check_repository(folder: Path, backends: frozenset[str] | None) -> Iterator[Check]:
    """Look at a repository and all of its models.

    Args:
        folder: of the repository.
        backends: those that the server has, `None` where that is not known.
    """
    refusal = _not_a_repository(folder)
    if refusal is not None:
        yield refusal
        return
    entries = sorted(entry for entry in folder.iterdir() if entry.name[:1] != "." and entry.is_dir())
    if not entries:
        yield failed(NAME, f"{folder} holds no folder, and so no model.", "put each model into a folder of its own")
        return
    models = [look_at_model(entry) for entry in entries]
    sound = sum(not model.problems for model in models)
    if sound:
        yield ok(NAME, f"{sound} of {len(models)} models in {folder} are laid out as Triton expects.")
    troubled = [model for model in models if model.problems]
    for model in troubled[:MODELS_TOLD]:
        yield from model.problems
    if len(troubled) > MODELS_TOLD:
        yield warning(NAME, f"{len(troubled) - MODELS_TOLD} more models have problems.")
    yield from _check_backends(models, backends)


def _not_a_repository(folder: Path) -> Check | None:
    if not folder.exists():
        return failed(NAME, f"there is no {folder}.", f"mkdir -p {folder}, or give the folder that holds the models")
    if not folder.is_dir():
        return failed(NAME, f"{folder} is a file.", "give the folder that holds the models")
    if not os.access(folder, os.R_OK | os.X_OK):
        return failed(NAME, f"this user may not read {folder}.", f"sudo chmod -R a+rX {folder}")
    if (folder / CONFIG).is_file():
        return failed(
            NAME, f"{folder} is a model itself: the repository is the folder above.", f"tritop doctor {folder.parent}"
        )
    if not [name for name in os.listdir(folder) if name[:1] != "."]:
        return failed(NAME, f"{folder} is empty.", "put each model into a folder of its own")
    return None


def look_at_model(folder: Path) -> ModelFolder:
    """One model: its configuration, its versions, its files."""
    name = folder.name
    unreadable = _unreadable(folder)
    if unreadable is not None:
        problem = failed(NAME, f"{name}: {unreadable} cannot be read.", f"sudo chmod -R a+rX {folder}")
        return ModelFolder(name, None, (problem,))
    versions, odd = _versions(folder)
    config = _without_config(folder, versions) if not (folder / CONFIG).is_file() else _with_config(folder, versions)
    problems = list(config.problems)
    if odd:
        rule = "a version is a number without leading zeros"
        problems.append(warning(NAME, f"{name}: Triton ignores {', '.join(odd[:5])}: {rule}."))
    if not versions:
        problems.append(failed(NAME, f"{name}: there is no folder of a version.", f"mkdir {folder / '1'}"))
    problems += [
        failed(NAME, f"{name}: version {version.name} has no {' or '.join(config.files)}.", f"ls {version}")
        for version in versions
        if config.files and not any((version / file).exists() for file in config.files)
    ]
    return ModelFolder(name, config.backend, tuple(problems))


def _unreadable(folder: Path) -> str | None:
    """A path within a model that this user may not read."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            if not os.access(path, os.R_OK | (os.X_OK if name in folders else 0)):
                return os.path.relpath(path, folder.parent)
    return None if os.access(folder, os.R_OK | os.X_OK) else folder.name


def _versions(folder: Path) -> tuple[list[Path], list[str]]:
    """The folders of versions, and those of other names that were probably meant as such."""
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    versions = [entry for entry in folders if entry.name.isdecimal() and entry.name[0] != "0"]
    return versions, [entry.name for entry in folders if _ALMOST_A_VERSION.fullmatch(entry.name)]


def _without_config(folder: Path, versions: list[Path]) -> _Config:
    backend = _backend_by_files(versions)
    if backend in _COMPLETES:
        return _Config(backend, _FILES[backend or ""])
    what = f"{backend} models need one" if backend else "no version has a model file of a default name"
    problem = failed(NAME, f"{folder.name}: there is no {CONFIG}, and {what}.", f"$EDITOR {folder / CONFIG}")
    return _Config(backend, (), (problem,))


def _with_config(folder: Path, versions: list[Path]) -> _Config:
    from tritop.control.edit import parse_config
    from tritop.control.validate import problems_of

    path = folder / CONFIG
    edit = f"$EDITOR {path}"
    try:
        config = parse_config(path.read_text(encoding="utf-8"))
    except UsageError as error:
        said = error.sentence.removeprefix("the configuration cannot be read: ")
        return _Config(None, (), (failed(NAME, f"{folder.name}: {CONFIG} does not parse: {said}", edit),))
    except (OSError, UnicodeDecodeError) as error:
        return _Config(None, (), (failed(NAME, f"{folder.name}: {CONFIG} cannot be read: {error}.", edit),))
    problems = [
        failed(NAME, f"{folder.name}: {problem.path} {problem.sentence}", edit)
        for problem in problems_of(config, model=folder.name)
    ]
    backend: str | None = config.backend or _BACKENDS.get(config.platform)
    if backend is None:
        backend = _backend_by_files(versions)
    if backend is None:
        problems.append(failed(NAME, f"{folder.name}: {CONFIG} names no backend.", edit))
    given = config.default_model_filename
    return _Config(backend, (given,) if given else _FILES.get(backend or "", ()), tuple(problems))


def _backend_by_files(versions: list[Path]) -> str | None:
    """The backend whose default file name the versions have, as Triton itself guesses it."""
    return next(
        (
            backend
            for backend, files in _FILES.items()
            for version in versions
            if any((version / file).exists() for file in files)
        ),
        None,
    )


def _check_backends(models: list[ModelFolder], backends: frozenset[str] | None) -> Iterator[Check]:
    """Whether the server has the backends, or brings a model its own."""
    needed: dict[str, list[str]] = {}
    for model in models:
        if model.backend:
            needed.setdefault(model.backend, []).append(model.name)
    if not needed:
        return
    if backends is None:
        yield ok("backends", f"needed: {', '.join(sorted(needed))}; --gpu-test IMAGE tells whether an image has them.")
        return
    missing = {backend: names for backend, names in needed.items() if backend not in backends}
    if len(missing) < len(needed):
        yield ok("backends", f"there: {', '.join(sorted(needed.keys() - missing.keys()))}.")
    for backend, names in sorted(missing.items()):
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        sentence = f"the server has no backend {backend}, which {some} {'need' if len(names) > 1 else 'needs'}."
        yield failed("backends", sentence, "take an image that has it")
