"""The ledger: every change and every thing noticed, as lines of JSON in one file for all tritops.

```
$XDG_STATE_HOME/tritop/ledger.jsonl      the newest entries, appended to
                       ledger.1.jsonl    older ones, and older still what an undo may need
                       ledger.lock       held (flock) while a line is written
```

A line is one `write` and an `fsync`. What a crash or a full disk left of a line is one damaged
line, which is skipped, never one that swallows the next.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritop.control.entry import NOTICED, Entry, from_line, to_line
from tritop.errors import OperationFailed

MAX_BYTES = 4 * 1024 * 1024
"""Size of the newer file from which on it becomes the older one."""
MAX_CARRIED = 200
"""Entries that outlive the older file because an undo or a trial may need them."""
LOCK_TIMEOUT_S = 5.0
"""A line takes milliseconds; whoever holds the lock for longer is stopped or hangs on its disk."""
SAME_SIGHT_S = 10.0
"""Two tritops that watch one server notice a thing within this time of each other."""
_LOCK_POLL_S = 0.02
_TAIL_BYTES = 64 * 1024


class NotRecorded(OperationFailed):
    """An entry could not be written. It is kept in memory and written with the next one."""


class Ledger:
    """The ledger of this user; any number of threads and processes may append to it at once.

    Args:
        folder: where its files are; made when something is first written.
        max_bytes: see `MAX_BYTES`.
        lock_timeout_s: how long to wait for another process.
    """

    def __init__(
        self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        self.folder = state_folder() if folder is None else folder
        self.path = self.folder / "ledger.jsonl"
        self.older_path = self.folder / "ledger.1.jsonl"
        self._lock_path = self.folder / "ledger.lock"
        self._max_bytes = max_bytes
        self._lock_timeout_s = lock_timeout_s
        self._own_lock = threading.Lock()
        self._unwritten: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Write one entry, and before it those that could not be written.

        Raises:
            NotRecorded: the disk is full, read-only or not ours; the entry is kept in memory.
        """
        self.append_all((entry,))

    def append_all(self, entries: Iterable[Entry]) -> None:
        """Write entries, those that could not be written first.

        Raises:
            NotRecorded: as for `append`.
        """
        self._append(tuple(entries), noticed=False)

    def append_or_forget(self, entry: Entry) -> None:
        """Write one entry, for something that is not done where it cannot be written.

        Raises:
            NotRecorded: it was not written, and will not be later.
        """
        try:
            self.append(entry)
        except NotRecorded:
            with self._own_lock:
                self._unwritten = [one for one in self._unwritten if one.id != entry.id]
            raise

    def append_noticed(self, entries: Iterable[Entry]) -> None:
        """Write what was noticed, unless another tritop on the same server noticed and wrote it as well.

        Raises:
            NotRecorded: as for `append`.
        """
        self._append(tuple(entries), noticed=True)

    def entries(self) -> tuple[Entry, ...]:
        """Everything that is known, oldest first, with what could not be written at the end.

        Raises:
            OperationFailed: the files are there and may not be read.
        """
        try:
            lines = [*_lines(self.older_path), *_lines(self.path)]
        except OSError as error:
            raise OperationFailed(f"The ledger in {self.folder} cannot be read: {error.strerror}.") from error
        # A change is written before it is sent and once more when it ended; a crash between the two
        # steps of a rotation leaves lines in both files.
        found = {entry.id: entry for line in lines if (entry := from_line(line)) is not None}
        with self._own_lock:
            found.update((entry.id, entry) for entry in self._unwritten)
        return tuple(found.values())

    @property
    def unwritten(self) -> int:
        """Entries that could not be written yet; they are lost when this process ends."""
        return len(self._unwritten)

    # -- writing --------------------------------------------------------------------------

    def _append(self, entries: tuple[Entry, ...], *, noticed: bool) -> None:
        with self._own_lock:
            waiting = (*self._unwritten, *entries)
            if not waiting:
                return
            try:
                with self._locked():
                    seen = self._newest() if noticed else []
                    waiting = tuple(one for one in waiting if not _is_seen(one, seen))
                    while waiting:
                        self._write(waiting[0])
                        waiting = waiting[1:]
            except OSError as error:
                raise self._not_recorded(error.strerror or str(error)) from error
            finally:
                self._unwritten = list(waiting)

    def _write(self, entry: Entry) -> None:
        """Append one line under the lock; a write that was cut short leaves nothing behind."""
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            line = b"\n" * torn + to_line(entry)
            try:
                written = os.write(file, line)
                if written < len(line):
                    raise OSError(None, "the disk took only a part of the line")
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)
        if size + len(line) > self._max_bytes:
            # The line is written; a disk too full to rotate on lets the file grow until it can be.
            with suppress(OSError):
                self._rotate()

    def _rotate(self) -> None:
        """Let the newer file become the older one, and carry over what an undo may need.

        Every step leaves all entries in one of the files, so a crash loses none.
        """
        from tritop.control.undo import needed

        old = [entry for line in _lines(self.older_path) if (entry := from_line(line)) is not None]
        new = [entry for line in _lines(self.path) if (entry := from_line(line)) is not None]
        wanted = needed(tuple({entry.id: entry for entry in (*old, *new)}.values()))
        carried = [entry for entry in old if entry.id in wanted][-MAX_CARRIED:]
        _replace(self.older_path, b"".join(map(to_line, (*carried, *new))))
        _replace(self.path, b"")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for_lock(file)
            yield
        finally:
            os.close(file)

    def _wait_for_lock(self, file: int) -> None:
        """A blocking flock could wait for ever for a process that is stopped."""
        deadline = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(None, "another tritop holds its lock and does not let go") from None
                time.sleep(_LOCK_POLL_S)
            else:
                return

    def _not_recorded(self, why: str) -> NotRecorded:
        return NotRecorded(
            f"The ledger {self.path} cannot be written: {why}.",
            "What happened is kept until this tritop ends, and written as soon as that works again.",
        )

    def _newest(self) -> list[Entry]:
        """The entries at the end of the file, as far as they can be read."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read().splitlines()
        except OSError:
            return []
        return [entry for line in lines if (entry := from_line(line)) is not None]


class Tail:
    """Follows a ledger: gives each entry once, and once more when it ended, however the files are rotated."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: dict[str, str] = {}
        self._mark: tuple[int, int] | None = None

    def new_entries(self) -> tuple[Entry, ...]:
        """What was appended since the last call; the first call gives everything.

        Raises:
            OperationFailed: the files may not be read.
        """
        try:
            status = os.stat(self._ledger.path)
            mark = (status.st_ino, status.st_size)
        except OSError:
            mark = None
        if mark is not None and mark == self._mark:
            return ()
        entries = self._ledger.entries()
        new = tuple(entry for entry in entries if self._seen.get(entry.id) != entry.outcome)
        self._seen = {entry.id: entry.outcome for entry in entries}
        self._mark = mark
        return new


def state_folder() -> Path:
    """Where tritop keeps what outlives it: `$XDG_STATE_HOME/tritop`, `~/.local/state/tritop`."""
    import platformdirs

    return platformdirs.user_state_path("tritop")


def with_note(outcome: str, failure: NotRecorded | None) -> str:
    """An outcome, with a sentence where it could not be recorded."""
    return f"{outcome.rstrip('.')}. {failure}" if failure else outcome


def _is_seen(entry: Entry, others: Iterable[Entry]) -> bool:
    """Whether another tritop wrote of the same thing that was noticed."""
    return entry.action == NOTICED and any(
        one.action == NOTICED
        and one.author != entry.author
        and (one.kind, one.endpoint, one.model, one.version) == (entry.kind, entry.endpoint, entry.model, entry.version)
        and abs(one.at - entry.at) <= SAME_SIGHT_S
        for one in others
    )


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _replace(path: Path, content: bytes) -> None:
    """Replace a file in one step, on the disk before it is seen."""
    new = path.with_name(f"{path.name}.new")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
