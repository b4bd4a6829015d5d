"""From raw lines to LogLines: prefixes, levels, quoted messages, entries of many lines.

Triton writes two formats (`LogPreamble` in its common repository, `--log-format`), times in UTC:

```
I1122 23:45:01.123456 1234 model_lifecycle.cc:472] "loading: matrix:1"
2026-11-22T23:45:01Z I 1234 model_lifecycle.cc:472] "loading: matrix:1"
```

Since 23.12 a message is a JSON string, so that the many lines of a model's error are one line of the
log; they are taken apart again here. What follows a message that is not quoted, such as a table, is
part of it. Everything else without a prefix was printed by a model or a library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum, auto

from tritop.logs.line import LogLevel, LogLine
from tritop.logs.models import ModelNames
from tritop.logs.source import LogChunk
from tritop.logs.text import clean_line

_PREFIX = re.compile(
    r"(?:(?P<letter>[IWEF])(?P<day>\d{4}) (?P<hour>\d\d)"
    r"|(?P<iso_day>\d{4}-\d\d-\d\d)T(?P<iso_hour>\d\d))"
    r":(?P<minute>\d\d):(?P<second>\d\d(?:\.\d{1,9})?)(?(letter)|Z (?P<iso_letter>[IWEF])) +"
    r"(?P<pid>\d{1,10}) (?P<place>[^\s\]]{1,200}:\d{1,9})\] ?",
    re.ASCII,
)
_LEVELS = {"I": LogLevel.INFO, "W": LogLevel.WARNING, "E": LogLevel.ERROR, "F": LogLevel.ERROR}
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_GRAVE = re.compile(
    r"(?:^|[\s\[(|:-])(?:(?P<error>ERROR|CRITICAL|FATAL)|(?P<warning>WARNING|WARN)|INFO|DEBUG)\b"
    r"|^(?P<crash>[Ee]rror: |Fatal Python error|Segmentation fault|Aborted|terminate called|Killed\b"
    r"|Signal \((?:4|6|7|8|11)\) received|Exit timeout expired|Bad option:|\S+: unrecognized option)"
)
"""How other loggers name their levels, in capitals near the start of a line, and what precedes an end."""
_GRAVE_WITHIN = 80
_YEAR_TURN_S = 7 * 86_400.0


class _Open(Enum):
    """What the next line without a prefix belongs to."""

    NOTHING = auto()
    MESSAGE = auto()
    """A message that is not quoted goes on until the next prefix."""
    TRACEBACK = auto()
    """Indented lines go on, and the first one that is not is the exception itself."""
    EXCEPTION = auto()
    """After the exception another traceback may follow that belongs to it."""


class LogReader:
    """Reads the log of one server, chunk after chunk."""

    def __init__(self) -> None:
        self._entry = 0
        self._run = 0
        self._open = _Open.NOTHING
        self._level = LogLevel.PLAIN
        self._at: float | None = None
        self._names = ModelNames()
        self._hours: dict[str, float | None] = {}

    def read(self, chunk: LogChunk, now: float) -> list[LogLine]:
        """The lines of the next chunk.

        Args:
            chunk: what the source read.
            now: wall time [s since the epoch]; the default format leaves the year to be guessed.
        """
        lines: list[LogLine] = []
        if chunk.run != self._run:
            if self._run:
                lines.append(self._note(f"the server was started again: run {chunk.run}", chunk.run))
            self._run = chunk.run
        if chunk.note:
            lines.append(self._note(chunk.note, chunk.run))
        times = chunk.times or ()
        for number, raw in enumerate(chunk.lines):
            lines += self._line(raw.decode(errors="replace"), times[number] if times else None, now)
        return lines

    def _note(self, text: str, run: int) -> LogLine:
        self._entry += 1
        self._open = _Open.NOTHING
        return LogLine(self._entry, run, LogLevel.PLAIN, clean_line(text), note=True)

    def _line(self, text: str, at: float | None, now: float) -> Iterator[LogLine]:
        found = _PREFIX.match(text)
        if found is None:
            yield self._without_prefix(clean_line(text), at)
            return
        self._entry += 1
        self._level = _LEVELS[found["letter"] or found["iso_letter"]]
        self._at = self._time(found, now) if at is None else at
        message = text[found.end() :]
        quoted = len(message) >= 2 and message[0] == '"' and message.rstrip()[-1] == '"'
        self._open = _Open.NOTHING if quoted else _Open.MESSAGE
        place, pid = found["place"], int(found["pid"])
        first, *rest = _unquoted(message.rstrip()) if quoted else [message]
        first = clean_line(first)
        yield LogLine(self._entry, self._run, self._level, first, self._at, place, pid, self._names.named_in(first))
        for more in rest:
            yield self._more(clean_line(more))

    def _without_prefix(self, text: str, at: float | None) -> LogLine:
        if self._goes_on(text):
            return self._more(text)
        self._entry += 1
        traceback = text.startswith(_TRACEBACK)
        self._open = _Open.TRACEBACK if traceback else _Open.NOTHING
        self._level = LogLevel.ERROR if traceback else _level_in(text)
        self._at = at
        return LogLine(self._entry, self._run, self._level, text, at, model=self._names.named_in(text))

    def _goes_on(self, text: str) -> bool:
        """Whether a line without a prefix belongs to the entry above it."""
        if self._open is _Open.MESSAGE:
            return True
        if self._open is _Open.TRACEBACK:
            if text and not text[0].isspace():
                self._open = _Open.EXCEPTION
            return True
        if self._open is _Open.EXCEPTION:
            if text.startswith(_TRACEBACK):
                self._open = _Open.TRACEBACK
                return True
            return not text or text.startswith(_CHAINED)
        return False

    def _more(self, text: str) -> LogLine:
        model = self._names.named_in(text)
        return LogLine(self._entry, self._run, self._level, text, self._at, model=model, head=False)

    def _time(self, found: re.Match[str], now: float) -> float | None:
        key = found["iso_day"] or found["day"]
        hour = found["hour"] or found["iso_hour"]
        begin = self._hours.get(key + hour)
        if begin is None:
            begin = self._hours[key + hour] = _hour(key, int(hour), now)
            if len(self._hours) > 1000:
                self._hours.clear()
        return None if begin is None else begin + 60 * int(found["minute"]) + float(found["second"])


def _hour(day: str, hour: int, now: float) -> float | None:
    """When an hour began [s since the epoch]; without a year it is the last such day up to now."""
    if "-" in day:
        try:
            return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC).timestamp()
        except ValueError:
            return None
    this_year = datetime.fromtimestamp(now, UTC).year
    for year in range(this_year + 1, this_year - 4, -1):
        try:
            begin = datetime(year, int(day[:2]), int(day[2:]), hour, tzinfo=UTC).timestamp()
        except ValueError:  # no such day, such as 29 February
            continue
        if begin <= now + _YEAR_TURN_S:
            return begin
    return None


def _unquoted(message: str) -> list[str]:
    """The lines of a quoted message; one that is no JSON string is taken as it is."""
    if "\\" not in message:
        return [message[1:-1]]
    try:
        text = json.loads(message, strict=False)
    except ValueError:
        return [message[1:-1]]
    lines = text.rstrip("\n").split("\n")
    return lines or [""]


def _level_in(text: str) -> LogLevel:
    """The level that another logger, or the end of a process, gives a line."""
    found = _GRAVE.search(text, 0, _GRAVE_WITHIN)
    if found is None:
        return LogLevel.PLAIN
    if found["error"] or found["crash"]:
        return LogLevel.ERROR
    return LogLevel.WARNING if found["warning"] else LogLevel.INFO
