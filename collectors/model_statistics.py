"""Triton's ModelStatistics and repository index as rows, made anew only where something moved."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from collectors.grpc_faults import quoted
from tritop.errors import Garbled
from tritop.protocol import service_pb2
from tritop.reading import BatchStatistics, Duration, IndexEntry, VersionStatistics

Key = tuple[str, str]
"""(name, version) of a model."""


def decoded(message_type: Any, raw: bytes) -> Any:
    """A message of the given protobuf type; the generated classes have no types of their own.

    Raises:
        Garbled: the bytes are no such message, or a text in them is not UTF-8.
    """
    try:
        return message_type.FromString(raw)
    except DecodeError as error:
        raise Garbled(f"An answer of {len(raw)} bytes cannot be decoded: {quoted(str(error))}.") from error


class IndexTable:
    """The repository index, kept as the same tuple for as long as the server answers the same."""

    def __init__(self) -> None:
        self._raw = b""
        self.rows: tuple[IndexEntry, ...] = ()

    def update(self, raw: bytes) -> tuple[IndexEntry, ...]:
        """Take the answer to RepositoryIndex.

        Raises:
            Garbled: it cannot be decoded.
        """
        if raw != self._raw:
            models = decoded(service_pb2.RepositoryIndexResponse, raw).models
            self.rows = tuple(IndexEntry(m.name, m.version, m.state, m.reason) for m in models)
            self._raw = raw
        return self.rows


class StatisticsTable:
    """ModelStatistics of all versions; the row object of a version is kept while its counters rest."""

    def __init__(self) -> None:
        self._raw = b""
        self.rows: tuple[VersionStatistics, ...] = ()
        self.restarted: frozenset[Key] = frozenset()
        """Versions whose counters went back in the newest answer: fully reloaded, or another server."""

    def update(self, raw: bytes) -> tuple[VersionStatistics, ...]:
        """Take the answer to ModelStatistics of all models.

        Raises:
            Garbled: it cannot be decoded.
        """
        if raw == self._raw:
            self.restarted = frozenset()
            return self.rows
        restarted: set[Key] = set()
        rows = []
        older = _OlderRows(self.rows)
        for place, message in enumerate(decoded(service_pb2.ModelStatisticsResponse, raw).model_stats):
            before = older.row(place, message.name, message.version)
            if before is not None and _rests(message, before):
                rows.append(before)
                continue
            row = _row(message)
            if before is not None and _went_back(row, before):
                restarted.add((row.name, row.version))
            rows.append(row)
        self._raw, self.rows, self.restarted = raw, tuple(rows), frozenset(restarted)
        return self.rows


class _OlderRows:
    """Finds the row that a version had; by place first, which also tells namesakes apart."""

    def __init__(self, rows: tuple[VersionStatistics, ...]) -> None:
        self._rows = rows
        self._by_key: dict[Key, VersionStatistics] | None = None

    def row(self, place: int, name: str, version: str) -> VersionStatistics | None:
        if place < len(self._rows):
            row = self._rows[place]
            if row.name == name and row.version == version:
                return row
        if self._by_key is None:
            self._by_key = {(row.name, row.version): row for row in self._rows}
        return self._by_key.get((name, version))


def _rests(message: Any, row: VersionStatistics) -> bool:
    """Whether nothing was counted since `row` was made: every other number moves only with one of these.

    A cache miss counts apart because core adds it after the request (`UpdateSuccessCacheMiss`).
    """
    totals = message.inference_stats
    return bool(
        message.execution_count == row.execution_count
        and totals.success.count == row.success.count
        and totals.fail.count == row.fail.count
        and totals.cache_miss.count == row.cache_miss.count
        and message.inference_count == row.inference_count
        and message.last_inference == row.last_inference_ms
    )


def _went_back(row: VersionStatistics, before: VersionStatistics) -> bool:
    return (
        row.execution_count < before.execution_count
        or row.success.count < before.success.count
        or row.fail.count < before.fail.count
        or row.inference_count < before.inference_count
        or row.last_inference_ms < before.last_inference_ms
    )


def _row(message: Any) -> VersionStatistics:
    totals = message.inference_stats
    return VersionStatistics(
        name=message.name,
        version=message.version,
        last_inference_ms=message.last_inference,
        inference_count=message.inference_count,
        execution_count=message.execution_count,
        success=_duration(totals.success),
        fail=_duration(totals.fail),
        queue=_duration(totals.queue),
        compute_input=_duration(totals.compute_input),
        compute_infer=_duration(totals.compute_infer),
        compute_output=_duration(totals.compute_output),
        cache_hit=_duration(totals.cache_hit),
        cache_miss=_duration(totals.cache_miss),
        batches=tuple(
            BatchStatistics(
                size=batch.batch_size,
                count=batch.compute_infer.count,
                compute_input_ns=batch.compute_input.ns,
                compute_infer_ns=batch.compute_infer.ns,
                compute_output_ns=batch.compute_output.ns,
            )
            for batch in message.batch_stats
        ),
        memory_bytes=tuple((f"{usage.type} {usage.id}", usage.byte_size) for usage in message.memory_usage),
    )


_NEVER = Duration()


def _duration(message: Any) -> Duration:
    count, ns = message.count, message.ns
    return Duration(count, ns) if count or ns else _NEVER
