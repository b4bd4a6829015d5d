"""How a line of a log looks, and what stands above the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from tritop.logs import LogLevel, LogLine
from tui.format import clock, fit
from tui.present.lines import Piece, one_line
from tui.present.log_rows import LogRows
from tui.present.look import Look
from tui.widgets.text_lines import Line

__all__ = ["LEVEL_TONES", "LogColumns", "columns_of", "heading_line", "lead", "marked"]

LEVEL_TONES = {LogLevel.ERROR: "error", LogLevel.WARNING: "warn"}
"""What Triton calls info is plain, and so is what a model prints."""
MATCH = "match"
"""Tone of the searched text."""
PLACE_CELLS = 24


@dataclass(frozen=True, slots=True)
class LogColumns:
    """What stands before the text of a line."""

    time_cells: int
    """0, 8 for seconds, 12 for milliseconds."""
    place: bool

    @property
    def cells(self) -> int:
        """Cells before the text."""
        return 2 + (self.time_cells and self.time_cells + 1) + (PLACE_CELLS + 1 if self.place else 0)


def columns_of(width: int) -> LogColumns:
    """The columns that a width has room for; the text comes first."""
    time_cells = 0 if width < 50 else 8 if width < 100 else 12
    return LogColumns(time_cells, place=width >= 140)


def lead(line: LogLine, columns: LogColumns, look: Look, tz: tzinfo | None = None) -> Line:
    """What stands before the text, on the first row of an entry; on the others as much space."""
    if not line.head:
        return ((" " * columns.cells, ""),)
    spans: list[tuple[str, str]] = []
    if columns.time_cells:
        spans.append((fit(_time(line.at, columns.time_cells, tz), columns.time_cells) + " ", "dim"))
    spans.append((f"{_sign(line.level, look)} ", LEVEL_TONES.get(line.level, "dim")))
    if columns.place:
        spans.append((fit(look.clean(line.place, 80), PLACE_CELLS, ascii=look.ascii) + " ", "dim"))
    return tuple(spans)


def _time(at: float | None, cells: int, tz: tzinfo | None) -> str:
    if at is None:
        return ""
    seconds = clock(at, tz)
    if cells == 8 or "-" in seconds:
        return seconds
    return f"{seconds}.{datetime.fromtimestamp(at, tz).microsecond // 1000:03d}"


def _sign(level: LogLevel, look: Look) -> str:
    return {LogLevel.ERROR: look.glyphs.failed, LogLevel.WARNING: "!", LogLevel.INFO: look.glyphs.separator}.get(
        level, " "
    )


def marked(text: str, tone: str, needle: str) -> Line:
    """The text in its tone, and wherever it holds the searched text, ignoring case, in the tone of a match."""
    folded, wanted = text.casefold(), needle.casefold()
    if not wanted or len(folded) != len(text) or wanted not in folded:
        return ((text, tone),) if text else ()
    spans: list[tuple[str, str]] = []
    begin = 0
    while (found := folded.find(wanted, begin)) >= 0:
        if found > begin:
            spans.append((text[begin:found], tone))
        begin = found + len(wanted)
        spans.append((text[found:begin], MATCH))
    if begin < len(text):
        spans.append((text[begin:], tone))
    return tuple(spans)


def heading_line(
    server: str, rows: LogRows, width: int, look: Look, *, following: bool, paused: bool, below: int, runs_back: int
) -> Line:
    """What is shown: the log of which server, which run, how many lines, which of them, and whether it goes on.

    Args:
        server: name of the server.
        rows: the log.
        width: cells.
        look: signs to draw with.
        following: the end stays in view.
        paused: the whole picture is held.
        below: lines below those in view.
        runs_back: how many runs before the newest one alone is shown; 0 is every run.
    """
    first, newest = rows.runs
    wanted = rows.wanted
    if runs_back:
        shown = newest - runs_back
        run = f"run {shown} of {newest}" if shown >= max(1, first) else "no earlier run is kept"
    else:
        run = f"{newest - first + 1} runs" if newest > first else ""
    many = f"{len(rows)} of {rows.total} lines" if len(rows) != rows.total else f"{rows.total} lines"
    choices = [f"filter {look.clean(wanted.needle, 40)}"] if wanted.needle else []
    choices += [f"model {look.clean(wanted.model, 40)}"] if wanted.model else []
    if paused:
        state = Piece(f"{look.glyphs.paused} paused", "warn")
    elif following:
        state = Piece("following", "ok")
    else:
        state = Piece(f"{below} below, l follows", "warn")
    left = [
        Piece(f"LOG {look.clean(server, 40)}", "title"),
        Piece(run, "accent" if runs_back else "dim", rank=2),
        Piece(many, "dim", rank=3),
        *(Piece(choice, "accent", rank=1) for choice in choices),
    ]
    return one_line(left, [state], width)
