"""Recordings: Rounds in a file, read back as they were, so that replay runs the same derivation.

A recording is text, one JSON value a line, compressed as its name says (`.gz`, `.xz`, else not):
first `{"recording": "tritop", "format": 1}`, then a line for each Round. A dataclass is an object
with its class name under `_` and the fields that differ from their defaults. What a source said
last round is `"same"`; of a scrape only the values that changed are written, and of the statistics,
the index and the configurations only the entries that are new objects. Headers and credentials are
in no Round, so they are in no recording.
"""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from tritop import change, model, operation, reading, server_spec, trial
from tritop.derive import round as rounds
from tritop.derive.round import Round, ServerRound, SourceRound
from tritop.errors import UsageError
from tritop.reading import ApiReading, Layout, MetricsReading, Reading

FORMAT = 1
_SAME = "same"
_CUT_OFF = (EOFError, zlib.error, lzma.LZMAError)
"""What a compressed file whose end is missing raises."""

Known = dict[str, type[Any]]


@cache
def _classes() -> Known:
    """Every class that a recording may hold, by name; nothing else is ever made from one."""
    return {
        name: thing
        for module in (change, model, operation, reading, rounds, server_spec, trial)
        for name, thing in vars(module).items()
        if isinstance(thing, type) and (is_dataclass(thing) or issubclass(thing, Enum))
    }


@cache
def _fields(kind: type[Any]) -> tuple[Field[Any], ...]:
    return fields(kind)


def encode(value: Any) -> Any:
    """A value of the classes above as JSON knows it; NaN and the infinities are kept."""
    if isinstance(value, Enum):
        return {"_": type(value).__name__, "value": value.value}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        known = {field.name: getattr(value, field.name) for field in _fields(kind)}
        given = {
            field.name: encode(known[field.name])
            for field in _fields(kind)
            if field.default is MISSING or known[field.name] is not field.default
        }
        return {"_": kind.__name__, **given}
    if isinstance(value, tuple | list):
        return [encode(one) for one in value]
    return value


def decode(value: Any) -> Any:
    """The opposite of `encode`; lists become tuples.

    Raises:
        UsageError: a class or a field is unknown.
    """
    if isinstance(value, list):
        return tuple([decode(one) for one in value])
    if not isinstance(value, dict):
        return value
    given = dict(value)
    name = given.pop("_", None)
    kind = _classes().get(name) if isinstance(name, str) else None
    if kind is None:
        raise _unreadable(f"it holds a {name!r}, which this tritop does not know")
    try:
        return kind(**{field: decode(one) for field, one in given.items()})
    except (TypeError, ValueError) as error:
        raise _unreadable(f"a {name} in it cannot be made: {error}") from error


def _unreadable(why: str) -> UsageError:
    return UsageError(f"The recording cannot be read: {why}.", "Use the version of tritop that recorded it, or newer.")


