"""Sparks, bars and areas out of characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.draw import ascii_area, bar, braille_area, ceiling, spark

series = st.lists(st.none() | st.floats(allow_infinity=True, allow_nan=True))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], "     "),
        ([0, 0, 0], "  ▁▁▁"),
        ([1, 1, 1], "  ███"),
        ([0, None, 4, math.nan, 8], "▁ ▅ █"),
        ([100, 0, 0.001, 0, 0, 0.001], "▁█▁▁█"),
        ([-5, math.inf], "   ▁█"),
    ],
)
def test_spark(values: list[float | None], line: str) -> None:
    assert spark(values, 5) == line


def test_spark_against_a_maximum() -> None:
    assert spark([0, 5, 10, 20], 4, maximum=10) == "▁▅██"
    assert spark([0, 5, 10, 20], 4, maximum=10, ascii=True) == "_=##"


@pytest.mark.parametrize(
    ("ratio", "line"),
    [(0, "    "), (0.001, "▏   "), (0.5, "██  "), (0.53125, "██▏ "), (1, "████"), (7, "████"), (None, "    ")],
)
def test_bar(ratio: float | None, line: str) -> None:
    assert bar(ratio, 4) == line


def test_bar_in_ascii() -> None:
    assert bar(0.5, 4, ascii=True) == "##  "
    assert bar(0.01, 4, ascii=True) == "#   "


def test_braille_area() -> None:
    assert braille_area([0, 1, 2, 3, 4, 4], 3, 1) == ["⢀⣴⣿"]
    assert braille_area([8, 8, 4, 4], 2, 2) == ["⣿ ", "⣿⣿"]
    assert braille_area([math.nan, 4, None, 4], 2, 1) == ["⢸⢸"]
    assert braille_area([0.001, 4], 1, 2, 1000) == ["⢀"] * 0 + [" ", "⣀"]


def test_ascii_area() -> None:
    assert ascii_area([0, 1, 2, 3], 5, 1) == ["  .:#"]


@given(series, st.integers(-1, 12), st.integers(-1, 5), st.none() | st.floats(-1, 1e9))
def test_drawings_have_the_asked_size(
    values: list[float | None], width: int, height: int, maximum: float | None
) -> None:
    cells = max(0, width)
    assert len(spark(values, width, maximum=maximum)) == cells
    assert len(spark(values, width, maximum=maximum, ascii=True)) == cells
    for draw in (braille_area, ascii_area):
        lines = draw(values, width, height, maximum)
        assert [len(line) for line in lines] == [cells] * max(0, height)
    for value in values:
        assert len(bar(value, width)) == cells


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_ceiling_is_round_and_not_far_above(value: float) -> None:
    top = ceiling([0.0, value, None, math.nan])
    assert value <= top <= value * 2.0 * (1 + 1e-9)


def test_ceiling_of_nothing() -> None:
    assert ceiling([]) == 1.0
    assert ceiling([0.0, None]) == 1.0
    assert ceiling([1512.3]) == 2000.0
