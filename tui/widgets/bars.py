"""Horizontal bars under a title: where the time goes, which batch sizes ran."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len

from tui.draw import bar as draw_bar
from tui.draw import known
from tui.format import fit
from tui.widgets.painting import PaintedLines
from tui.widgets.text_lines import Line
from tui.widgets.tones import TONE_CLASSES, TONE_CSS


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


class Bars(PaintedLines):
    """A title line and one line for each bar: label, number, bar, note, each in its column."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    DEFAULT_CSS = f"Bars {{ width: 1fr; height: 1fr; {TONE_CSS} }}"
    ALLOW_SELECT = False

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id, classes=classes)
        self._title = ""
        self._right = ""
        self._bars: tuple[Bar, ...] = ()
        self._maximum: float | None = None

    def show(self, title: str, bars: Sequence[Bar], *, right: str = "", maximum: float | None = None) -> None:
        """Show these bars.

        Args:
            title: what they are.
            bars: from top to bottom; where the height does not suffice, the last are left out.
            right: heading of the notes, at the right edge of the title line.
            maximum: value of a full bar; by default the largest one shown.
        """
        self._title, self._right, self._bars, self._maximum = title, right, tuple(bars), maximum
        self.update_lines()

    def lines_for(self, width: int, height: int) -> Sequence[Line]:
        """The title line and as many bars as fit."""
        shown = self._bars[: max(0, height - 1)]
        return [titled(self._title, self._right, width, ascii=self.ascii), *self._bar_lines(shown, width)]

    def _bar_lines(self, bars: Sequence[Bar], width: int) -> list[Line]:
        label_width = max((cell_len(bar.label) for bar in bars), default=0)
        text_width = max((cell_len(bar.text) for bar in bars), default=0)
        note_width = max((cell_len(bar.note) for bar in bars), default=0)
        if note_width:
            note_width += 1
        bar_width = max(0, width - label_width - text_width - note_width - 3)
        top = self._maximum or max(known([bar.value for bar in self._bars]), default=0.0)
        lines: list[Line] = []
        for bar in bars:
            ratio = bar.value / top if top > 0 and math.isfinite(bar.value) else 0.0
            head = f" {fit(bar.label, label_width)} {fit(bar.text, text_width, right=True)} "
            drawn = draw_bar(ratio, bar_width, ascii=self.ascii)
            note = fit(bar.note, note_width, right=True)
            lines.append(((head, bar.tone), (drawn, bar.tone or "graph"), (note, bar.tone)))
        return lines


def titled(title: str, right: str, width: int, *, ascii: bool = False) -> Line:
    """A heading at the left edge and a dim remark at the right edge, which goes first where it is narrow."""
    room = width - cell_len(title) - 1
    if not right or cell_len(right) > room:
        return ((fit(title, width, ascii=ascii), "title"),)
    return ((title + " ", "title"), (fit(right, room, right=True), "dim"))
