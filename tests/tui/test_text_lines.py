"""Comparing, cutting and cleaning lines of toned text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.widgets.text_lines import Line, changed_span, cut, harmless, text_of

pieces = st.tuples(st.text("ab日 ", max_size=6), st.sampled_from(["", "ok", "dim"]))
lines = st.lists(pieces, max_size=4).map(tuple)


def _cells(line: Line, width: int) -> list[tuple[str, str]]:
    """What each cell shows: a character (a wide one in both of its cells) and its tone."""
    cells = [(character, tone) for text, tone in line for character in text for _ in range(cell_len(character))]
    return (cells + [(" ", "")] * width)[:width]


@given(lines, lines, st.integers(0, 20))
def test_every_changed_cell_is_in_the_span(old: Line, new: Line, width: int) -> None:
    before, after = _cells(old, width), _cells(new, width)
    changed = [x for x, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    span = changed_span(old, new, width)
    if span is None:
        assert not changed
    else:
        assert 0 <= span[0] <= span[1] <= width
        assert all(span[0] <= x < span[1] for x in changed)


def test_one_number_is_one_short_span() -> None:
    old: Line = (("resnet50   1512.3   4.1ms", ""),)
    new: Line = (("resnet50   1498.7   4.1ms", ""),)
    assert changed_span(old, new, 80) == (12, 17)
    assert changed_span(old, old, 80) is None


def test_a_piece_that_changes_leaves_those_before_it_alone() -> None:
    old: Line = (("name ", ""), ("READY", "ok"))
    new: Line = (("name ", ""), ("FAILED", "error"))
    assert changed_span(old, new, 80) == (5, 80)


@given(lines, st.integers(1, 20))
def test_cut_lines_fit(line: Line, width: int) -> None:
    shown = cut(line, width)
    assert cell_len(text_of(shown).rstrip()) <= width
    if cell_len(text_of(line).rstrip()) <= width:
        assert text_of(shown).rstrip() == text_of(line).rstrip()


def test_cut_ends_in_an_ellipsis() -> None:
    assert text_of(cut((("abc", ""), ("def", "ok")), 5)) == "abcd…"
    assert text_of(cut((("abc", ""), ("def", "ok")), 3)) == "ab…"
    assert text_of(cut((("abc", ""), ("def", "ok")), 5, ascii=True)) == "abcd~"


def test_nothing_that_moves_the_cursor_passes() -> None:
    fine: Line = (("plain", "ok"),)
    assert harmless(fine) is fine
    assert harmless((("a\x1b[2Jb\n", "ok"),)) == (("a␛b↵", "ok"),)
