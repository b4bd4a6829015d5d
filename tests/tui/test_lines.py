"""Toned lines: at rest, scrolled, searched and followed."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from tests.tui.hosting import drawn, host, repainted
from tui.widgets.lines import Line, Lines, LinesView
from tui.widgets.tones import TONES


def _numbered(count: int, first: int = 0) -> list[Line]:
    return [((f"line {number}", ""),) for number in range(first, first + count)]


def test_it_is_as_high_as_its_lines() -> None:
    async def steps(lines: Lines, pilot: Pilot[None]) -> None:
        assert lines.size.height == 0
        lines.show([(("tritop ", "title"), ("● READY", "ok")), (("x" * 50, ""),)])
        await pilot.pause()
        assert drawn(lines) == ["tritop ● READY", "x" * 29 + "…"]
        lines.show(_numbered(5))
        await pilot.pause()
        assert drawn(lines) == [f"line {number}" for number in range(5)]

    host(Lines(), steps, 30, 10)


def test_one_changed_piece_repaints_its_cells() -> None:
    async def steps(lines: Lines, pilot: Pilot[None]) -> None:
        lines.show([(("demo ", "title"), ("12:22:03", "dim")), (("same", ""),)])
        await pilot.pause()
        after: list[Line] = [(("demo ", "title"), ("12:22:04", "dim")), (("same", ""),)]
        regions = await repainted(lines, lambda: lines.show(after), pilot)
        assert [(region.x, region.y, region.width) for region in regions] == [(12, 0, 1)]
        assert await repainted(lines, lambda: lines.show(list(after)), pilot) == []

    host(Lines(), steps, 40, 10)


def test_markup_and_control_characters_are_text() -> None:
    async def steps(lines: Lines, pilot: Pilot[None]) -> None:
        lines.show([(("[red]\x1b[2J\n", ""),)])
        await pilot.pause()
        assert drawn(lines) == ["[red]␛↵"]

    host(Lines(), steps, 40, 10)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
def test_every_tone_has_a_look(theme: str) -> None:
    async def steps(lines: Lines, pilot: Pilot[None]) -> None:
        lines.show([((tone, tone),) for tone in ("", *TONES)])
        await pilot.pause()
        styles = [next(iter(lines.render_line(y))).style for y in range(len(TONES) + 1)]
        assert len(set(styles)) >= len(TONES)  # a key may look like an accent

    host(Lines(), steps, theme=theme)


def test_scrolling() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        view.show(_numbered(100))
        view.focus()
        await pilot.pause()
        for key, first in [
            ("j", 1), ("down", 2), ("k", 1), ("pagedown", 11), ("pageup", 1), ("G", 90), ("g", 0), ("end", 90),
            ("home", 0),
        ]:  # fmt: skip
            await pilot.press(key)
            await pilot.pause()
            assert drawn(view)[0] == f"line {first}", key

    host(LinesView(), steps, 40, 10)


def test_long_lines_scroll_sideways() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        view.show([(("0123456789" * 10, ""),)])
        await pilot.pause()
        view.focus()
        await pilot.press("right")
        assert drawn(view)[0].startswith("8901234567")
        view.show([((" " * 12 + "!" + "x" * 87, ""),)])
        assert drawn(view)[0].startswith("    !xxx")
        await pilot.press("left", "left")
        assert drawn(view)[0].startswith("            !xxx")

    host(LinesView(), steps, 40, 10)


def test_a_log_is_followed_while_its_end_is_in_view() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        view.show(_numbered(50))
        await pilot.pause()
        assert drawn(view)[-1] == "line 49"
        view.show(_numbered(60))
        await pilot.pause()
        assert drawn(view)[-1] == "line 59"
        view.action_go_to_end(False)
        await pilot.pause()
        view.show(_numbered(70))
        await pilot.pause()
        assert drawn(view)[0] == "line 0"

    host(LinesView(follow=True), steps, 40, 10)


def test_one_changed_line_repaints_itself_only() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        lines = _numbered(100)
        view.show(lines)
        await pilot.pause()
        view.scroll_to(y=20, animate=False, immediate=True)
        await pilot.pause()
        lines[25] = (("LINE 25", ""),)
        lines[50] = (("unseen", ""),)
        regions = await repainted(view, lambda: view.show(lines), pilot)
        assert [(region.x, region.y, region.width) for region in regions] == [(0, 5, 4)]

    host(LinesView(), steps, 40, 10)


def test_search_goes_round() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        view.show(_numbered(100))
        await pilot.pause()
        assert view.search("LINE 3") == 11
        tops = []
        for step in (1, 1, -1, -1, -1):
            tops.append(view.scroll_offset.y)
            view.next_match(step)
        assert tops == [3, 30, 31, 30, 3]
        assert view.scroll_offset.y == 39
        plain, found = view.render_line(1), view.render_line(0)
        assert next(iter(plain)).style != next(iter(found)).style
        assert view.search("nowhere") == 0
        view.next_match()
        assert view.search("") == 0

    host(LinesView(), steps, 40, 10)


def test_nothing_to_show_is_said() -> None:
    async def steps(view: LinesView, pilot: Pilot[None]) -> None:
        assert drawn(view)[:2] == ["no events yet", ""]
        view.show([])
        assert drawn(view)[0] == "no events yet"
        view.show(_numbered(1))
        assert drawn(view)[0] == "line 0"

    host(LinesView(empty="no events yet"), steps, 40, 10)


@pytest.mark.parametrize("widget", [Lines, LinesView])
@pytest.mark.parametrize(("width", "height"), [(20, 5), (2, 2), (1, 1)])
def test_a_tiny_terminal_is_no_reason_to_fail(widget: type[Lines | LinesView], width: int, height: int) -> None:
    async def steps(shown: Lines | LinesView, pilot: Pilot[None]) -> None:
        shown.show([(("日本語" * 20, "ok"), ("tail", ""))] * 20)
        await pilot.pause()
        assert all(shown.render_line(y).cell_length <= width for y in range(min(height, shown.size.height)))

    made: Widget = widget()
    assert isinstance(made, (Lines, LinesView))
    host(made, steps, width, height)
