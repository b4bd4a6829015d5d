"""A model's folder in a repository that is readable from here: its config file, and writing it."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tritop.control.ledger import state_folder
from tritop.errors import OperationFailed

CONFIG_NAME = "config.pbtxt"
MAX_CONFIG_BYTES = 4 * 1024 * 1024
KEPT_BACKUPS = 10
"""Of each file; older ones are removed."""
_NOTHING_WRITTEN = "Nothing was written."


class NotHere(OperationFailed):
    """No repository that is readable from here has the model."""


class InTwoRepositories(OperationFailed):
    """More than one of them has it."""


class Unreadable(OperationFailed):
    """The config file is there and cannot be read."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of one model, and its config file as it was read."""

    repository: Path
    folder: Path
    content: bytes | None
    """`None` where there is no config file."""

    @property
    def path(self) -> Path:
        """Where the config file is, or would be."""
        return self.folder / CONFIG_NAME

    @property
    def text(self) -> str:
        """The config file; bytes that are no UTF-8 are kept, to be written back as they are."""
        return (self.content or b"").decode(errors="surrogateescape")

    @property
    def completes_itself(self) -> bool:
        """Whether a Python model of it may add to its configuration by itself."""
        for code in self.folder.glob("*/model.py"):
            try:
                if b"auto_complete_config" in code.read_bytes():
                    return True
            except OSError:
                return True
        return False


def find_model(repositories: Sequence[Path], model: str) -> ModelFolder:
    """Find a model and read its config file.

    Args:
        repositories: those of its server, as seen from here.
        model: its name, as the server gives it: untrusted.

    Raises:
        NotHere: none of them has it, or none is readable from here.
        InTwoRepositories: Triton loads neither then, so neither is the file that runs.
        Unreadable: the file cannot be read, or is none.
    """
    if not _is_one_name(model):
        raise NotHere(f"{model!r} is no name of a folder.")
    found = [repository for repository in repositories if (repository / model).is_dir()]
    if not found:
        where = ", ".join(map(str, repositories)) or "no repository of this server is known here"
        raise NotHere(
            f"{model} has no folder that is readable from here ({where}).",
            "Say where its repository is: repository = PATH in [targets.NAME], or --repository PATH.",
        )
    if len(found) > 1:
        raise InTwoRepositories(f"{model} is in {len(found)} repositories: {', '.join(map(str, found))}.")
    folder = found[0] / model
    return ModelFolder(found[0], folder, _read(folder / CONFIG_NAME))


def signature(repositories: Sequence[Path], model: str) -> tuple[object, ...]:
    """Changes when the config file of a model does; cheap."""
    if not _is_one_name(model):
        return ()
    seen: list[object] = []
    for repository in repositories:
        try:
            status = (repository / model / CONFIG_NAME).stat()
            seen.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError as error:
            seen.append(error.errno)
    return tuple(seen)


def write_config(found: ModelFolder, content: bytes, *, backups: Path | None = None) -> Path | None:
    """Replace a config file in one step, after a backup of what it held.

    The backup is not beside the file: a new file in the folder of a model makes Triton load the
    model a second time at the next opportunity, even where nothing in it changed (seen on 2.51).

    Args:
        found: the file as it was read; it is refused where it is another one by now.
        content: what it shall hold.
        backups: the folder for backups; by default one of tritop's own.

    Returns:
        The backup, `None` where there was no file.

    Raises:
        OperationFailed: nothing was written; the sentence says why.
    """
    try:
        with _folder_inside(found) as folder:
            _refuse_link(found, folder)
            _refuse_changed(found, folder)
            backup = _back_up(found, (state_folder() if backups is None else backups) / "backups")
            _replace(found, folder, content)
            return backup
    except OSError as error:
        raise OperationFailed(f"{found.path} cannot be written: {error.strerror}.", _NOTHING_WRITTEN) from error


def _is_one_name(model: str) -> bool:
    return bool(model) and model not in {".", ".."} and "/" not in model and "\0" not in model


