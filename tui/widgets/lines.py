"""Lines of toned text that are compared before they are painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.painting import PaintedLines, strip_of
from tui.widgets.text_lines import BLANK, Line, changed_span, text_of
from tui.widgets.tones import TONE_CLASSES, TONE_CSS

__all__ = ["Line", "Lines", "LinesView"]


class Lines(PaintedLines):
    """As many lines as it is given; with `height: auto` it is as high as they are many."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    DEFAULT_CSS = f"Lines {{ width: 1fr; height: auto; {TONE_CSS} }}"
    ALLOW_SELECT = False

    def __init__(self, *, ascii: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id, classes=classes)
        self._given: tuple[Line, ...] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; what is wider than the widget ends in an ellipsis."""
        many = len(self._given)
        self._given = tuple(lines)
        if len(self._given) != many and self.styles.is_auto_height:
            self.refresh(layout=True)
        self.update_lines()

    def lines_for(self, width: int, height: int) -> Sequence[Line]:
        """The given lines."""
        return self._given

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Width of the widest line, for `width: auto`."""
        return max((cell_len(text_of(line)) for line in self._given), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line for each line."""
        return len(self._given)


class LinesView(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines to scroll through: help, a configuration, a log."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "go_lines(-1)", "up", show=False),
        Binding("down,j", "go_lines(1)", "down", show=False),
        Binding("left", "go_columns(-8)", "left", show=False),
        Binding("right", "go_columns(8)", "right", show=False),
        Binding("pageup", "go_pages(-1)", "page up", show=False),
        Binding("pagedown", "go_pages(1)", "page down", show=False),
        Binding("home,g", "go_to_end(False)", "top", show=False),
        Binding("end,G", "go_to_end(True)", "bottom", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES, "lines-view--match"}
    DEFAULT_CSS = f"""
    LinesView {{
        height: 1fr;
        scrollbar-size: 1 1;
        {TONE_CSS}
        & > .lines-view--match {{ background: $warning 30%; }}
        &:ansi > .lines-view--match {{ text-style: reverse; }}
    }}
    """
    ALLOW_SELECT = False

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
        self.ascii = ascii
        self.follow = follow
        self._empty = empty
        self._given = self._empty_lines()
        self._needle = ""
        self._matches: tuple[int, ...] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; with `follow` the end stays in view while it is in view."""
        at_end = self.scroll_offset.y >= self.max_scroll_y
        old, self._given = self._given, tuple(lines) or self._empty_lines()
        self._matches = self._find(self._needle)
        widest = max((cell_len(text_of(line)) for line in self._given), default=0)
        size = Size(widest, len(self._given))
        if size != self.virtual_size:
            self.virtual_size = size
        if self.follow and at_end:
            self._go_to(self.max_scroll_y)
        self._refresh_changed(old)

    def search(self, needle: str) -> int:
        """Highlight the lines that hold a text, ignoring case, and scroll to the first from here on.

        Args:
            needle: "" ends the search.

        Returns:
            How many lines hold it.
        """
        self._needle = needle
        self._matches = self._find(needle)
        self.refresh()
        if self._matches and self.scroll_offset.y not in self._matches:
            self.next_match()
        return len(self._matches)

    def next_match(self, step: int = 1) -> None:
        """Scroll to the next line that holds the searched text, or with -1 to the one before; goes round."""
        if not self._matches:
            return
        top = self.scroll_offset.y
        if step > 0:
            target = next((y for y in self._matches if y > top), self._matches[0])
        else:
            target = next((y for y in reversed(self._matches) if y < top), self._matches[-1])
        self._go_to(target)

    def action_go_lines(self, lines: int) -> None:
        """Scroll by some lines."""
        self._go_to(self.scroll_offset.y + lines)

    def action_go_columns(self, columns: int) -> None:
        """Scroll sideways."""
        self._go_to(self.scroll_offset.y, self.scroll_offset.x + columns)

    def action_go_pages(self, pages: int) -> None:
        """Scroll by some screenfuls."""
        self._go_to(self.scroll_offset.y + pages * self._view.height)

    def action_go_to_end(self, bottom: bool) -> None:
        """Scroll to the first line or to the last."""
        self._go_to(self.max_scroll_y if bottom else 0)

    def _go_to(self, top: float, left: float | None = None) -> None:
        """Scroll there at once: an animation would send every line several times."""
        self.scroll_to(x=left, y=top, animate=False, force=True, immediate=True)

    def render_line(self, y: int) -> Strip:
        """Draw one line; see `textual.widget.Widget.render_line`."""
        left, top = self.scroll_offset
        width = self._view.width
        row = y + top
        line = self._given[row] if 0 <= row < len(self._given) else BLANK
        found = ("lines-view--match",) if row in self._matches else ()
        drawn = strip_of(self, line, max(left + width, cell_len(text_of(line))), *found)
        return drawn.crop(left, left + width)

    @property
    def _view(self) -> Size:
        """Cells for the lines: `size` counts the scrollbars as well."""
        return self.scrollable_content_region.size

    def _empty_lines(self) -> tuple[Line, ...]:
        return tuple(((text, "dim"),) for text in self._empty.splitlines())

    def _find(self, needle: str) -> tuple[int, ...]:
        if not needle:
            return ()
        folded = needle.casefold()
        return tuple(y for y, line in enumerate(self._given) if folded in text_of(line).casefold())

    def _refresh_changed(self, old: tuple[Line, ...]) -> None:
        left, top = self.scroll_offset
        width, height = self._view
        for y in range(top, top + height):
            before = old[y] if y < len(old) else BLANK
            after = self._given[y] if y < len(self._given) else BLANK
            span = changed_span(before, after, left + width)
            if span is not None:
                start = max(0, span[0] - left)
                self.refresh(Region(start, y - top, max(0, span[1] - left - start), 1))
