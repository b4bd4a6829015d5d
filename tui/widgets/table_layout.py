"""Where the columns of a LineTable stand and what its lines say. Pure: no widget, no colour."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len

from tui.format import fit
from tui.glyphs import Glyphs
from tui.widgets.text_lines import Line

LEAD = 2
"""Cells before the first column: the cursor's and the mark's."""
GAP = 1
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a LineTable."""

    key: str
    title: str
    width: int
    """Cells; the least that a flexible column gets."""
    right: bool = True
    """Aligned to the right, as numbers are."""
    priority: int = 0
    """Where the width does not suffice, the column with the highest priority is left out first."""
    flex: bool = False
    """Takes the width that is left; at most one column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a LineTable."""

    key: Hashable
    cells: tuple[str, ...]
    """One for each column, formatted and clean (`tui.format.clean`)."""
    tone: str = ""
    """Look of the whole line (`tui.widgets.tones`); one look for each line keeps the bytes low."""
    accents: tuple[tuple[str, str], ...] = ()
    """(column key, tone) of cells that must stand out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column stands: `index` into the cells of a row, cell `x`, `width` cells wide."""

    column: Column
    index: int
    x: int
    width: int


@lru_cache(maxsize=64)
def place(columns: tuple[Column, ...], width: int) -> tuple[Place, ...]:
    """Choose the columns that fit into `width` cells and give each its place.

    Columns go by priority, the rightmost first among equals; the first column stays in any case,
    cut to what there is.
    """
    kept = list(enumerate(columns))
    while len(kept) > 1 and _taken(kept) > width:
        drop = max(kept, key=lambda each: (each[1].priority, each[0]))
        if drop is kept[0] and drop[1].priority == 0:
            drop = kept[-1]
        kept.remove(drop)
    left = max(0, width - _taken(kept))
    places: list[Place] = []
    x = LEAD
    for index, column in kept:
        cells = column.width + (left if column.flex else 0)
        cells = max(0, min(cells, width - x))
        places.append(Place(column, index, x, cells))
        x += cells + GAP
    return tuple(places)


def _taken(kept: Sequence[tuple[int, Column]]) -> int:
    return LEAD + sum(column.width for _, column in kept) + GAP * (len(kept) - 1)


def header_line(places: Sequence[Place], sort: tuple[str, bool] | None, glyphs: Glyphs, *, ascii: bool) -> str:
    """The titles; the column that rows are sorted by has an arrow, in the gap beside it where it has no room."""
    text = ""
    for number, spot in enumerate(places):
        gap, title, width = " " * (GAP if number else LEAD), spot.column.title, spot.width
        if sort is not None and spot.column.key == sort[0]:
            arrow = glyphs.descending if sort[1] else glyphs.ascending
            if not spot.column.right:
                title = fit(title, min(cell_len(title), width - 1), ascii=ascii) + arrow
            elif cell_len(title) < width:
                title = arrow + title
            else:
                gap = fit(arrow, len(gap), right=True)
        text += gap + fit(title, width, right=spot.column.right, ascii=ascii)
    return text


def row_line(places: Sequence[Place], row: Row, lead: str, *, ascii: bool) -> Line:
    """A row behind its `lead`, which is LEAD cells wide; only accents make it more than one piece."""
    accents = dict(row.accents)
    pieces: list[tuple[str, str]] = []
    text = lead
    for number, spot in enumerate(places):
        cell = row.cells[spot.index] if spot.index < len(row.cells) else ""
        fitted = fit(cell, spot.width, right=spot.column.right, ascii=ascii)
        gap = "" if number == 0 else " " * GAP
        tone = accents.get(spot.column.key, row.tone)
        if tone == row.tone:
            text += gap + fitted
        else:
            pieces += [(text + gap, row.tone), (fitted, tone)]
            text = ""
    if text:
        pieces.append((text, row.tone))
    return tuple(pieces)


def column_at(places: Sequence[Place], x: int) -> str | None:
    """Key of the column whose title stands at cell `x`, the gap before it included."""
    return next((spot.column.key for spot in places if spot.x - GAP <= x < spot.x + spot.width), None)
