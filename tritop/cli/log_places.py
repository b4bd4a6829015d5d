"""Where `tritop logs` reads: files, pipes, processes of this host, containers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tritop.errors import RuntimeFailure, UsageError
from tritop.logs import LogChunk, LogSource
from tritop.runtimes.log_find import find_logs
from tritop.runtimes.log_follow import PathLog, RotatingFile, continues, predecessor

_PIPE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogPlace:
    """One log that can be read."""

    name: str
    path: Path | None = None
    container: str = ""
    """Its name on the engine; the engine has the log."""

    def read(self) -> Iterator[LogChunk]:
        """What there is now.

        Raises:
            RuntimeFailure: it cannot be read.
        """
        if self.container:
            return _read_container(self.container)
        assert self.path is not None
        return _read_file(self.path)

    def source(self) -> LogSource:
        """What there is and what comes."""
        if self.container:
            from tritop.runtimes.docker_client import engine_address
            from tritop.runtimes.docker_log import DockerLog

            return DockerLog(engine_address(os.environ), self.container)
        assert self.path is not None
        return PathLog(self.path)


def find_place(name: str) -> LogPlace:
    """The log of that name, or the only one on this host for "".

    Raises:
        UsageError: there are several, or none is called so.
        RuntimeFailure: the server is there and its log is not.
    """
    if name and (os.sep in name or Path(name).is_file()):
        if not Path(name).is_file():
            raise UsageError(f"there is no file {name}.", "Give a log file, a container or a server of this host.")
        return LogPlace(name, Path(name))
    places, reasons, fault = _places()
    return _named(name, places, fault) if name else _only(places, reasons + ([fault] if fault else []))


def _named(name: str, places: list[LogPlace], fault: str) -> LogPlace:
    for place in places:
        if name in (place.name, place.container):
            return place
    known = ", ".join(place.name for place in places) or "there is none with a log"
    unasked = f"; {fault}" if fault else ""
    raise UsageError(
        f"no server of this host is called {name!r} ({known}){unasked}.",
        "Name a container, 127.0.0.1:PORT with the gRPC port of a server, or a log file; - reads stdin.",
    )


def _only(places: list[LogPlace], reasons: list[str]) -> LogPlace:
    if not places:
        raise RuntimeFailure(
            f"no Triton with a log was found on this host ({'; '.join(reasons)}).",
            "Give a log file: tritop logs FILE, or docker logs CONTAINER 2>&1 | tritop logs -",
        )
    if len(places) > 1:
        known = ", ".join(place.name for place in places)
        raise UsageError(f"{len(places)} servers have a log: {known}.", f"Choose one: tritop logs {places[0].name}")
    return places[0]


def _places() -> tuple[list[LogPlace], list[str], str]:
    """Every log of this host, why there are not more, and what kept the engine from being asked."""
    found = find_logs()
    places = [LogPlace(f"127.0.0.1:{log.grpc_port}", log.path) for log in found if log.path is not None]
    reasons = [log.reason.rstrip(".") for log in found if log.path is None and not log.container]
    reasons = reasons or ([] if found else ["processes: no tritonserver among those that this user may see"])
    containers, fault = _containers()
    return [*places, *containers], reasons, fault


def _containers() -> tuple[list[LogPlace], str]:
    """The logs that the engine has, those of servers that ended included."""
    import asyncio

    try:
        from tritop.runtimes.docker import Engine
        from tritop.runtimes.docker_list import list_tritons
    except ModuleNotFoundError as error:
        return [], f"engine: {error}"

    async def look() -> list[LogPlace]:
        engine = Engine()
        try:
            return [
                LogPlace(container.profile or container.name, container=container.name)
                for container in await list_tritons(engine)
            ]
        finally:
            engine.close()

    try:
        return asyncio.run(look()), ""
    except RuntimeFailure as failure:
        return [], failure.sentence.rstrip(".")


def _read_file(path: Path) -> Iterator[LogChunk]:
    run = 1
    for chunk in predecessor(path):
        yield chunk
        run = 1 if continues(path) else 2
    file = RotatingFile(path)
    try:
        while piece := file.read() or file.rest():
            yield LogChunk(piece.lines, run)
    finally:
        file.close()


def _read_container(name: str) -> Iterator[LogChunk]:
    from tritop.container_documents import seconds_of
    from tritop.runtimes.docker_client import engine_address, open_client
    from tritop.runtimes.docker_errors import caught, engine_failure
    from tritop.runtimes.docker_log import read_log

    address = engine_address(os.environ)
    client = open_client(address)
    try:
        for run, (stamp, line) in read_log(client, name):
            yield LogChunk((line,), run, (seconds_of(stamp),))
    except caught() as error:
        raise engine_failure(error, f"read the log of {name}", address) from error
    finally:
        client.close()


class PipeLog:
    """A log that comes through a pipe; its end is the end of what there is."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdin.buffer

    def read(self) -> Iterator[LogChunk]:
        """Every line as it comes."""
        for line in iter(self._read_line, b""):
            yield LogChunk((line.removesuffix(b"\n"),))

    def _read_line(self) -> bytes:
        return self._stream.readline(_PIPE_BYTES)
