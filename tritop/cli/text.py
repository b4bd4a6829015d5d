"""Plain text for a terminal or a file: numbers with their units, and columns that line up."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

UNKNOWN = "--"


def printable(text: str) -> str:
    """Text from a server, made harmless: control characters, escapes and line breaks become visible marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == "\n":
        return " ↵ "
    if character.isspace():
        return " "
    # What is not printable: controls, escapes, bidi overrides, zero width, surrogates, unassigned.
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def cells(text: str) -> int:
    """How many terminal cells a text takes: two for East Asian wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Rows of cells as lines; each column as wide as its widest cell.

    Args:
        rows: the first is the heading.
        right: for each column, whether it is aligned to the right, as numbers are.
    """
    widths = [max(cells(row[column]) for row in rows) for column in range(len(right))]
    lines = []
    for row in rows:
        padded = []
        for text, width, to_right in zip(row, widths, right, strict=True):
            space = " " * (width - cells(text))
            padded.append(space + text if to_right else text + space)
        lines.append("  ".join(padded).rstrip())
    return lines


def rate(per_s: float | None) -> str:
    """Events per second."""
    if per_s is None:
        return UNKNOWN
    if per_s >= 100_000:
        return f"{per_s / 1000:.0f}k"
    if 0 < per_s < 0.05:
        return "<0.1"
    return f"{per_s:.1f}" if per_s else "0"


def microseconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None:
        return UNKNOWN
    if value < 1000:
        return f"{value:.0f}us"
    return f"{value / 1000:.1f}ms" if value < 1_000_000 else f"{value / 1_000_000:.2f}s"


def ratio(value: float | None) -> str:
    """A share of 1 in percent."""
    return UNKNOWN if value is None else f"{value * 100:.0f}%"


def number(value: float | None, digits: int = 0) -> str:
    """A plain number."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"
