"""Choosing entries of a log by text, model, level and run, as they come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tritop.logs.line import LogLevel, LogLine


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What an entry must hold; the conditions are joined by and."""

    needle: str = ""
    """A text, ignoring case; with `!` in front, entries without it."""
    model: str = ""
    level: LogLevel = LogLevel.PLAIN
    """At least so grave."""
    run: int | None = None

    @property
    def inverse(self) -> bool:
        """Whether the text must be missing."""
        return len(self.needle) > 1 and self.needle.startswith("!")

    @property
    def text(self) -> str:
        """The text to look for, folded."""
        return (self.needle[1:] if self.inverse else self.needle).casefold()


class Sieve:
    """Lets through the entries that a filter keeps, each with all of its lines.

    An entry is complete only when the next one begins, so the lines of the newest one that does
    not match yet are held back until one of them does. An inverse filter judges an entry by the
    lines that have come; what was let through before the text came stays.
    """

    def __init__(self, wanted: LogFilter) -> None:
        self._wanted = wanted
        self._everything = wanted == LogFilter()
        self._text, self._inverse = wanted.text, wanted.inverse
        self._entry = self._refused = 0
        self._text_found = False
        self._model_found = False
        self._held: list[LogLine] = []

    def pass_on(self, lines: Iterable[LogLine]) -> list[LogLine]:
        """The lines to show of those that come next."""
        if self._everything:
            return list(lines)
        kept: list[LogLine] = []
        for line in self._without_text(lines) if self._inverse else lines:
            kept += self._one(line)
        return kept

    def _without_text(self, lines: Iterable[LogLine]) -> list[LogLine]:
        """The lines of entries that do not hold the text, and the notes."""
        lines = list(lines)
        entries = {line.entry for line in lines if not line.note and self._text in line.text.casefold()}
        entries.add(self._refused)
        self._refused = max(entries)
        return [line for line in lines if line.note or line.entry not in entries]

    def _one(self, line: LogLine) -> list[LogLine]:
        wanted = self._wanted
        if wanted.run is not None and line.run != wanted.run:
            return []
        if line.note:
            return [line]
        if line.entry != self._entry:
            self._entry, self._held = line.entry, []
            self._text_found = not self._text or self._inverse
            self._model_found = not wanted.model
        if line.level < wanted.level:
            return []
        if not self._text_found and self._text in line.text.casefold():
            self._text_found = True
        if line.model and line.model == wanted.model:
            self._model_found = True
        if not (self._text_found and self._model_found):
            self._held.append(line)
            return []
        passed, self._held = [*self._held, line], []
        return passed
