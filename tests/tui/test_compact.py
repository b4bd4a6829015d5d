"""Fewer bytes, the same picture: checked by reading both with a terminal model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style
from textual.driver import Driver

from tui.compact import DEFAULT, Look, applied, compact
from tui.driver import terminal_driver

ROW = "\x1b[38;2;213;218;228;48;2;14;17;22m"
WARN = "\x1b[1;38;2;238;205;139;48;2;14;17;22m"
OFF = "\x1b[0m"


@dataclass
class FakeTerminal:
    """Cells, looks and cursor of a terminal: knows CUP, SGR, newline and text, and keeps whatever else it is told."""

    cells: dict[tuple[int, int], tuple[str, object]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    line: int = 1
    column: int = 1
    look: Look = DEFAULT

    def read(self, data: str) -> FakeTerminal:
        for token in re.finditer(
            r"\x1b\[([0-9;]*)m|\x1b\[(\d+);(\d+)H|(\x1b\[[^a-zA-Z]*[a-zA-Z])|(\n)|([^\x1b\n])", data
        ):
            parameters, line, column, other, newline, character = token.groups()
            if character:
                self.cells[self.line, self.column] = (character, self._seen(character))
                self.column += 1
            elif newline:
                self.line, self.column = self.line + 1, 1
            elif line:
                self.line, self.column = int(line), int(column)
            elif other:
                self.other.append(other)
            else:
                look = applied(self.look, parameters)
                assert look is not None
                self.look = look
        return self

    def _seen(self, character: str) -> object:
        if character == " " and not self.look.flags & {4, 5, 7, 9}:
            return self.look.background
        return self.look


looks = st.builds(
    Style,
    color=st.sampled_from([None, "red", "bright_blue", "#d5dae4", "color(200)"]),
    bgcolor=st.sampled_from([None, "black", "#0e1116", "color(17)"]),
    bold=st.booleans(),
    dim=st.booleans(),
    italic=st.booleans(),
    underline=st.booleans(),
    reverse=st.booleans(),
    strike=st.booleans(),
)
styled = st.builds(lambda style, text: style.render(text), looks, st.text("ab 9", min_size=1, max_size=5))
moves = st.builds(lambda line, column: f"\x1b[{line};{column}H", st.integers(1, 4), st.integers(1, 9))
writes = st.lists(styled | moves | st.sampled_from(["\n", "\x1b[?25l", "\x1b[2K", "plain"])).map("".join)


@given(writes)
def test_the_picture_is_the_same(data: str) -> None:
    """On what Rich and Textual write: styled text with a reset behind it, moves, other sequences."""
    plain, short = FakeTerminal().read(data), FakeTerminal().read(compact(data))
    assert short == plain
    assert len(compact(data)) <= len(data)


codes = st.sampled_from(
    ["", "0", "1", "2", "4", "7", "22", "24", "27", "31", "39", "49", "104", "38;5;9", "48;2;1;2;3"]
)


@given(st.lists(codes.map(lambda code: f"\x1b[{code}m") | st.sampled_from(["x", " ", "\n", "\x1b[3;4H"])).map("".join))
def test_the_picture_is_the_same_without_resets(data: str) -> None:
    plain, short = FakeTerminal().read(data), FakeTerminal().read(compact(data))
    assert short == plain


@given(st.text("\x1b[;m0123456789HJ? ab\n", max_size=40))
def test_text_survives_whatever_it_is_mixed_with(data: str) -> None:
    """Broken and unknown sequences are passed on, in order, with the text around them."""
    sgr_or_move = re.compile(r"\x1b\[[0-9;]*[mH]")
    left = sgr_or_move.sub("", compact(data)).replace("\n", "")
    assert left == sgr_or_move.sub("", data).replace("\n", "")


def test_the_next_row_in_the_same_look_needs_no_style() -> None:
    data = f"\x1b[4;1H{ROW}one{OFF}\n\x1b[5;1H{ROW}two{OFF}"
    assert compact(data) == f"\x1b[4;1H{ROW}one\x1b[5;1Htwo{OFF}"


def test_one_cell_that_stands_out_costs_what_differs() -> None:
    data = f"{ROW}a{OFF}{WARN}98%{OFF}{ROW}b{OFF}"
    assert compact(data) == f"{ROW}a\x1b[1;38;2;238;205;139m98%\x1b[22;38;2;213;218;228mb{OFF}"
    assert compact(f"{ROW}a{OFF}{WARN}  {OFF}{ROW}b{OFF}") == f"{ROW}a  b{OFF}"


def test_a_move_to_where_nothing_is_written_is_left_out() -> None:
    assert compact(f"\x1b[1;5H\n\x1b[2;1H{ROW}x{OFF}\n\x1b[3;1H") == f"\x1b[2;1H{ROW}x{OFF}\x1b[3;1H"


def test_what_is_not_understood_is_passed_on() -> None:
    for data in (
        "\x1b[?2026h",
        "\x1b[?1049h\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b[11mfont\x1b[10m",
        "\x1b[>4;1m",
        "plain",
    ):
        assert compact(data) == data
    assert compact(f"{ROW}a\x1b[53mb{OFF}c") == f"{ROW}a\x1b[53mb{OFF}c"


@pytest.mark.parametrize(
    ("parameters", "look"),
    [
        ("", DEFAULT),
        ("1;31;44", Look("31", "44", frozenset({1}))),
        ("38;5;9;48;2;1;2;3", Look("38;5;9", "48;2;1;2;3")),
        ("1;0;97", Look("97")),
        ("38", None),
        ("38;2;1", None),
        ("11", None),
    ],
)
def test_looks(parameters: str, look: Look | None) -> None:
    assert applied(DEFAULT, parameters) == look


def test_a_driver_that_compacts_writes_through_its_base() -> None:
    class FakeDriver(Driver):
        written = ""

        def __init__(self) -> None:
            """Without an app: only `write` is asked for."""

        def write(self, data: str) -> None:
            self.written += data

        def start_application_mode(self) -> None: ...

        def disable_input(self) -> None: ...

        def stop_application_mode(self) -> None: ...

    driver = terminal_driver(FakeDriver)()  # type: ignore[call-arg]  # FakeDriver takes no app
    driver.write(f"\x1b[1;1H{ROW}a{OFF}{ROW}b{OFF}")
    assert isinstance(driver, FakeDriver)
    assert driver.written == f"\x1b[1;1H{ROW}ab{OFF}"
