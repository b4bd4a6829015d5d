"""One change of a model at a time among the tritops of one user on this host.

```
$XDG_STATE_HOME/tritop/turns/NAME.lock     held (flock) from the look at a model until its change is seen
```

Others, on other hosts or with other tools, are noticed by looking again (`Control.perform`).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tritop.control.author import this_author
from tritop.errors import OperationFailed

TURN_S = 60.0
"""How long to wait for another tritop; then what it is at may take long, or it is stopped."""
_POLL_S = 0.05
_NAMED_BYTES = 200


class Busy(OperationFailed):
    """Another tritop changes the same model, and is not done yet."""


@asynccontextmanager
async def turn(
    folder: Path, endpoint: str, model: str, progress: Callable[[str], None], *, patience_s: float = TURN_S
) -> AsyncIterator[None]:
    """Keep other tritops from changing a model while the block runs.

    Where nothing can be written in `folder`, the block runs without.

    Args:
        folder: of the ledger, which these tritops share.
        endpoint: host:port of the server.
        model: the model.
        progress: told for whom it waits.
        patience_s: for how long.

    Raises:
        Busy: another tritop has not ended its change in time.
    """
    name = hashlib.sha256(f"{endpoint}\0{model}".encode()).hexdigest()[:16]
    path = folder / "turns" / f"{name}.lock"
    file = await _taken(path, model, progress, patience_s)
    try:
        yield
    finally:
        if file is not None:
            # The name goes while the lock is held: who waits for it sees that and makes a new one.
            with suppress(OSError):
                path.unlink()
            os.close(file)


async def _taken(path: Path, model: str, progress: Callable[[str], None], patience_s: float) -> int | None:
    """The file whose lock is held now, `None` where there can be none.

    Raises:
        Busy: see `turn`.
    """
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            if _locked(file, path):
                os.pwrite(file, f"{this_author()} (pid {os.getpid()})\n".encode(), 0)
                return file
            holder = os.pread(file, _NAMED_BYTES, 0).decode(errors="replace").partition("\n")[0]
        except OSError:
            os.close(file)  # no locks on this file system
            return None
        os.close(file)
        if asyncio.get_running_loop().time() > deadline:
            raise Busy(
                f"not sent: another tritop, {holder or 'of this host'}, changes {model} and is not done yet.",
                "Try again once it is.",
            )
        progress(f"waiting for {holder or 'another tritop'}, who changes {model}")
        await asyncio.sleep(_POLL_S)


def _locked(file: int, path: Path) -> bool:
    """Whether the lock is ours now, on the file that still has the name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
