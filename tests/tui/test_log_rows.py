"""The lines of a log as rows: bounded, filtered, wrapped, found, whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tritop.logs.samples import DEFAULT, read
from tritop.logs import LogFilter, LogLevel, LogLine
from tui.present.log_rows import LogRows, begins_error, holding, pieces
from tui.present.logs import columns_of, heading_line, lead, marked
from tui.present.look import Look
from tui.widgets.text_lines import text_of


def numbered(count: int, first: int = 1) -> list[LogLine]:
    return [LogLine(number, 1, LogLevel.INFO, f"line {number}") for number in range(first, first + count)]


def shown(rows: LogRows) -> list[str]:
    """The text on every row."""
    found = []
    for row in range(rows.row_count):
        _, line, part = rows.at(row)
        found.append(rows.parts(line)[part])
    return found


def test_one_row_for_each_line() -> None:
    rows = LogRows()
    lines = read(DEFAULT)
    assert rows.extend(lines) == 0
    assert shown(rows) == [line.text for line in lines]
    assert rows.widest == max(len(line.text) for line in lines)


def test_wrapped_rows_are_the_pieces_of_the_lines() -> None:
    rows, lines = LogRows(), read(DEFAULT)
    assert rows.lay_out(20)
    rows.extend(lines)
    assert shown(rows) == [piece for line in lines for piece in pieces(line.text, 20)]
    assert not rows.lay_out(20), "nothing changes"
    assert [rows.line_at(rows.row_of(index)) for index in range(len(rows))] == list(range(len(lines)))


def test_only_the_newest_lines_are_kept_and_it_is_told_how_many_rows_went() -> None:
    rows = LogRows(limit=100)
    assert rows.extend(numbered(110)) == 0
    assert rows.extend(numbered(1, first=111)) == 11
    assert (rows.total, len(rows), shown(rows)[0]) == (100, 100, "line 12")


def test_wrapped_rows_go_with_their_lines() -> None:
    rows = LogRows(limit=10)
    rows.lay_out(4)
    rows.extend(numbered(9))
    gone = rows.extend(numbered(6, first=10))
    assert gone == 5 * 2
    assert shown(rows)[:2] == ["line", " 6"]
    assert rows.row_of(0) == 0


def test_a_filter_holds_for_what_is_there_and_for_what_comes() -> None:
    rows = LogRows()
    rows.extend(read(DEFAULT))
    rows.choose(LogFilter("zerodivision"))
    assert (len(rows), rows.total) == (5, len(read(DEFAULT)))
    rows.extend([LogLine(99, 1, LogLevel.PLAIN, "ZeroDivisionError again"), LogLine(100, 1, LogLevel.PLAIN, "other")])
    assert shown(rows)[-1] == "ZeroDivisionError again"
    rows.choose(LogFilter())
    assert len(rows) == rows.total


def test_models_are_remembered_in_the_order_in_which_they_appear() -> None:
    rows = LogRows()
    rows.extend(read(DEFAULT))
    assert list(rows.models) == ["matrix", "broken", "noisy", "bad"]


def test_finding_goes_round_in_both_directions() -> None:
    rows = LogRows()
    rows.extend(read(DEFAULT))
    errors = [index for index, line in enumerate(rows.lines()) if begins_error(line)]
    assert len(errors) == 3
    assert rows.find(begins_error, errors[0] + 1, 1) == errors[1]
    assert rows.find(begins_error, errors[-1] + 1, 1) == errors[0]
    assert rows.find(begins_error, errors[0] - 1, -1) == errors[-1]
    assert rows.find(holding("nowhere"), 0, 1) is None
    assert LogRows().find(begins_error, 0, 1) is None
    assert rows.hits("LOADED") == 2


@given(
    st.lists(st.text(st.characters(categories=["L", "N", "Zs", "So", "Mn"]), max_size=60), max_size=30),
    st.integers(2, 30),
    st.integers(1, 20),
    st.integers(5, 25),
)
def test_rows_and_lines_agree_in_every_layout(texts: list[str], room: int, step: int, limit: int) -> None:
    lines = [LogLine(number, 1, LogLevel.PLAIN, text) for number, text in enumerate(texts)]
    rows = LogRows(limit=limit)
    rows.lay_out(room)
    gone = 0
    before = 0
    for begin in range(0, len(lines), step):
        before = rows.row_count
        went = rows.extend(lines[begin : begin + step])
        gone += went
        assert 0 <= went <= before + rows.row_count + went
    assert rows.row_count == sum(len(rows.parts(line)) for line in rows.lines())
    assert [rows.at(row)[0] for row in range(rows.row_count)] == [
        index for index, line in enumerate(rows.lines()) for _ in rows.parts(line)
    ]
    rows.lay_out(0)
    assert rows.row_count == len(rows)


@given(st.text(st.characters(categories=["L", "N", "So"]), max_size=80), st.integers(2, 30))
def test_pieces_are_the_text_and_each_fits(text: str, room: int) -> None:
    cut = pieces(text, room)
    assert "".join(cut) == text
    assert all(cell_len(piece) <= room for piece in cut)


@given(st.text(max_size=50), st.text(max_size=3))
def test_marking_changes_no_character(text: str, needle: str) -> None:
    assert text_of(marked(text, "error", needle)) == text


def test_every_hit_of_a_line_is_marked() -> None:
    assert marked("Load, reload", "", "load") == (("Load", "match"), (", re", ""), ("load", "match"))


def test_what_stands_before_the_text_depends_on_the_width() -> None:
    line = next(line for line in read(DEFAULT) if line.level is LogLevel.ERROR and line.place)
    for width, has_time, has_place in ((40, False, False), (80, True, False), (120, True, False), (160, True, True)):
        columns = columns_of(width)
        head = text_of(lead(line, columns, Look()))
        assert cell_len(head) == columns.cells
        assert (":00:18" in head, "model_lifecycle.cc:642" in head) == (has_time, has_place), width
        assert "✖" in head
        assert text_of(lead(line._replace(head=False), columns, Look())) == " " * columns.cells


def test_ascii_signs() -> None:
    line = LogLine(1, 1, LogLevel.ERROR, "it — failed", at=0.0, place="a.cc:1")
    assert text_of(lead(line, columns_of(160), Look(ascii=True))).isascii()
    assert LogRows(ascii=True).text(line) == "it ? failed"


def heading(rows: LogRows, **given: object) -> str:
    state: dict[str, object] = {"following": True, "paused": False, "below": 0, "runs_back": 0} | given
    return text_of(heading_line("demo", rows, 100, Look(), **state))  # type: ignore[arg-type]  # names of its flags


def test_the_heading_says_what_is_shown() -> None:
    rows = LogRows()
    rows.extend(read(DEFAULT))
    assert "35 lines" in heading(rows)
    assert "following" in heading(rows)
    assert "7 below" in heading(rows, following=False, below=7)
    assert "paused" in heading(rows, paused=True)
    assert "no earlier run is kept" in heading(rows, runs_back=1)
    rows.extend([LogLine(99, 3, LogLevel.PLAIN, "x")])
    assert "3 runs" in heading(rows)
    assert "run 2 of 3" in heading(rows, runs_back=1)
    rows.choose(LogFilter("load\x1b[2J", model="ma\nd"))
    said = heading(rows)
    assert "0 of 36 lines" in said
    assert said.isprintable()
