"""Following log files that somebody else writes, rotates, begins anew and removes.

The guardian (see `guardian.py`) keeps two files of bounded size: when the log is full, or a new
run begins, it is renamed to `<path>.1` and begun again. Whoever holds the old one open can still
read it to its end, even after it was removed.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tritop.logs import LogChunk
from tritop.model import Launch

KEPT_LINES = 50_000
KEPT_BYTES = 16 * 1024 * 1024
"""Of what was read, for followers that come later; the file itself may be gone by then."""
_PIECE_BYTES = 256 * 1024
"""Read and delivered at once; whoever ends following waits at most for so much."""
_LINE_BYTES = 256 * 1024
"""A line that has no end within so many bytes is taken in pieces."""
_WATCHED_S = 0.1
"""How often a file is looked at while somebody follows."""
_UNWATCHED_S = 1.0
_OVER = frozenset({"STOPPED", "CRASHED", "FAILED", "BACKOFF", "WAITING", "ABSENT"})
"""Launch states in which nobody writes any more, so that a line without its break is complete."""
_PID = re.compile(rb"^(?:[IWEF]\d{4} [\d:.]+|\d{4}-\d\d-\d\dT[\d:.]+Z [IWEF]) +(\d+) ")


@dataclass(frozen=True, slots=True)
class FilePiece:
    """What was read from a file at once."""

    lines: tuple[bytes, ...]
    begun: bool = False
    """The first of the lines is the first one of another file at the same path."""
    lost: bool = False
    """Something between these lines and those before was gone before it could be read."""


class RotatingFile:
    """Reads whole lines that are appended to a path, over rotation and removal; never waits.

    Args:
        path: need not exist yet.
        start_bytes: how much of what is there already is read at first.
    """

    def __init__(self, path: Path, start_bytes: int = KEPT_BYTES) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._start_bytes: int | None = start_bytes
        self._rest = b""
        self._cut = False
        self._begun = False
        self._lost = False

    def read(self) -> FilePiece | None:
        """The next lines, `None` where there are none at this moment."""
        if self._file is None:
            self._open()
        lines = self._lines()
        if not lines and self._replaced():
            # Something may have been written between the last look and the replacement.
            lines = self._lines() or self._last_line()
            if not lines:
                self._leave()
                self._open()
                lines = self._lines()
        if not lines:
            return None
        piece = FilePiece(tuple(lines), self._begun, self._lost)
        self._begun = self._lost = False
        return piece

    def rest(self) -> FilePiece | None:
        """What a file that nobody writes any more still holds, its last line also without a line break."""
        lines = self._lines() or self._last_line()
        return FilePiece(tuple(lines)) if lines else None

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        try:
            self._file = self.path.open("rb", buffering=0)
        except OSError:
            return
        if self._start_bytes is not None:
            size = os.fstat(self._file.fileno()).st_size
            self._cut = size > self._start_bytes
            if self._cut:
                self._file.seek(size - self._start_bytes)
            self._start_bytes = None

    def _lines(self) -> list[bytes]:
        if self._file is None:
            return []
        try:
            data = self._file.read(_PIECE_BYTES)
        except OSError:
            return []
        if not data:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if self._cut and lines:
            # The first piece of a cut file is not a whole line.
            del lines[0]
            self._cut = False
        return lines

    def _last_line(self) -> list[bytes]:
        line, self._rest = self._rest, b""
        return [line] if line else []

    def _replaced(self) -> bool:
        """Whether another file is at the path, or this one was cut back to begin anew."""
        if self._file is None:
            return False
        mine = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino) or there.st_size < self._file.tell()

    def _leave(self) -> None:
        assert self._file is not None
        mine = os.fstat(self._file.fileno()).st_ino
        self._lost = mine not in {_inode(self.path), _inode(before(self.path))}
        self._begun = True
        self.close()


def before(path: Path) -> Path:
    """The predecessor of a bounded log."""
    return path.with_name(path.name + ".1")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def predecessor(path: Path) -> Iterator[LogChunk]:
    """What the file before holds, its end if it is large; as the first run."""
    file = RotatingFile(before(path), KEPT_BYTES // 2)
    try:
        while piece := file.read() or file.rest():
            yield LogChunk(piece.lines)
    finally:
        file.close()


def continues(path: Path, pid: int | None = None) -> bool:
    """Whether a log and its predecessor are of the same run: the same process wrote both.

    Args:
        path: of the log.
        pid: of the server that writes it now, `None` where nobody knows.
    """
    earlier = _writers(before(path), at_end=True)
    return bool(earlier & ({pid} if pid is not None else _writers(path, at_end=False)))


def _writers(path: Path, *, at_end: bool) -> set[int]:
    """Pids in the prefixes of the last or the first lines of a log."""
    try:
        with path.open("rb") as file:
            if at_end:
                file.seek(max(0, path.stat().st_size - _PIECE_BYTES // 4))
            lines = file.read(_PIECE_BYTES // 4).split(b"\n")
    except OSError:
        return set()
    return {int(found[1]) for line in lines if (found := _PID.match(line))}


class FileLog:
    """The log of a server that writes to `Launch.log_path`, over its runs. Fulfils `LogSource`.

    A thread of its own reads all the time and keeps the newest lines, so the log of a run stays
    after its file is gone.

    Args:
        launch: what the runtime knows of the server; called on that thread.
    """

    def __init__(self, launch: Callable[[], Launch]) -> None:
        self._launch = launch
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._ended = False
        self._new: list[Callable[[LogChunk], None]] = []
        self._followers: list[Callable[[LogChunk], None]] = []
        self._kept: deque[LogChunk] = deque()
        self._kept_lines = self._kept_bytes = 0
        self._file: RotatingFile | None = None
        self._run = 1
        self._restarts = 0
        self._thread = threading.Thread(target=self._read_on, name="tritop-log", daemon=True)
        self._thread.start()

    def follow(self, deliver: Callable[[LogChunk], None]) -> Callable[[], None]:
        """See `tritop.logs.LogSource`."""
        with self._lock:
            self._new.append(deliver)
        self._wake.set()

        def end() -> None:
            with self._lock:
                for followers in (self._new, self._followers):
                    if deliver in followers:
                        followers.remove(deliver)

        return end

    def close(self) -> None:
        """End the thread; what is kept is dropped."""
        self._ended = True
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _read_on(self) -> None:
        try:
            while not self._ended:
                self._wake.clear()
                self._greet()
                launch = self._launch()
                self._choose_file(launch)
                if not self._take(launch):
                    self._wake.wait(_WATCHED_S if self._followers else _UNWATCHED_S)
        finally:
            if self._file is not None:
                self._file.close()

    def _greet(self) -> None:
        """Give the new followers what is kept; from then on they are followers like the others."""
        with self._lock:
            new, self._new = self._new, []
            self._followers += new
        for chunk in tuple(self._kept):
            for deliver in new:
                self._hand(chunk, deliver)

    def _choose_file(self, launch: Launch) -> None:
        if not launch.log_path or (self._file is not None and str(self._file.path) == launch.log_path):
            return
        if self._file is not None:
            while piece := self._file.rest():
                self._keep(LogChunk(piece.lines, self._run))
            self._file.close()
            self._run += 1
        path = Path(launch.log_path)
        self._file = RotatingFile(path)
        self._restarts = launch.restarts
        if self._run == 1:
            for chunk in predecessor(path):
                self._keep(chunk)
            if self._kept and not continues(path, launch.pid):
                self._run += 1

    def _take(self, launch: Launch) -> bool:
        """Read one piece; whether there was one."""
        piece = self._file.read() if self._file is not None else None
        if piece is None and self._file is not None and launch.state in _OVER:
            piece = self._file.rest()
        if piece is None:
            return False
        if piece.begun:
            # Asked anew: the server may have been restarted since `launch` was made, and this be its new file.
            restarts = self._launch().restarts
            self._run += restarts != self._restarts
            self._restarts = restarts
        note = "lines are missing: they were written faster than they could be read" if piece.lost else ""
        self._keep(LogChunk(piece.lines, self._run, note=note))
        return True

    def _keep(self, chunk: LogChunk) -> None:
        self._kept.append(chunk)
        self._kept_lines += len(chunk.lines)
        self._kept_bytes += sum(map(len, chunk.lines))
        while len(self._kept) > 1 and (self._kept_lines > KEPT_LINES or self._kept_bytes > KEPT_BYTES):
            dropped = self._kept.popleft()
            self._kept_lines -= len(dropped.lines)
            self._kept_bytes -= sum(map(len, dropped.lines))
        for deliver in tuple(self._followers):
            self._hand(chunk, deliver)

    def _hand(self, chunk: LogChunk, deliver: Callable[[LogChunk], None]) -> None:
        """Deliver unless the follower has ended meanwhile; ending waits for a delivery under way."""
        with self._lock:
            if deliver in self._followers:
                deliver(chunk)


class PathLog:
    """A log file on its own, that of a server which tritop does not run. Fulfils `LogSource`."""

    def __init__(self, path: Path) -> None:
        self._log = FileLog(lambda: Launch(runtime="file", state="", log_path=str(path)))
        self.follow = self._log.follow
        self.close = self._log.close
