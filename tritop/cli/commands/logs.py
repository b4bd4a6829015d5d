"""`tritop logs [SERVER]`: the log of a server of this host, its entries chosen, its escape sequences gone."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from tritop.cli.commands import Command
from tritop.errors import UsageError
from tritop.logs import LogChunk, LogFilter, LogLine, LogReader, LogSource, Sieve, level_named, saved_line

_DESCRIPTION = """Print the log of a Triton of this host: a container's, that of an embedded server, or that of any
tritonserver which writes to a file. Entries of many lines stay together, and nothing in them reaches
the terminal as a control sequence.

SERVER: a name of tritop ps, a container, 127.0.0.1:PORT (gRPC), a log file, or - for stdin. None: the only one."""
_FIRST_S = 2.0
"""How long the first lines may take, from an engine for instance."""
_SETTLED_S = 0.3
"""What comes within so much of the line before it was there already when following began."""
_COLORS = {3: "\x1b[31m", 2: "\x1b[33m"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", nargs="?", default="", help="none: the only one of this host")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument("-n", "--lines", metavar="N", type=int, help="only the last N lines of what is there")
    parser.add_argument("-p", "--previous", action="store_true", help="only the run before the newest one")
    group = parser.add_argument_group("entries")
    group.add_argument("--filter", metavar="TEXT", default="", help="only those that hold TEXT; !TEXT: that do not")
    group.add_argument("--model", metavar="NAME", default="", help="only those that name a model")
    group.add_argument("--level", metavar="LEVEL", default="all", help="at least error, warning or info")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _run(namespace: argparse.Namespace) -> int:
    if namespace.follow and namespace.previous:
        raise UsageError("--follow and --previous do not go together.", "The run before is over.")
    if namespace.lines is not None and namespace.lines < 0:
        raise UsageError(f"--lines {namespace.lines} is negative.")
    wanted = LogFilter(namespace.filter, namespace.model, level_named(namespace.level))
    for line in _lines(namespace, wanted):
        print(_as_json(line) if namespace.json else _as_text(line), flush=namespace.follow)
    return 0


def _lines(namespace: argparse.Namespace, wanted: LogFilter) -> Iterator[LogLine]:
    """The lines to print."""
    from tritop.cli.log_places import PipeLog, find_place

    if namespace.server == "-":
        lines = _read(PipeLog().read(), LogReader(), Sieve(wanted))
        yield from lines if namespace.lines is None else deque(lines, maxlen=namespace.lines)
        return
    place = find_place(namespace.server)
    if namespace.follow:
        yield from _followed(place.log.log_source(), wanted, namespace.lines)
        return
    kept = list(_read(place.log.log_since(0.0), LogReader(), Sieve(wanted)))
    if namespace.previous:
        newest = max((line.run for line in kept), default=1)
        kept = [line for line in kept if line.run == newest - 1 and not line.note]
    yield from kept if namespace.lines is None else kept[len(kept) - min(len(kept), namespace.lines) :]


def _read(chunks: Iterable[LogChunk], reader: LogReader, sieve: Sieve) -> Iterator[LogLine]:
    for chunk in chunks:
        yield from sieve.pass_on(reader.read(chunk, time.time()))


def _followed(source: LogSource, wanted: LogFilter, last: int | None) -> Iterator[LogLine]:
    """What there is, cut to the last lines, and then what comes, for as long as somebody reads."""
    from tritop.cli.waiting import ending_by_signal

    arrived: SimpleQueue[LogChunk] = SimpleQueue()

    def already_there() -> Iterator[LogChunk]:
        with suppress(Empty):
            yield arrived.get(timeout=_FIRST_S)
            while True:
                yield arrived.get(timeout=_SETTLED_S)

    reader, sieve = LogReader(), Sieve(wanted)
    with ending_by_signal():
        try:
            source.follow(arrived.put)
            yield from deque(_read(already_there(), reader, sieve), maxlen=last)
            yield from _read(iter(arrived.get, None), reader, sieve)
        finally:
            source.close()


def _as_text(line: LogLine) -> str:
    from tritop.cli.text import printable

    text = printable(saved_line(line))
    color = _COLORS.get(line.level) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    return f"{color}{text}\x1b[0m" if color else text


def _as_json(line: LogLine) -> str:
    from tritop.cli.output import as_json, iso8601

    return as_json(
        {
            "at": None if line.at is None else iso8601(line.at),
            "level": line.level.name.lower(),
            "run": line.run,
            "entry": line.entry,
            "place": line.place or None,
            "pid": line.pid or None,
            "model": line.model or None,
            "note": line.note,
            "text": line.text,
        }
    )


COMMAND = Command(
    name="logs",
    summary="Print or follow the log of a Triton of this host.",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
