"""tritop's end of a guardian: start a guarded process, ask it to stop, learn how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritop.errors import RuntimeFailure
from tritop.runtimes.guardian import remove_folders, remove_shared_memory

_SCRIPT = Path(__file__).with_name("guardian.py")
_KILL_LIMIT_S = 10.0
"""Longest wait for a guardian to clean up; it gives killed processes 5 s."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guarded process ended."""

    exit_code: int | None
    """Negative for a signal; `None` where the guardian itself was killed and nobody saw the end."""
    killed: bool = False
    """It was still there after its grace."""
    dropped_log_bytes: int = 0
    """Output that did not fit on the disk."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a guardian is told to run and to remove."""

    command: tuple[str, ...]
    environment: dict[str, str]
    log_path: Path
    log_bytes: int
    """Bound on the log file; one predecessor of the same size is kept beside it as `.1`."""
    shm_prefix: str
    """Regions in /dev/shm that begin with it belong to the process."""
    folder: Path
    """The process runs in it, and it is removed at the end."""
    leftovers: tuple[Path, ...] = ()
    """More folders that are removed at the end."""

    def line(self) -> bytes:
        """The order as the guardian reads it."""
        order = {
            "command": self.command,
            "environment": self.environment,
            "log_path": str(self.log_path),
            "log_bytes": self.log_bytes,
            "shm_prefix": self.shm_prefix,
            "folder": str(self.folder),
            "leftovers": [str(folder) for folder in self.leftovers],
        }
        return json.dumps(order).encode() + b"\n"


class GuardedProcess:
    """A process with its guardian. Made by `spawn`; every one must be closed or killed."""

    def __init__(self, guardian: subprocess.Popen[bytes], channel: socket.socket, order: Order) -> None:
        self._guardian = guardian
        self._channel = channel
        self._order = order
        self._leftovers = order.leftovers
        self._received = b""
        self.pid = 0

    @classmethod
    async def spawn(cls, order: Order) -> GuardedProcess:
        """Start a guardian and, through it, the process.

        Raises:
            RuntimeFailure: the process could not be started; nothing is left of it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                guardian = subprocess.Popen(  # noqa: ASYNC220  takes a few ms, and `kill` needs no loop
                    [sys.executable, "-I", "-S", str(_SCRIPT)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as error:
                ours.close()
                remove_folders([str(order.folder)])
                raise RuntimeFailure(f"cannot start a process: {error}.") from error
        ours.setblocking(False)
        process = cls(guardian, ours, order)
        try:
            await asyncio.get_running_loop().sock_sendall(ours, order.line())
            message = await process._message()
        except OSError as error:
            process.kill()
            raise RuntimeFailure(f"the guardian of {order.command[0]} ended at once: {error}.") from error
        except asyncio.CancelledError:
            process.kill()
            raise
        if message is None or "pid" not in message:
            # They may be another process's, or one's that is tried next; whoever ordered it has them.
            process.keep_leftovers()
            process.kill()
            reason = message["failed"] if message else "its guardian ended at once"
            raise RuntimeFailure(f"cannot start {order.command[0]}: {reason}.")
        process.pid = message["pid"]
        return process

    async def _message(self) -> dict[str, Any] | None:
        """The next message of the guardian, `None` at its end."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self._received:
            try:
                data = await loop.sock_recv(self._channel, 65536)
            except OSError:
                return None
            if not data:
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    async def ended(self) -> Ending:
        """Wait for the end of the process. Its descendants and its shared memory are gone, too."""
        message = await self._message()
        if message is None:
            return Ending(exit_code=None)
        return Ending(message["exit_code"], message["killed"], message["dropped_log_bytes"])

    def ask_to_stop(self, grace_s: float) -> None:
        """SIGTERM now, SIGKILL to all that is left after `grace_s` seconds."""
        self._tell({"stop": grace_s})

    def keep_leftovers(self) -> None:
        """Have the leftovers stay, because another process goes on with them."""
        self._leftovers = ()
        self._tell({"leftovers": []})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """Let go: what still runs is killed, the folder and the leftovers are removed."""
        self._hang_up()
        await asyncio.to_thread(self._finish)
        self._channel.close()

    def kill(self) -> None:
        """The same as `close` without an event loop, from any thread, more than once."""
        self._hang_up()
        self._finish()
        self._channel.close()

    def _hang_up(self) -> None:
        # shutdown() reaches the guardian although another thread may be waiting on the socket.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _finish(self) -> None:
        """Wait for the guardian, and do its work where it cannot."""
        try:
            self._guardian.wait(_KILL_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        if self._guardian.returncode == 0:
            return
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        remove_shared_memory(self._order.shm_prefix)
        remove_folders([str(folder) for folder in (self._order.folder, *self._leftovers)])
