"""Lines of toned text that are compared before they are painted."""

from __future__ import annotations

from collections.abc import Sequence

from textual.scroll_view import ScrollView
from textual.widget import Widget

Line = tuple[tuple[str, str], ...]
"""(text, tone) from left to right; the text is clean, and is never read as markup."""


class Lines(Widget):
    """As many lines as it is given; with `height: auto` it is as high as they are many."""

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; what is wider than the widget ends in an ellipsis."""


class LinesView(ScrollView, can_focus=True):
    """Lines to scroll through: help, a configuration, a log."""

    def __init__(
        self,
        *,
        ascii: bool = False,
        follow: bool = False,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; with `follow` the end stays in view while it is in view."""

    def search(self, needle: str) -> int:
        """Highlight a text, ignoring case, and scroll to its first line; returns how many lines hold it."""
        return 0

    def next_match(self, step: int = 1) -> None:
        """Scroll to the next line that holds the searched text, or with -1 to the one before."""
