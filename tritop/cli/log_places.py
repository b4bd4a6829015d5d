"""Where `tritop logs` reads: files, pipes, processes of this host, containers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tritop.endpoint import Endpoint
from tritop.errors import RuntimeFailure, UsageError
from tritop.logs import HasLog, LogChunk
from tritop.runtimes.log_find import find_logs, log_file_of
from tritop.runtimes.log_place import ContainerPlace, FilePlace

_PIPE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogPlace:
    """One log that can be read, and what it is called."""

    name: str
    log: HasLog
    container: str = ""
    """Its name on the engine, where the engine has the log."""
    address: str = ""
    """host:port of the server's gRPC, "" where it cannot be reached."""


def find_place(name: str) -> LogPlace:
    """The log of that name, or the only one on this host for "".

    Raises:
        UsageError: there are several, or none is called so.
        RuntimeFailure: the server is there and its log is not.
    """
    if name and (os.sep in name or Path(name).is_file()):
        if not Path(name).is_file():
            raise UsageError(f"there is no file {name}.", "Give a log file, a container or a server of this host.")
        return LogPlace(name, FilePlace(Path(name)))
    places, reasons, fault = _places()
    return _named(name, places, fault) if name else _only(places, reasons + ([fault] if fault else []))


def log_at(endpoint: Endpoint) -> HasLog:
    """The log of a server by its address.

    Raises:
        RuntimeFailure: it cannot be read from here.
    """
    try:
        return FilePlace(log_file_of(endpoint))
    except RuntimeFailure:
        containers, _ = _containers()
        for place in containers:
            if place.address == endpoint.grpc_address:
                return place.log
        raise


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
    places = [LogPlace(f"127.0.0.1:{log.grpc_port}", FilePlace(log.path)) for log in found if log.path is not None]
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
                LogPlace(
                    container.profile or container.name,
                    ContainerPlace(engine.address, container.name),
                    container.name,
                    container.address,
                )
                for container in await list_tritons(engine)
            ]
        finally:
            engine.close()

    try:
        return asyncio.run(look()), ""
    except RuntimeFailure as failure:
        return [], failure.sentence.rstrip(".")


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
