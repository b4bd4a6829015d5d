"""Lines made of spans: shortened by rank, wrapped, put side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from tui.format import fit
from tui.widgets.lines import Line

__all__ = ["Piece", "Section", "beside", "bullet", "in_columns", "one_line", "rule", "wrapped"]

GAP = 3
"""Cells between two pieces of a line, and between two columns of sections."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line that is left out where the width does not suffice."""

    text: str
    tone: str = ""
    rank: int = 0
    """The highest goes first; 0 stays."""
    joined: bool = False
    """One cell from the piece before it instead of the gap."""


def line_width(line: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(text) for text, _ in line)


def one_line(left: Sequence[Piece], right: Sequence[Piece], width: int, gap: int = 2) -> Line:
    """Pieces from the left and from the right edge; those with the highest rank go where it is too narrow."""
    left = [piece for piece in left if piece.text]
    right = [piece for piece in right if piece.text]
    while left or right:
        used = sum(cell_len(piece.text) + gap for piece in (*left, *right))
        if used <= width + gap:
            break
        droppable = [piece for piece in (*left, *right) if piece.rank]
        if not droppable:
            break
        worst = max(droppable, key=lambda piece: piece.rank)
        side = left if worst in left else right
        side.remove(worst)
    spans = _spaced(left, gap)
    tail = _spaced(right, gap)
    if tail:
        room = width - line_width(spans) - line_width(tail)
        spans = (*spans, (" " * max(gap, room), ""), *tail)
    return spans


def _spaced(pieces: Sequence[Piece], gap: int) -> Line:
    spans: list[tuple[str, str]] = []
    for piece in pieces:
        if spans:
            spans.append((" " if piece.joined else " " * gap, ""))
        spans.append((piece.text, piece.tone))
    return tuple(spans)


def rule(title: Sequence[Piece], width: int, horizontal: str, separator: str = "") -> Line:
    """A horizontal line with a title near its left end: `── matrix 2 ── max batch 32 ─────`."""
    lead = horizontal * 2 + " "
    kept = list(title)
    while len(kept) > 1 and sum(cell_len(piece.text) + 3 for piece in kept) + len(lead) > width:
        kept.remove(max(kept, key=lambda piece: piece.rank))
    spans: list[tuple[str, str]] = [(lead, "dim")]
    for number, piece in enumerate(kept):
        if number:
            spans.append((f" {separator or horizontal} ", "dim"))
        spans.append((piece.text, piece.tone))
    rest = width - line_width(tuple(spans)) - 1
    spans.append((" " + horizontal * max(0, rest), "dim"))
    return tuple(spans)


def wrapped(text: str, width: int, tone: str = "", indent: str = "") -> list[Line]:
    """Clean text broken into lines at spaces; a long word is broken too."""
    room = max(8, width)
    lines = textwrap.wrap(text, room, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return [((line, tone),) for line in lines]


def bullet(label: str, label_width: int, value: str, width: int, tone: str = "") -> list[Line]:
    """A label in its column and a value that is wrapped beside it."""
    if cell_len(label) > label_width:
        return [((label, "dim"),), *bullet("", label_width, value, width, tone)]
    head = (fit(label, label_width) + " ", "dim")
    body = wrapped(value or "-", width - label_width - 1, tone) or [(("-", "dim"),)]
    blank = (" " * (label_width + 1), "")
    return [((head if number == 0 else blank), *line) for number, line in enumerate(body)]


@dataclass(frozen=True, slots=True)
class Section:
    """A titled block of lines on a page."""

    title: str
    lines: tuple[Line, ...]
    note: str = ""
    """Beside the title: a window, an origin, a unit."""


def _section_lines(section: Section) -> list[Line]:
    head: Line = ((section.title, "title"),)
    if section.note:
        head = (*head, (f"  {section.note}", "dim"))
    return [head, *section.lines, ()]


def beside(blocks: Sequence[Sequence[Line]], widths: Sequence[int], *, ascii: bool = False) -> list[Line]:
    """Blocks of lines side by side, each in its width."""
    height = max((len(block) for block in blocks), default=0)
    merged: list[Line] = []
    for number in range(height):
        spans: list[tuple[str, str]] = []
        for block, width in zip(blocks, widths, strict=True):
            line = block[number] if number < len(block) else ()
            spans += _exactly(line, width, ascii)
        merged.append(tuple(spans))
    return merged


def _exactly(line: Line, width: int, ascii: bool) -> list[tuple[str, str]]:
    """The spans of a line, cut and padded to a width."""
    spans: list[tuple[str, str]] = []
    left = width
    for text, tone in line:
        taken = cell_len(text)
        if taken > left:
            spans.append((fit(text, left, ascii=ascii), tone))
            return spans
        spans.append((text, tone))
        left -= taken
    return [*spans, (" " * left, "")] if left else spans


def in_columns(
    columns: Iterable[Sequence[Section | None]], widths: Sequence[int], *, ascii: bool = False
) -> list[Line]:
    """Sections below each other in each column, `None` left out; the columns stand side by side."""
    blocks = [
        [line for section in sections if section is not None for line in _section_lines(section)]
        for sections in columns
    ]
    return beside(blocks, widths, ascii=ascii)
