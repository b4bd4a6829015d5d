"""The running configuration against the file in the repository."""

from __future__ import annotations

from tritop.change import Drift, DriftState
from tritop.model import Snapshot
from tui.present.change import diff_lines
from tui.present.lines import Piece, Section, wrapped
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["drift_of", "drift_pieces", "drift_section"]


def drift_of(snapshot: Snapshot, server: str, model: str) -> Drift | None:
    """What is known about one model, `None` where its repository cannot be read from here."""
    return next((one for one in snapshot.drifts if (one.server, one.model) == (server, model)), None)


def drift_pieces(drift: Drift | None, rank: int = 3) -> list[Piece]:
    """The badge in the heading of a model that runs something else than its file says."""
    if drift is None or drift.state is not DriftState.DRIFTED:
        return []
    return [Piece("differs from config.pbtxt", "warn", rank)]


def drift_section(drift: Drift | None, width: int, look: Look) -> Section | None:
    """What differs, and what becomes of it; nothing where running and file are the same."""
    if drift is None or drift.state in (DriftState.SAME, DriftState.NOT_HERE):
        return None
    lines: list[Line] = []
    if drift.text:
        lines += wrapped(look.clean(drift.text, 400), width, "warn" if drift.state is DriftState.DRIFTED else "dim")
    if drift.path:
        lines += wrapped(look.clean(drift.path, 300), width, "dim")
    lines += diff_lines(drift.diff, width, look)
    note = "file against running; w writes it" if drift.state is DriftState.DRIFTED else ""
    return Section("CONFIG.PBTXT", tuple(lines), note)
