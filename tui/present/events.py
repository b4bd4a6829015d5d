"""The ledger in lines: what happened, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from tritop.model import Event, EventKind, Snapshot
from tui.format import clock, fit
from tui.present.change import diff_lines
from tui.present.lines import Piece, rule, wrapped
from tui.present.look import Look
from tui.present.verdicts import first_line
from tui.widgets.lines import Line

__all__ = ["event_lines", "event_mark", "ledger_lines"]

SUBJECT_MOST = 22
HEAD = 13 + 18
"""Cells of time and kind; the subject follows, and the text after that."""
BELOW_AT = 11
"""Column where what stands below an event begins: below its kind."""
TEXT_LEAST = 40
"""Where there is less room beside the subject a long text stands below it."""

_TONES = {
    EventKind.SERVER_LOST: "error",
    EventKind.MODEL_FAILED: "error",
    EventKind.GPU_ERROR: "error",
    EventKind.SERVER_CRASHED: "error",
    EventKind.SERVER_RESTARTED: "warn",
    EventKind.MODEL_UNLOADED: "warn",
    EventKind.MODEL_RELOADED: "accent",
    EventKind.OPERATION: "accent",
}


def event_line(event: Event, look: Look, several: bool, subject_width: int, text: str | None = None) -> Line:
    """Time, what, which model, and the first line of its text, or another text."""
    kind = "traffic" if event.kind is EventKind.OPERATION and not event.text else str(event.kind)
    said = event_text(event, look) if text is None else text
    return (
        (f" {clock(event.at)}  ", "dim"),
        (f"{fit(kind, 16)}  ", _TONES.get(event.kind, "")),
        (f"{fit(subject_of(event, look, several), subject_width)}  ", ""),
        (said, "dim"),
    )


def subject_of(event: Event, look: Look, several: bool) -> str:
    """The model and its version, with its server where there are several or where it is about the server."""
    subject = f"{look.clean(event.model, 40)} {look.clean(event.version, 12)}".strip()
    if several or not subject:
        subject = f"{look.clean(event.server, 30)} {subject}".strip()
    return subject


def _subject_width(events: Sequence[Event], look: Look, several: bool) -> int:
    return min(SUBJECT_MOST, max((cell_len(subject_of(event, look, several)) for event in events), default=0))


def event_text(event: Event, look: Look) -> str:
    """The first line of an event's text, what became of it, and who did it."""
    who = f"by {look.clean(event.who, 40)}" if event.who else ""
    said = look.clean(first_line(event.text), 1000)
    outcome = look.clean(first_line(event.outcome), 1000)
    if outcome and outcome not in said:
        said = f"{said}: {outcome}" if said else outcome
    if event.succeeded is False:
        said = f"{look.glyphs.failed} {said}"
    return f"{said} {who}".strip()


def ledger_lines(snapshot: Snapshot, width: int, look: Look) -> list[Line]:
    """Every event, newest first; a long text goes on below its beginning, and what was changed below that."""
    several = len(snapshot.servers) > 1
    subject_width = _subject_width(snapshot.events, look, several)
    lines: list[Line] = []
    for event in reversed(snapshot.events):
        lines += _entry_lines(event, width, look, several, subject_width)
        lines += [((" " * BELOW_AT, ""), *line) for line in diff_lines(event.diff, max(20, width - BELOW_AT), look)]
    return lines


def _entry_lines(event: Event, width: int, look: Look, several: bool, subject_width: int) -> list[Line]:
    said, text_at = event_text(event, look), HEAD + subject_width
    if width - text_at < min(TEXT_LEAST, cell_len(said)):
        below = wrapped(said, max(20, width), "dim", indent=" " * BELOW_AT)
        return [event_line(event, look, several, subject_width, ""), *below]
    texts = [line[0][0] for line in wrapped(said, width - text_at)] or [""]
    first = event_line(event, look, several, subject_width, texts[0])
    return [first, *(((" " * text_at + text, "dim"),) for text in texts[1:])]


def event_lines(snapshot: Snapshot, width: int, height: int, look: Look) -> list[Line]:
    """A rule and the newest events, as many as fit."""
    several = len(snapshot.servers) > 1
    head = rule([Piece("EVENTS", "title")], width, look.glyphs.horizontal)
    newest = snapshot.events[::-1][: max(0, height - 1)]
    subject_width = _subject_width(newest, look, several)
    return [head, *(event_line(event, look, several, subject_width) for event in newest)]


def event_mark(event: Event, look: Look) -> str:
    """The sign of an event over a chart."""
    return look.glyphs.event
