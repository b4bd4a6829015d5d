"""Logs in files and with an engine. The classes fulfil `tritop.logs.HasLog`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tritop.errors import RuntimeFailure
from tritop.logs import LogChunk, LogSource
from tritop.model import Launch
from tritop.runtimes.log_follow import FileLog, PathLog, RotatingFile, continues, predecessor


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A log file of a server that somebody else runs."""

    path: Path

    def log_source(self) -> LogSource:
        """The file and what comes."""
        return PathLog(self.path)

    def log_since(self, at: float) -> Iterator[LogChunk]:
        """The file and its predecessor, whatever the time.

        Raises:
            RuntimeFailure: it is not there.
        """
        if not self.path.is_file():
            raise RuntimeFailure(f"there is no log {self.path}.")
        run = 1
        for chunk in predecessor(self.path):
            yield chunk
            run = 1 if continues(self.path) else 2
        file = RotatingFile(self.path)
        try:
            while piece := file.read() or file.rest():
                yield LogChunk(piece.lines, run)
        finally:
            file.close()


@dataclass(frozen=True, slots=True)
class LaunchPlace:
    """The log of a server that writes to `Launch.log_path`."""

    launch: Callable[[], Launch]

    def log_source(self) -> LogSource:
        """The log over all runs."""
        return FileLog(self.launch)

    def log_since(self, at: float) -> Iterator[LogChunk]:
        """The log of the newest run, as `FilePlace`.

        Raises:
            RuntimeFailure: there is none yet.
        """
        path = self.launch().log_path
        if not path:
            raise RuntimeFailure("the server has no log yet.")
        return FilePlace(Path(path)).log_since(at)


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """The log of a container, which its engine has."""

    address: str
    """Of the engine."""
    container: str
    """Its name."""

    def log_source(self) -> LogSource:
        """The log over all runs, and over another container of the name."""
        from tritop.runtimes.docker_log import DockerLog

        return DockerLog(self.address, self.container)

    def log_since(self, at: float) -> Iterator[LogChunk]:
        """What the engine kept since a time by its own clock.

        Raises:
            EngineFailure: the engine, or the container, does not give it.
        """
        from tritop.container_documents import seconds_of
        from tritop.runtimes.docker_client import open_client
        from tritop.runtimes.docker_errors import caught, engine_failure
        from tritop.runtimes.docker_log import read_log

        client = open_client(self.address)
        try:
            for run, (stamp, line) in read_log(client, self.container, since_s=at):
                yield LogChunk((line,), run, (seconds_of(stamp),))
        except caught() as error:
            raise engine_failure(error, f"read the log of {self.container}", self.address) from error
        finally:
            client.close()
