"""What a Triton server says over its gRPC API: health, index, statistics and configurations."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from collectors.config_watch import MAX_CHANGED_PER_READ, ConfigWatch
from collectors.grpc_connection import Connection
from collectors.grpc_faults import LoadRefused, LostConnection
from collectors.model_config import model_config
from collectors.model_statistics import IndexTable, Key, StatisticsTable, decoded
from collectors.part_faults import PartFaults
from collectors.port_probe import who_listens
from tritop.discovery import server_at
from tritop.endpoint import Endpoint, is_loopback
from tritop.errors import AccessDenied, Garbled, NotTriton, ReadError, Stopping
from tritop.model import ControlMode, ModelConfig
from tritop.protocol import service_pb2
from tritop.reading import ApiReading, IndexEntry, VersionStatistics

T = TypeVar("T")

_FIRST_SHARE = 0.75
"""Share of the time of a read after which the parts that every read asks for are given up: a repository
index that hangs, as on remote storage, must leave time for the configurations.
"""
_PROBE_S = 0.5
"""Bound on finding out who is at a port that closed the connection, after the time of the read."""
_HEALTH, _INDEX, _STATISTICS, _METADATA, _CONFIGS = (
    "health",
    "repository index",
    "statistics",
    "server metadata",
    "model configurations",
)


@dataclass(frozen=True, slots=True)
class _ServerMetadata:
    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(slots=True)
class _Answers:
    """The parts of one read: what was read, or the error that it met; `None` where it was not asked for."""

    live: bool | ReadError
    ready: bool | ReadError
    index: tuple[IndexEntry, ...] | ReadError
    statistics: tuple[VersionStatistics, ...] | ReadError
    metadata: _ServerMetadata | ReadError | None

    def errors(self) -> dict[str, ReadError]:
        """The error of every part that was asked for and not read."""
        parts = (
            (_HEALTH, self.ready),
            (_HEALTH, self.live),
            (_INDEX, self.index),
            (_STATISTICS, self.statistics),
            (_METADATA, self.metadata),
        )
        return {part: answer for part, answer in parts if isinstance(answer, ReadError)}

    def nothing_read(self) -> bool:
        answers = (self.live, self.ready, self.index, self.statistics, self.metadata)
        return all(isinstance(answer, ReadError) for answer in answers if answer is not None)


class TritonApi:
    """Collector of a server's gRPC API.

    Each read asks for health, the repository index and all statistics at once. Server metadata and
    the control mode are found out once for each connection, and again after a loss, since another
    server may be there now. Configurations are read as `ConfigWatch` says.

    Args:
        endpoint: the server.
        clock: wall time [s since the epoch].
        monotonic: monotonic time [s].
        timeout_s: bound on one read; a read that fails may take half a second more to find out why.
        probe_control_mode: find the control mode out by unloading a model that does not exist,
            which changes nothing. Never done on a read-only endpoint.
    """

    name = "api"
    period_s: float | None = None

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        timeout_s: float = 2.0,
        probe_control_mode: bool = True,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._first_s = timeout_s * _FIRST_SHARE
        self._may_probe = probe_control_mode and not endpoint.read_only
        self._connection: Connection | None = None
        self._metadata: _ServerMetadata | None = None
        self._control_mode: ControlMode | None = None
        """`None` while it was not found out on this connection."""
        self._index = IndexTable()
        self._statistics = StatisticsTable()
        self._watch = ConfigWatch()
        self._config_error: ReadError | None = None
        self._faults = PartFaults()
        self._read_at = (0.0, 0.0)

    async def read(self) -> ApiReading:
        """Read once; a part that fails while others are read is `None`, with its fault named.

        Raises:
            ReadError: nothing could be read; the next read makes a new connection at once.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            connection = self._connected()
            answers = await self._ask_all(connection)
            self._raise_if_lost(answers)
        except LostConnection:
            await self._disconnect()
            raise await who_listens(self._endpoint, _PROBE_S) from None
        except ReadError:
            await self._disconnect()
            raise
        await self._follow_up(connection, answers, deadline)
        return self._reading(answers)

    async def aclose(self) -> None:
        """Close the connection; a later read would open a new one."""
        await self._disconnect()

    def _connected(self) -> Connection:
        """The connection; what is known only of the server behind it is forgotten where it was lost."""
        if self._connection is None:
            self._connection = Connection(self._endpoint)
        if not self._connection.is_up():
            self._metadata = None
            self._control_mode = None
            self._config_error = None
            self._watch.expire()
        return self._connection

    async def _disconnect(self) -> None:
        """Drop the connection: gRPC would wait before it connects again, a new one does not."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask_all(self, connection: Connection) -> _Answers:
        """Everything that each read asks for, at once."""
        ask_metadata = self._metadata is None
        live, ready, index, statistics, metadata = await asyncio.gather(
            _attempt(self._read_live(connection)),
            _attempt(self._read_ready(connection)),
            _attempt(self._read_index(connection)),
            _attempt(self._read_statistics(connection)),
            _attempt(self._read_metadata(connection)) if ask_metadata else _nothing(),
        )
        if isinstance(statistics, ReadError):
            self._read_at = (self._clock(), self._monotonic())
        if isinstance(metadata, _ServerMetadata):
            self._metadata = metadata
        return _Answers(live, ready, index, statistics, metadata)

    def _raise_if_lost(self, answers: _Answers) -> None:
        """Raise where there is no server to read from, rather than one that keeps a part back."""
        if isinstance(answers.live, Stopping):
            raise answers.live
        if not answers.nothing_read():
            return
        errors = list(answers.errors().values())
        if self._metadata is not None and all(isinstance(error, AccessDenied) for error in errors):
            return  # This connection did tell who the server is; it restricts all of the rest.
        raise next((error for error in errors if not isinstance(error, AccessDenied)), errors[0])

    async def _follow_up(self, connection: Connection, answers: _Answers, deadline: float) -> None:
        """What depends on the answers, in what is left of the time."""
        index = None if isinstance(answers.index, ReadError) else answers.index
        statistics = None if isinstance(answers.statistics, ReadError) else answers.statistics
        restarted = () if statistics is None else self._statistics.restarted
        if index is not None or statistics is not None:
            self._watch.observe(index, statistics, restarted)
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            return
        await asyncio.gather(self._read_configs(connection, left_s), self._find_control_mode(connection, left_s))

    def _reading(self, answers: _Answers) -> ApiReading:
        at, mono = self._read_at
        errors = answers.errors()
        if self._config_error is not None:
            errors[_CONFIGS] = self._config_error
        metadata = self._metadata or _ServerMetadata("", "", ())
        return ApiReading(
            at=at,
            mono=mono,
            live=_known(answers.live),
            ready=_known(answers.ready),
            server_name=metadata.name,
            version=metadata.version,
            extensions=metadata.extensions,
            control_mode=self._control_mode or ControlMode.UNKNOWN,
            index=_known(answers.index),
            statistics=_known(answers.statistics),
            configs=self._watch.configs,
            part_faults=self._faults.update(errors, at),
        )

    async def _read_live(self, connection: Connection) -> bool:
        raw = await connection.call("ServerLive", service_pb2.ServerLiveRequest(), self._first_s)
        return bool(decoded(service_pb2.ServerLiveResponse, raw).live)

    async def _read_ready(self, connection: Connection) -> bool:
        raw = await connection.call("ServerReady", service_pb2.ServerReadyRequest(), self._first_s)
        return bool(decoded(service_pb2.ServerReadyResponse, raw).ready)

    async def _read_index(self, connection: Connection) -> tuple[IndexEntry, ...]:
        raw = await connection.call("RepositoryIndex", service_pb2.RepositoryIndexRequest(), self._first_s)
        return self._index.update(raw)

    async def _read_statistics(self, connection: Connection) -> tuple[VersionStatistics, ...]:
        raw = await connection.call("ModelStatistics", service_pb2.ModelStatisticsRequest(), self._first_s)
        # Rates are made of these numbers, so the reading is stamped when they arrive.
        self._read_at = (self._clock(), self._monotonic())
        return self._statistics.update(raw)

    async def _read_metadata(self, connection: Connection) -> _ServerMetadata:
        raw = await connection.call("ServerMetadata", service_pb2.ServerMetadataRequest(), self._first_s)
        metadata = decoded(service_pb2.ServerMetadataResponse, raw)
        return _ServerMetadata(metadata.name, metadata.version, tuple(metadata.extensions))

    async def _read_configs(self, connection: Connection, timeout_s: float) -> None:
        """Read the configurations that are due; after a refusal only one, to see whether it still holds."""
        keys = self._watch.due(self._monotonic(), 1 if self._config_error else MAX_CHANGED_PER_READ)
        answers = await asyncio.gather(*(_attempt(self._read_config(connection, key, timeout_s)) for key in keys))
        read = {key: answer for key, answer in zip(keys, answers, strict=True) if not isinstance(answer, ReadError)}
        self._watch.learn({key: answer for key, answer in read.items() if answer is not None})
        # Other errors concern one version: it was unloaded since, or its name is not unique.
        refusals = [answer for answer in answers if isinstance(answer, AccessDenied | NotTriton)]
        if read or refusals:
            self._config_error = refusals[0] if refusals else None

    async def _read_config(
        self, connection: Connection, key: Key, timeout_s: float
    ) -> tuple[bytes, ModelConfig] | None:
        """A configuration with the answer that it was made of, `None` where the answer is the last one's."""
        request = service_pb2.ModelConfigRequest(name=key[0], version=key[1])
        raw = await connection.call("ModelConfig", request, timeout_s)
        if not self._watch.is_news(key, raw):
            return None
        return raw, model_config(decoded(service_pb2.ModelConfigResponse, raw).config)

    async def _find_control_mode(self, connection: Connection, timeout_s: float) -> None:
        """Unload a model that cannot exist: a server in explicit mode says OK, and nothing happens."""
        if self._control_mode is not None or not self._may_probe:
            return
        request = service_pb2.RepositoryModelUnloadRequest(model_name=f"tritop-probe-{secrets.token_hex(8)}")
        try:
            await connection.call("RepositoryModelUnload", request, timeout_s)
        except LoadRefused:
            self._control_mode = await self._none_or_poll()
        except (AccessDenied, NotTriton, Garbled):
            self._control_mode = ControlMode.UNKNOWN
        except ReadError:
            return  # No answer is no finding: the next read asks again.
        else:
            self._control_mode = ControlMode.EXPLICIT

    async def _none_or_poll(self) -> ControlMode:
        """Which of the two, by the command line of a process of this host: the server gives the same answer."""
        if not is_loopback(self._endpoint.host):
            return ControlMode.NONE_OR_POLL
        process = await asyncio.to_thread(server_at, self._endpoint.grpc_port)
        said = process.control_mode if process is not None else ""
        return {"none": ControlMode.NONE, "poll": ControlMode.POLL}.get(said, ControlMode.NONE_OR_POLL)


async def _attempt(part: Awaitable[T]) -> T | ReadError:
    try:
        return await part
    except ReadError as error:
        return error


async def _nothing() -> None:
    return None


def _known(answer: T | ReadError) -> T | None:
    return None if isinstance(answer, ReadError) else answer
