"""The parent of one server process: it outlives tritop by a moment and leaves nothing behind.

This file is run as a script (`python -I -S guardian.py`), imports only the standard library, and
is single-threaded. tritop may end in any way, `kill -9` included, and then nobody else is left to
end the server; a parent-death signal alone would not do, because it follows the *thread* that
forked and is not inherited by the Python-backend stubs. The guardian

* is the child subreaper of everything the server starts, so no descendant can escape it;
* copies the server's output to a log file of bounded size, so neither a busy tritop nor a full
  disk ever blocks the server;
* ends the server when told to, and kills it when its connection to tritop breaks;
* then removes the server's shared-memory regions and the folders that were made for it.

Its standard input is a stream socket to tritop, with one JSON object in each line:

* from tritop first `{"command", "environment", "log_path", "log_bytes", "shm_prefix", "folder",
  "leftovers"}`; the server runs in `folder`, and this and the leftovers are removed at the end;
* to tritop `{"pid"}` or `{"failed": text}`;
* from tritop at any time `{"stop": grace_s}`, or `{"leftovers": []}` where others are to go;
* to tritop `{"exit_code", "killed", "dropped_log_bytes"}`; a negative exit code is a signal.

Then it waits for the end of the connection, so that the folder stays readable until tritop lets go.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHUNK_BYTES = 65536
_REAP_LIMIT_S = 5.0
"""Longest wait for killed processes; only one in uninterruptible sleep takes longer."""
_PARENT_CHECK_S = 1.0
"""How often the parent is checked, in case somebody else inherited its end of the socket."""


class LogFile:
    """A file that never grows beyond a bound: it is renamed to `<path>.1` and begun again.

    What cannot be written, as on a full disk, is dropped and counted; nothing raises and nothing
    waits. A log of an earlier run becomes the `.1` at once, so the file holds one run only.
    """

    def __init__(self, path: str, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = max(limit_bytes, _CHUNK_BYTES)
        self._file: IO[bytes] | None = None
        self._size_bytes = 0
        self.dropped_bytes = 0
        self._begin()

    def _begin(self) -> None:
        with contextlib.suppress(OSError):
            if os.path.getsize(self._path) > 0:
                os.replace(self._path, self._path + ".1")
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._size_bytes = 0

    def write(self, data: bytes) -> None:
        """Append what fits on the disk."""
        if self._file is not None and self._size_bytes + len(data) > self._limit_bytes:
            self.close()
        if self._file is None:
            self._begin()
        written = 0
        if self._file is not None:
            with contextlib.suppress(OSError):
                written = self._file.write(data) or 0
        self._size_bytes += written
        self.dropped_bytes += len(data) - written

    def close(self) -> None:
        """Close the file; a later write begins the next one."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _children() -> list[int]:
    """Pids of this process's children, adopted ones included."""
    mine = str(os.getpid())
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The command name, in brackets, may hold blanks and brackets itself.
            fields = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[1] == mine:
                found.append(int(entry))
    return found


def end_descendants() -> None:
    """Kill and reap every descendant; each dead parent hands its children to this subreaper."""
    limit = time.monotonic() + _REAP_LIMIT_S
    while time.monotonic() < limit:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def remove_shared_memory(prefix: str, folder: str = "/dev/shm") -> None:
    """Remove the POSIX shared-memory regions whose names begin with `prefix`; "" removes none."""
    if not prefix:
        return
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(prefix):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))


class Guardian:
    """One server process between its start and the removal of its traces."""

    def __init__(self, channel: socket.socket, order: dict[str, Any]) -> None:
        self._channel = channel
        self._order = order
        self._parent = os.getppid()
        self._log = LogFile(order["log_path"], order["log_bytes"])
        self._selector = selectors.DefaultSelector()
        self._kill_at: float | None = None
        self._killed = False
        self._connected = True
        self._received = b""
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start the server and stay until it and tritop's connection are gone."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop(0.0))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._channel.setblocking(False)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(wake_read, selectors.EVENT_READ)
        if self._start():
            self._watch(wake_read)
        while self._connected:
            self._turn(wake_read)

    def _start(self) -> bool:
        guardian = os.getpid()

        def bind_to_guardian() -> None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(1)

        try:
            self._child = subprocess.Popen(
                self._order["command"],
                env=self._order["environment"],
                cwd=self._order["folder"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=bind_to_guardian,  # noqa: PLW1509  this process has one thread
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._say({"failed": str(error)})
            return False
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)
        self._selector.register(self._child.stdout, selectors.EVENT_READ)
        self._say({"pid": self._child.pid})
        return True

    def _watch(self, wake: socket.socket) -> None:
        assert self._child is not None
        while self._child.poll() is None:
            self._turn(wake)
            if self._kill_at is not None and time.monotonic() >= self._kill_at and not self._killed:
                self._killed = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
        self._kill_at = None
        end_descendants()
        while self._pump():
            pass
        self._log.close()
        remove_shared_memory(self._order["shm_prefix"])
        self._say(
            {
                "exit_code": self._child.returncode,
                "killed": self._killed,
                "dropped_log_bytes": self._log.dropped_bytes,
            }
        )

    def _turn(self, wake: socket.socket) -> None:
        """Wait for one event, at most until the next thing that is due."""
        wait_s = _PARENT_CHECK_S
        if self._kill_at is not None and not self._killed:
            wait_s = max(0.0, min(wait_s, self._kill_at - time.monotonic()))
        for key, _ in self._selector.select(wait_s):
            if key.fileobj is self._channel:
                self._listen()
            elif key.fileobj is wake:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(_CHUNK_BYTES)
            else:
                self._pump()
        if os.getppid() != self._parent:
            self._lose()

    def _listen(self) -> None:
        try:
            data = self._channel.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "stop" in message:
                self._stop(float(message["stop"]))
            self._order["leftovers"] = message.get("leftovers", self._order["leftovers"])

    def _lose(self) -> None:
        """Tritop is gone: nobody is left to wait for a graceful end."""
        if self._connected:
            self._connected = False
            self._selector.unregister(self._channel)
        self._kill_at = time.monotonic()

    def _stop(self, grace_s: float) -> None:
        """SIGTERM to the server, which ends its stubs itself; SIGKILL to all of them after the grace."""
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        self._kill_at = time.monotonic() + grace_s

    def _pump(self) -> bool:
        """Copy a piece of what the server wrote; False where there is no more to copy now."""
        stream = self._child.stdout if self._child is not None else None
        if stream is None or stream.closed:
            return False
        with contextlib.suppress(BlockingIOError):
            if data := os.read(stream.fileno(), _CHUNK_BYTES):
                self._log.write(data)
                return True
            self._selector.unregister(stream)
            stream.close()
        return False

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")


def _first_line(channel: socket.socket) -> bytes:
    """The order, or b"" where tritop ended before it was sent."""
    received = b""
    while not received.endswith(b"\n"):
        data = channel.recv(_CHUNK_BYTES)
        if not data:
            return b""
        received += data
    return received


def remove_folders(folders: Sequence[str]) -> None:
    """Remove folders that were made for this run, whatever is in them."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Guard one server; returns the exit code of the guardian itself."""
    channel = socket.socket(fileno=0)
    line = _first_line(channel)
    if not line:
        return 0
    order = json.loads(line)
    try:
        Guardian(channel, order).run()
    finally:
        end_descendants()
        remove_shared_memory(order["shm_prefix"])
        remove_folders([order["folder"], *order["leftovers"]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
