"""Writing what is shown of a log to a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from tritop.errors import OperationFailed
from tritop.logs.line import LogLine, saved_line


def save_log(lines: Iterable[LogLine], server: str, at: float, folder: Path) -> Path:
    """Write lines to a new file `SERVER-DATE-TIME.log`; nobody else may read it, for a log may hold secrets.

    Args:
        lines: oldest first.
        server: the name of the server, which becomes part of the file's name.
        at: wall time [s since the epoch], the other part.
        folder: made where it is missing.

    Raises:
        OperationFailed: the file cannot be written.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", server).strip("-.")[:60] or "server"
    stem = f"{name}-{datetime.fromtimestamp(at):%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, path = _new_file(folder, stem)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{saved_line(line)}\n" for line in lines)
    except OSError as error:
        raise OperationFailed(
            f"the log cannot be written to {folder}: {error.strerror or error}.", "Look at the folder and its disk."
        ) from error
    return path


def _new_file(folder: Path, stem: str) -> tuple[int, Path]:
    """A file that was not there before."""
    for number in range(1, 1000):
        path = folder / (f"{stem}.log" if number == 1 else f"{stem}-{number}.log")
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), path
        except FileExistsError:
            continue
    raise FileExistsError(f"{stem}.log and hundreds like it are there already")


def log_folder() -> Path:
    """Where saved logs go: `$XDG_STATE_HOME/tritop/logs`."""
    import platformdirs

    return platformdirs.user_state_path("tritop") / "logs"
