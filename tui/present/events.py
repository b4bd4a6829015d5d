"""The ledger in lines: what happened, newest first."""

from __future__ import annotations

from tritop.model import Event, EventKind, Snapshot
from tui.format import clock, fit
from tui.present.lines import Piece, rule
from tui.present.look import Look
from tui.present.verdicts import first_line
from tui.widgets.lines import Line

__all__ = ["event_line", "event_lines", "event_mark"]

_TONES = {
    EventKind.SERVER_LOST: "error",
    EventKind.MODEL_FAILED: "error",
    EventKind.SERVER_RESTARTED: "warn",
    EventKind.MODEL_UNLOADED: "warn",
    EventKind.MODEL_RELOADED: "accent",
    EventKind.OPERATION: "accent",
}


def event_line(event: Event, look: Look, several: bool) -> Line:
    """Time, what, which model, and the first line of its text."""
    subject = f"{look.clean(event.model, 40)} {look.clean(event.version, 12)}".strip()
    if several or not subject:
        subject = f"{look.clean(event.server, 30)} {subject}".strip()
    kind = "traffic" if event.kind is EventKind.OPERATION and not event.text else str(event.kind)
    said = look.clean(first_line(event.text), 300)
    who = f" by {look.clean(event.who, 40)}" if event.who else ""
    return (
        (f" {clock(event.at)}  ", "dim"),
        (f"{fit(kind, 16)}  ", _TONES.get(event.kind, "")),
        (f"{fit(subject, 28)}  ", ""),
        (f"{said}{who}", "dim"),
    )


def event_lines(snapshot: Snapshot, width: int, height: int, look: Look) -> list[Line]:
    """A rule and the newest events, as many as fit."""
    several = len(snapshot.servers) > 1
    head = rule([Piece("EVENTS", "title")], width, look.glyphs.horizontal)
    newest = snapshot.events[::-1][: max(0, height - 1)]
    return [head, *(event_line(event, look, several) for event in newest)]


def event_mark(event: Event, look: Look) -> str:
    """The sign of an event over a chart."""
    return look.glyphs.event
