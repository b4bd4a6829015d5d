"""A Docker engine of a test's own, which may be stopped, frozen and filled; the host's own is not touched.

It needs root, and a bridge of its own: `--bridge=none` would delete the host's docker0, and with it
the network of every container of the host's engine.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker

from tests.processes import LIMIT_S, wait_until


class PrivateEngine:
    """One `dockerd` with a folder, a socket and a bridge of its own.

    Args:
        folder: for everything; short, because a socket's path is bounded.
        data: its data root; in the folder by default.
        hook: the stand-in for NVIDIA's hook, a script; an engine that finds one on its PATH takes requests
            for GPUs. `None` for an engine without GPUs.
        options: further ones of dockerd.
    """

    def __init__(
        self, folder: Path, *, data: Path | None = None, hook: str | None = None, options: Sequence[str] = ()
    ) -> None:
        self._options = options
        self.folder = folder
        self.socket = folder / "s"
        self.address = f"unix://{self.socket}"
        self._data = data or folder / "data"
        self._bridge = f"trit{secrets.token_hex(3)}"
        self._subnet = f"172.{secrets.choice(range(20, 31))}.{secrets.randbelow(255)}.1/24"
        self._path = os.environ["PATH"]
        self._process: subprocess.Popen[bytes] | None = None
        if hook is not None:
            (folder / "bin").mkdir()
            program = folder / "bin" / "nvidia-container-runtime-hook"
            program.write_text(hook)
            program.chmod(0o755)
            self._path = f"{folder / 'bin'}:{self._path}"

    def add_bridge(self) -> None:
        for arguments in (
            ["link", "add", self._bridge, "type", "bridge"],
            ["addr", "add", self._subnet, "dev", self._bridge],
            ["link", "set", self._bridge, "up"],
        ):
            subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def start(self) -> None:
        assert self._process is None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd",
                    *("--data-root", str(self._data)),
                    *("--exec-root", str(self.folder / "exec")),
                    *("--pidfile", str(self.folder / "pid")),
                    *("--host", self.address),
                    f"--bridge={self._bridge}",
                    "--iptables=false",
                    "--ip-masq=false",
                    *self._options,
                ],
                env=os.environ | {"PATH": self._path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        limit = time.monotonic() + 2 * LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < limit, "the private engine does not answer"
            time.sleep(0.1)

    def _answers(self) -> bool:
        with contextlib.suppress(docker.errors.DockerException, OSError):
            client = docker.DockerClient(base_url=self.address, timeout=5)
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.address, timeout=60)

    def take_image(self, image: str, source: docker.DockerClient) -> None:
        """Copy an image from another engine."""
        client = self.client()
        client.api.load_image(b"".join(source.api.get_image(image)))
        client.close()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._process is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the engine itself."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop the engine, and with it every container that has no restart policy."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def remove(self) -> None:
        self.stop()
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)
        wait_until(self._unmounted, "the engine's mounts are gone")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unmounted(self) -> bool:
        """Unmount what the engine left mounted below its folder; whether nothing is left."""
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        ours = [path for path in mounted if path.startswith(f"{self.folder}/")]
        for path in reversed(ours):
            subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
        return not ours


@contextmanager
def private_engine(
    *, disk_bytes: int | None = None, hook: str | None = None, options: Sequence[str] = ()
) -> Iterator[PrivateEngine]:
    """An engine that runs, and is gone afterwards with all that it had.

    Args:
        disk_bytes: size of its disk, which is memory then; `None` for the disk of the folder.
        hook: see `PrivateEngine`.
        options: the same.
    """
    folder = Path(tempfile.mkdtemp(prefix="d-"))
    data = None
    if disk_bytes is not None:
        data = folder / "disk"
        data.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={disk_bytes}", "tmpfs", str(data)], check=True, capture_output=True
        )
    engine = PrivateEngine(folder, data=data, hook=hook, options=options)
    try:
        engine.add_bridge()
        engine.start()
        yield engine
    finally:
        engine.remove()
