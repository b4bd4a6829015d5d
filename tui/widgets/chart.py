"""A chart of one series over time: a title line and a filled area below it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.widget import Widget


class Chart(Widget):
    """The newest value is at the right edge; NaN is a gap."""

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)

    def show(
        self,
        values: Sequence[float],
        *,
        title: str,
        value: str,
        maximum: float | None = None,
        scale: str = "",
        marks: Sequence[tuple[int, str]] = (),
        newest: int | None = None,
        tone: str = "",
    ) -> None:
        """Show a series.

        Args:
            values: oldest first, evenly spaced; all of them are shown, the largest of each bucket
                where there are more than fit.
            title: what it is, such as `REQ/s`.
            value: the current value as text.
            maximum: value at the top; by default the largest one shown.
            scale: text of `maximum`, shown at the right end of the title line.
            marks: (index into `values`, glyph) of events, drawn over the area.
            newest: number of the newest value, counted from the start of the session (its `seq`);
                keeps the buckets where they are while values arrive and old ones fall out.
            tone: look of the area.
        """
