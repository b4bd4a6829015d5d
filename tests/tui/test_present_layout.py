"""How the overview shares out its lines, and what lines leave out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.present.layout import divide_overview, panel_widths
from tui.present.lines import Piece, Section, beside, in_columns, line_width, one_line, rule

sizes = st.integers(min_value=1, max_value=200)
counts = st.integers(min_value=0, max_value=2000)


@given(height=sizes, header=st.integers(1, 9), rows=counts, trouble=st.integers(0, 300), events=st.integers(0, 500))
def test_every_line_is_given_once(height: int, header: int, rows: int, trouble: int, events: int) -> None:
    parts = divide_overview(height, header=header, rows=rows, trouble=trouble, events=events)
    given_out = parts.header + parts.table + parts.pane + parts.events + parts.footer
    assert given_out == max(height, 2)
    assert min(parts.header, parts.table + parts.pane) >= 1
    assert min(parts.table, parts.pane, parts.events) >= 0


def test_a_small_terminal_keeps_table_and_keys() -> None:
    parts = divide_overview(10, header=1, rows=50)
    assert (parts.pane, parts.events, parts.footer) == (0, 0, 1)
    assert parts.table == 8


def test_five_lines_have_no_footer() -> None:
    parts = divide_overview(5, header=4, rows=3)
    assert (parts.header, parts.table, parts.footer) == (1, 4, 0)


def test_a_tall_terminal_shows_everything() -> None:
    parts = divide_overview(45, header=2, rows=5, events=30)
    assert parts.table >= 6
    assert parts.pane >= 20
    assert parts.events >= 5


def test_many_rows_still_leave_a_pane() -> None:
    parts = divide_overview(45, header=2, rows=500, events=30)
    assert parts.pane >= 8
    assert parts.table > parts.pane


def test_trouble_without_rows_has_the_whole_screen() -> None:
    parts = divide_overview(24, header=1, rows=0, trouble=6)
    assert (parts.table, parts.pane) == (0, 22)


def test_trouble_leaves_old_rows_in_sight() -> None:
    parts = divide_overview(24, header=1, rows=40, trouble=12)
    assert parts.table >= 4
    assert parts.pane >= 12


@given(width=st.integers(1, 400))
def test_panels_fill_the_width(width: int) -> None:
    assert sum(panel_widths(width)) == width


def test_the_highest_rank_goes_first() -> None:
    pieces = [Piece("name"), Piece("version", "", 5), Piece("state", "", 1)]
    line = one_line(pieces, [Piece("12:00:00", "", 3)], 30)
    assert "".join(text for text, _ in line) == "name  version  state  12:00:00"
    line = one_line(pieces, [Piece("12:00:00", "", 3)], 25)
    assert "".join(text for text, _ in line) == "name  state      12:00:00"
    line = one_line(pieces, [Piece("12:00:00", "", 3)], 12)
    assert "".join(text for text, _ in line) == "name  state"


@given(width=st.integers(10, 200), titles=st.lists(st.text("abc ", min_size=1, max_size=30), min_size=1, max_size=6))
def test_a_rule_is_as_wide_as_the_terminal(width: int, titles: list[str]) -> None:
    line = rule([Piece(title, "", rank) for rank, title in enumerate(titles)], width, "─")
    assert line_width(line) == width or len(titles[0]) + 6 > width


@given(
    left=st.lists(st.text("ab日", max_size=40), max_size=6),
    right=st.lists(st.text("cd", max_size=40), max_size=9),
    widths=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_blocks_stand_side_by_side(left: list[str], right: list[str], widths: tuple[int, int]) -> None:
    blocks = [[((text, ""),) for text in block] for block in (left, right)]
    merged = beside(blocks, widths)
    assert len(merged) == max(len(left), len(right))
    assert all(line_width(line) == sum(widths) for line in merged)


def test_sections_that_have_nothing_to_say_are_left_out() -> None:
    lines = in_columns([[Section("ONE", ((("a", ""),),)), None], [Section("TWO", (), "note")]], [8, 12])
    texts = ["".join(text for text, _ in line).rstrip() for line in lines]
    assert texts == ["ONE     TWO  note", "a", ""]
