"""How the lines of the overview are shared out between its parts; pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OverviewHeights", "chart_count", "divide_overview", "panel_widths"]

PANE_LEAST = 8
"""A rule and two charts of three lines, or a spectrum of five batch sizes with its title."""
PANE_MOST = 32
TROUBLE_LEAST = 4
TABLE_LEAST = 4
"""Head and three models."""
EVENTS_LEAST = 4
EVENTS_MOST = 12


@dataclass(frozen=True, slots=True)
class OverviewHeights:
    """Lines of each part of the overview; 0 is not shown."""

    header: int
    table: int
    pane: int
    events: int
    footer: int


def divide_overview(height: int, *, header: int, rows: int, trouble: int = 0, events: int = 0) -> OverviewHeights:
    """Share out the lines of a terminal.

    The table comes first, until it has room for every row; the pane takes most of what is left,
    and the last events the rest.

    Args:
        height: lines of the terminal.
        header: lines that the header wants.
        rows: rows of the table without its head.
        trouble: lines that the panel of a server in trouble wants; 0 where there is none. It
            replaces the model's pane, is wanted more than rows of the table, and has the whole
            screen where there are none.
        events: events that could be shown.
    """
    header = min(header, max(1, height // 4))
    footer = 1 if height >= 8 else 0
    left = max(1, height - header - footer)
    wanted_rows = rows + 1
    if trouble:
        least = min(wanted_rows, TABLE_LEAST) if rows else 0
        table = max(least, min(wanted_rows if rows else 0, left - max(TROUBLE_LEAST, trouble)))
        pane = left - table
        return (
            OverviewHeights(header, table, pane, 0, footer)
            if pane >= 2
            else OverviewHeights(header, left, 0, 0, footer)
        )
    spare = left - max(TABLE_LEAST, wanted_rows)
    if spare < PANE_LEAST:
        pane = min(PANE_LEAST + 2, left // 2) if left // 2 >= PANE_LEAST else 0
        return OverviewHeights(header, left - pane, pane, 0, footer)
    rest = spare - PANE_LEAST - EVENTS_LEAST
    shown_events = min(events + 1, EVENTS_MOST, EVENTS_LEAST + rest // 4) if rest >= 0 and events else 0
    pane = min(PANE_MOST, spare - shown_events)
    return OverviewHeights(header, left - pane - shown_events, pane, shown_events, footer)


NOTES_LEAST = 4
"""Lines below which the notes of the pane are left out."""


def chart_count(height: int) -> int:
    """How many charts fit above each other in the pane: each has a title and at least three lines."""
    return 4 if height >= 26 else 3 if height >= 18 else 2 if height >= 7 else 1


def panel_widths(width: int) -> tuple[int, ...]:
    """Widths of the panels beside each other in the model's pane, at most three.

    Charts, stages and batch sizes; without the charts where there is no room for them.
    """
    if width >= 116:
        charts = width * 2 // 5
        stages = (width - charts) * 9 // 20
        return (charts, stages, width - charts - stages)
    if width >= 64:
        return (0, width // 2, width - width // 2)
    return (0, width, 0)
