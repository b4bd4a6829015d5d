"""Horizontal bars under a title: where the time goes, which batch sizes ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    label: str
    value: float
    """Its length; NaN or less than 0 draws none."""
    text: str
    """The value as text."""
    tone: str = ""
    note: str = ""
    """At the right edge, such as the ms per inference of a batch size."""


class Bars(Widget):
    """A title line and one line for each bar."""

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)

    def show(self, title: str, bars: Sequence[Bar], *, right: str = "", maximum: float | None = None) -> None:
        """Show these bars.

        Args:
            title: what they are.
            bars: from top to bottom.
            right: heading of the notes, at the right edge of the title line.
            maximum: value of a full bar; by default the largest one shown.
        """
