"""What the operator wants of each server, kept on disk; and the lock of the one tritop that acts on it.

```
$XDG_STATE_HOME/tritop/servers/<engine>/<name>.json    desired state, spec and ports
$XDG_RUNTIME_DIR/tritop/<engine>-<name>.lock           held by the tritop that supervises it
```
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tritop.errors import RuntimeFailure
from tritop.runtimes.supervisor import Desired
from tritop.server_spec import Ports, ServerSpec, spec_document, spec_from_document


@dataclass(frozen=True, slots=True)
class Wanted:
    """One server as the operator wants it."""

    spec: ServerSpec
    desired: Desired = Desired.STOP
    ports: Ports | None = None
    """The ports that it was last made with."""
    stopping: str = ""
    """StartedAt of the run that a tritop was about to stop: if that one was killed meanwhile, the end of
    this run is nobody's newer wish. "" where no stop is under way."""


def state_folder() -> Path:
    """The folder for state, by the XDG base directory specification."""
    import platformdirs

    return Path(platformdirs.user_state_dir("tritop", appauthor=False))


def runtime_folder() -> Path:
    """The folder for locks: of this user, and gone after a reboot where the system offers that."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and os.path.isdir(given):
        return Path(given) / "tritop"
    return Path(tempfile.gettempdir()) / f"tritop-{os.getuid()}"


class Desk:
    """The operator's wishes for the servers of one engine.

    Args:
        engine_id: the engine's own name for itself (`ID` of `docker info`).
        folder: of all state.
        locks: folder of the locks.
    """

    def __init__(self, engine_id: str, *, folder: Path | None = None, locks: Path | None = None) -> None:
        self._engine = re.sub(r"[^A-Za-z0-9]", "", engine_id)[:64] or "engine"
        self._folder = (folder or state_folder()) / "servers" / self._engine
        self._locks = locks or runtime_folder()

    def load(self, name: str) -> Wanted | None:
        """What is wanted of a server; `None` where nothing that can be used is kept."""
        try:
            document = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            ports = Ports(**document["ports"]) if document.get("ports") else None
            spec, desired = spec_from_document(document["spec"]), Desired(document["desired"])
            return Wanted(spec, desired, ports, str(document.get("stopping", "")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def names(self) -> tuple[str, ...]:
        """Every server that something is kept of."""
        with contextlib.suppress(OSError):
            return tuple(sorted(path.stem for path in self._folder.glob("*.json")))
        return ()

    def keep(self, wanted: Wanted) -> None:
        """Keep what is wanted, before anything is done about it; atomic.

        Raises:
            RuntimeFailure: it cannot be written.
        """
        document = {
            "desired": wanted.desired.value,
            "spec": spec_document(wanted.spec),
            "ports": asdict(wanted.ports) if wanted.ports else None,
            "stopping": wanted.stopping,
        }
        path = self._folder / f"{wanted.spec.name}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, suffix=".new", delete=False) as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise RuntimeFailure(
                f"the desired state of {wanted.spec.name} cannot be kept in {path}: {error.strerror}.",
                "Set XDG_STATE_HOME to a folder that can be written.",
            ) from error

    def forget(self, name: str) -> None:
        """Keep nothing more of a server."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.json").unlink()

    def lock(self, name: str) -> WriterLock:
        """The lock of one server, not taken yet."""
        return WriterLock(self._locks / f"{self._engine[:24]}-{name}.lock")


class WriterLock:
    """Held by the one tritop that acts on a server; the kernel frees it however that one ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Try to take it; returns at once. True where it is ours already.

        Raises:
            RuntimeFailure: its file cannot be made.
        """
        if self._descriptor is not None:
            return True
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise RuntimeFailure(
                f"the lock {self._path} cannot be made: {error.strerror}.", "Set XDG_RUNTIME_DIR to a folder of yours."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return True

    def holder(self) -> int | None:
        """Pid of the tritop that holds it, as it said when it took it."""
        try:
            text = self._path.read_text().strip()
        except OSError:
            return None
        return int(text) if text.isdecimal() else None

    def release(self) -> None:
        """Give it back; the file stays, since removing it would let two others hold two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def held(lock: WriterLock) -> Iterator[bool]:
    """Take a lock for a while; gives whether it could be taken."""
    taken = lock.take()
    try:
        yield taken
    finally:
        lock.release()
