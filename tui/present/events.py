"""The ledger in lines: what happened, newest first."""

from __future__ import annotations

from tritop.model import Event, EventKind, Snapshot
from tui.format import clock, fit
from tui.present.change import diff_lines
from tui.present.lines import Piece, rule, wrapped
from tui.present.look import Look
from tui.present.verdicts import first_line
from tui.widgets.lines import Line

__all__ = ["event_line", "event_lines", "event_mark", "ledger_lines"]

SUBJECT_WIDTH = 22
DIFF_AT = 11
"""Column where the fields that a change changed begin: below its kind."""
TEXT_AT = 13 + 18 + SUBJECT_WIDTH
"""Column where the text of an event begins: time, kind and subject stand before it."""

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


def event_line(event: Event, look: Look, several: bool, text: str | None = None) -> Line:
    """Time, what, which model, and the first line of its text, or another text."""
    subject = f"{look.clean(event.model, 40)} {look.clean(event.version, 12)}".strip()
    if several or not subject:
        subject = f"{look.clean(event.server, 30)} {subject}".strip()
    kind = "traffic" if event.kind is EventKind.OPERATION and not event.text else str(event.kind)
    said = event_text(event, look) if text is None else text
    return (
        (f" {clock(event.at)}  ", "dim"),
        (f"{fit(kind, 16)}  ", _TONES.get(event.kind, "")),
        (f"{fit(subject, SUBJECT_WIDTH)}  ", ""),
        (said, "dim"),
    )


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
    lines: list[Line] = []
    for event in reversed(snapshot.events):
        texts = [line[0][0] for line in wrapped(event_text(event, look), width - TEXT_AT)] or [""]
        lines.append(event_line(event, look, several, texts[0]))
        lines += [((" " * TEXT_AT + text, "dim"),) for text in texts[1:]]
        lines += [((" " * DIFF_AT, ""), *line) for line in diff_lines(event.diff, max(20, width - DIFF_AT), look)]
    return lines


def event_lines(snapshot: Snapshot, width: int, height: int, look: Look) -> list[Line]:
    """A rule and the newest events, as many as fit."""
    several = len(snapshot.servers) > 1
    head = rule([Piece("EVENTS", "title")], width, look.glyphs.horizontal)
    newest = snapshot.events[::-1][: max(0, height - 1)]
    return [head, *(event_line(event, look, several) for event in newest)]


def event_mark(event: Event, look: Look) -> str:
    """The sign of an event over a chart."""
    return look.glyphs.event