def _read(path: Path) -> bytes | None:
    """A config file, `None` where there is none.

    Raises:
        Unreadable: it may not be read, is too large, or is no file at all.
    """
    try:
        # A pipe would block, and one may stand anywhere that others can write to.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Unreadable(f"{path} is no file.")
        content = stream.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise Unreadable(f"{path} is larger than {MAX_CONFIG_BYTES // 2**20} MiB.")
    return content


@contextmanager
def _folder_inside(found: ModelFolder) -> Iterator[int]:
    """The open folder of a model, which is then the same one whatever is renamed meanwhile.

    Raises:
        OperationFailed: a symbolic link leads out of the repository.
    """
    folder = os.open(found.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        real, repository = Path(os.readlink(f"/proc/self/fd/{folder}")), found.repository.resolve()
        if repository not in real.parents:
            raise OperationFailed(
                f"{found.folder} is a symbolic link to {real}, outside of the repository.", _NOTHING_WRITTEN
            )
        yield folder
    finally:
        os.close(folder)


def _refuse_link(found: ModelFolder, folder: int) -> None:
    """Raise where the file itself is a symbolic link: renaming would replace the link, not what it names.

    Raises:
        OperationFailed: it is one.
    """
    try:
        status = os.stat(CONFIG_NAME, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise OperationFailed(f"{found.path} is a symbolic link to {os.path.realpath(found.path)}.", _NOTHING_WRITTEN)
    if status.st_nlink > 1:
        raise OperationFailed(
            f"{found.path} has {status.st_nlink} names (hard links), which would part.", _NOTHING_WRITTEN
        )


def _refuse_changed(found: ModelFolder, folder: int) -> None:
    """Raise where somebody wrote the file since it was read.

    Raises:
        OperationFailed: it holds something else by now.
    """
    if _read(Path(f"/proc/self/fd/{folder}/{CONFIG_NAME}")) != found.content:
        raise OperationFailed(f"{found.path} was changed by somebody else since it was read.", _NOTHING_WRITTEN)


def _back_up(found: ModelFolder, backups: Path) -> Path | None:
    """Keep what the file holds.

    Raises:
        OperationFailed: it cannot be kept; nothing is left of the attempt.
    """
    if found.content is None:
        return None
    real = found.folder.resolve()
    folder = backups / f"{real.name}-{hashlib.sha256(bytes(real)).hexdigest()[:8]}"
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    backup = folder / f"{CONFIG_NAME}.tritop-{now}.bak"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as stream:
                _write(stream, found.content)
        except OSError:
            backup.unlink()
            raise
    except OSError as error:
        sentence = f"the backup of {found.path} cannot be written into {folder}: {error.strerror}."
        raise OperationFailed(sentence, _NOTHING_WRITTEN) from error
    for old in sorted(folder.glob(f"{CONFIG_NAME}.tritop-*.bak"))[:-KEPT_BACKUPS]:
        old.unlink(missing_ok=True)
    return backup


def _replace(found: ModelFolder, folder: int, content: bytes) -> None:
    """Write beside the file, onto the disk, and rename.

    Raises:
        OSError: the file is as it was.
        OperationFailed: the new file could not be given the owner of the old one.
    """
    temporary = f".{CONFIG_NAME}.tritop-{secrets.token_hex(4)}.tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as stream:
            if found.content is not None:
                _copy_owner(found, folder, file)
            _write(stream, content)
        os.rename(temporary, CONFIG_NAME, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _copy_owner(found: ModelFolder, folder: int, file: int) -> None:
    old, new = os.stat(CONFIG_NAME, dir_fd=folder), os.fstat(file)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.fchown(file, old.st_uid, old.st_gid)
        except PermissionError as error:
            raise OperationFailed(
                f"{found.path} belongs to user {old.st_uid}, group {old.st_gid}, and would belong to "
                f"user {new.st_uid} then.",
                "Save it as that user. Nothing was written.",
            ) from error
    os.fchmod(file, stat.S_IMODE(old.st_mode))


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(content)
    stream.flush()
    os.fsync(stream.fileno())