class Recorder:
    """Writes Rounds to a file.

    What was written is readable also after a crash, but for `.xz`, which is for files that are
    closed in the end and kept small.

    Args:
        path: the file, replaced where it exists; its name chooses the compression.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._raw = path.open("wb")
        except OSError as error:
            raise UsageError(f"Cannot write the recording {path}: {error.strerror}.", "Choose another file.") from error
        self._file = _compressor(path, self._raw)
        self._last: dict[tuple[str, str], Reading] = {}
        self._write({"recording": "tritop", "format": FORMAT})

    def write(self, now: Round) -> None:
        """Append a Round.

        Raises:
            OSError: the disk is full, or the file is gone.
        """
        body = {field.name: encode(getattr(now, field.name)) for field in fields(now) if field.name != "servers"}
        body["servers"] = [self._server(server) for server in now.servers]
        self._write(body)

    def close(self) -> None:
        """Finish the file; a second time does nothing."""
        if not self._raw.closed:
            self._file.close()
            self._raw.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, body: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(body, separators=(",", ":")).encode() + b"\n")
        if isinstance(self._file, gzip.GzipFile):
            self._file.flush(zlib.Z_SYNC_FLUSH)
        if not isinstance(self._file, lzma.LZMAFile):
            # xz has no way to end a block early without ruining the compression.
            self._raw.flush()

    def _server(self, server: ServerRound) -> dict[str, Any]:
        body = {field.name: getattr(server, field.name) for field in fields(server) if field.name != "sources"}
        return {**body, "sources": [self._source(server.name, source) for source in server.sources]}

    def _source(self, server: str, source: SourceRound) -> dict[str, Any]:
        key = (server, source.name)
        last, now = self._last.get(key), source.reading
        if now is not None:
            self._last[key] = now
        body = {field.name: encode(getattr(source, field.name)) for field in fields(source) if field.name != "reading"}
        return {**body, "reading": _SAME if now is not None and now is last else _encode_reading(last, now)}


def _encode_reading(last: Reading | None, now: Reading | None) -> Any:
    if isinstance(now, MetricsReading):
        return _encode_metrics(last if isinstance(last, MetricsReading) else None, now)
    if isinstance(now, ApiReading):
        return _encode_api(last if isinstance(last, ApiReading) else None, now)
    return encode(now)


def _encode_metrics(last: MetricsReading | None, now: MetricsReading) -> dict[str, Any]:
    body = {field.name: getattr(now, field.name) for field in fields(now) if field.name not in {"layout", "values"}}
    if last is None or last.layout is not now.layout:
        return {"_": "MetricsReading", **body, "layout": encode(now.layout.series), "values": list(now.values)}
    pairs = enumerate(zip(now.values, last.values, strict=True))
    # NaN differs from itself, so it is simply written again.
    return {"_": "MetricsReading", **body, "changed": [[at, new] for at, (new, old) in pairs if new != old]}


_ENTRIES = ("index", "statistics", "configs")


def _encode_api(last: ApiReading | None, now: ApiReading) -> dict[str, Any]:
    body = {field.name: encode(getattr(now, field.name)) for field in fields(now) if field.name not in _ENTRIES}
    for name in _ENTRIES[:2]:
        entries = getattr(now, name)
        places = _places(getattr(last, name, None) or ())
        body[name] = None if entries is None else [_place(one, places) for one in entries]
    places = _places(tuple(last.configs.values()) if last is not None else ())
    body["configs"] = [[*key, _place(config, places)] for key, config in now.configs.items()]
    return {"_": "ApiReading", **body}


def _place(entry: object, places: dict[int, int]) -> Any:
    """Where the same object was in the last reading, or all of it where it is a new one."""
    place = places.get(id(entry))
    return encode(entry) if place is None else place


def _places(entries: tuple[object, ...]) -> dict[int, int]:
    return {id(entry): place for place, entry in enumerate(entries)}


def _compressor(path: Path, raw: BufferedWriter) -> BufferedWriter | gzip.GzipFile | lzma.LZMAFile:
    if path.suffix == ".gz":
        # Neither a time nor a name in the header: the same Rounds make the same file.
        return gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
    return lzma.LZMAFile(raw, "wb") if path.suffix == ".xz" else raw


def _open(path: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def read_recording(path: Path) -> Iterator[Round]:
    """The Rounds of a recording in order, with the identities that `derive` goes by.

    A recording that was cut off ends with its last whole Round.

    Raises:
        UsageError: there is no such file, or it is no recording, or one of a newer tritop.
    """
    try:
        with _open(path) as file:
            lines = _lines(file)
            head = next(lines, None)
            if not isinstance(head, dict) or head.get("recording") != "tritop":
                raise UsageError(f"{path} is not a recording of tritop.", "Give a file that `tritop record` wrote.")
            if head.get("format") != FORMAT:
                raise _unreadable(f"its format is {head.get('format')!r}")
            last: dict[tuple[str, str], Reading] = {}
            for line in lines:
                yield _round(line, last)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            f"Cannot read the recording {path}: {why}.", "Give a file that `tritop record` wrote."
        ) from error


def _lines(file: Iterable[bytes]) -> Iterator[Any]:
    try:
        for line in file:
            yield json.loads(line)
    except (*_CUT_OFF, json.JSONDecodeError, UnicodeDecodeError):
        return


def _round(line: dict[str, Any], last: dict[tuple[str, str], Reading]) -> Round:
    try:
        given = dict(line)
        servers = tuple(_server(server, last) for server in given.pop("servers"))
        return Round(servers=servers, **{name: decode(value) for name, value in given.items()})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _unreadable(f"a line of it is malformed ({error!r})") from error


def _server(body: dict[str, Any], last: dict[tuple[str, str], Reading]) -> ServerRound:
    given = dict(body)
    sources = []
    for source in given.pop("sources"):
        parts = dict(source)
        key = (given["name"], parts["name"])
        now = _decode_reading(last.get(key), parts.pop("reading"))
        if now is not None:
            last[key] = now
        sources.append(SourceRound(reading=now, **{name: decode(value) for name, value in parts.items()}))
    return ServerRound(sources=tuple(sources), **given)


def _decode_reading(last: Reading | None, body: Any) -> Reading | None:
    if body == _SAME:
        return last
    kind = body["_"] if body is not None else None
    if kind == "MetricsReading":
        return _decode_metrics(last if isinstance(last, MetricsReading) else None, body)
    if kind == "ApiReading":
        return _decode_api(last if isinstance(last, ApiReading) else None, body)
    return cast(Reading | None, decode(body))


def _decode_metrics(last: MetricsReading | None, body: dict[str, Any]) -> MetricsReading:
    given = {name: value for name, value in body.items() if name not in {"_", "layout", "values", "changed"}}
    if "layout" in body:
        return MetricsReading(layout=Layout(decode(body["layout"])), values=array("d", body["values"]), **given)
    if last is None:
        raise ValueError("values without a layout")
    values = array("d", last.values)
    for at, value in body["changed"]:
        values[at] = value
    return MetricsReading(layout=last.layout, values=values, **given)


def _decode_api(last: ApiReading | None, body: dict[str, Any]) -> ApiReading:
    given = {name: decode(value) for name, value in body.items() if name not in {"_", *_ENTRIES}}
    for name in _ENTRIES[:2]:
        past = getattr(last, name, None) or ()
        given[name] = None if body[name] is None else tuple([_entry(one, past) for one in body[name]])
    past = tuple(last.configs.values()) if last is not None else ()
    given["configs"] = {(name, version): _entry(config, past) for name, version, config in body["configs"]}
    return ApiReading(**given)


def _entry(body: Any, past: tuple[Any, ...]) -> Any:
    return past[body] if isinstance(body, int) else decode(body)
