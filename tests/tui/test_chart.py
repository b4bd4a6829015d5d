"""The chart: where values land, and that a moving shape keeps its form."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from tests.tui.hosting import drawn, host, repainted
from tui.widgets.chart import Chart, bucketed


def _lines(chart: Chart, width: int, height: int) -> list[str]:
    return ["".join(text for text, _ in line) for line in chart.lines_for(width, height)]


def _chart(values: list[float], *, ascii: bool = False, newest: int | None = None, maximum: float = 4.0) -> Chart:
    chart = Chart(ascii=ascii)
    chart.show(values, title="REQ/s", value="1512", maximum=maximum, scale="max 4", newest=newest)
    return chart


def test_what_it_draws() -> None:
    assert _lines(_chart([0, 1, 2, 3, 4, 4]), 24, 2) == ["REQ/s  1512        max 4", " " * 21 + "⢀⣴⣿"]
    assert _lines(_chart([0, 1, 2, 3], ascii=True, maximum=3), 8, 2)[1] == "     .:#"


def test_the_scale_goes_first_where_it_is_narrow() -> None:
    assert _lines(_chart([1.0]), 12, 1) == ["REQ/s  1512"]


def test_an_unknown_value_is_a_gap() -> None:
    assert _lines(_chart([4, 4, math.nan, math.nan, 4, 4]), 3, 2)[1] == "⣿ ⣿"


def test_without_a_maximum_the_scale_is_round() -> None:
    chart = Chart()
    chart.show([3.9, 3.9], title="", value="")
    assert _lines(chart, 1, 3)[1:] == ["⣤", "⣿"]  # 3.9 of 5 is six of eight levels


def test_an_event_is_a_column_through_the_chart() -> None:
    chart = Chart()
    chart.show([4, 4, 1, 1, 4, 4], title="t", value="v", maximum=4, marks=[(2, "┆"), (99, "!"), (-1, "!")])
    assert _lines(chart, 3, 3)[1:] == ["⣿┆⣿", "⣿⣤⣿"]


def test_an_event_is_found_again_where_buckets_hold_many_values() -> None:
    values = [1.0] * 600
    chart = Chart()
    chart.show(values, title="t", value="v", maximum=1, marks=[(599, "┆")], newest=7777)
    assert _lines(chart, 20, 2)[1].endswith("┆")
    chart.show(values, title="t", value="v", maximum=1, marks=[(300, "┆")], newest=7777)
    assert abs(_lines(chart, 20, 2)[1].index("┆") - 10) <= 1


@given(
    st.lists(st.floats(0, 100) | st.just(math.nan), min_size=1, max_size=200),
    st.integers(0, 500),
    st.integers(1, 9),
    st.sampled_from([1, 2]),
)
def test_each_bucket_holds_its_largest_value(values: list[float], start: int, size: int, across: int) -> None:
    newest = start + len(values) - 1
    columns, first = bucketed(values, newest, size, across)
    assert len(columns) % across == 0
    assert first % across == 0
    for column, largest in enumerate(columns):
        lowest = (first + column) * size - start
        inside = [value for value in values[max(0, lowest) : max(0, lowest + size)] if not math.isnan(value)]
        assert largest == max(inside) if inside else math.isnan(largest)


def test_a_shape_moves_without_changing_its_form() -> None:
    """One spike in ten minutes of history, which drops its oldest value with every new one."""
    history = [1.0] * 600
    history[300] = 4.0
    forms: set[str] = set()
    places: list[int] = []
    for newest in range(600, 700):
        chart = _chart(history, newest=newest)
        line = _lines(chart, 24, 2)[1]
        places.append(line.index(next(character for character in line if character not in "⣀⢀⡀ ")))
        forms.add(line.strip(" ⣀⢀⡀"))
        history = [*history[1:], 1.0]
    assert len(forms) == 1
    assert places == sorted(places, reverse=True)


def test_history_of_any_length_fits() -> None:
    for length in (0, 1, 2, 47, 48, 49, 599, 600, 3600):
        for ascii in (False, True):
            for line in _lines(_chart([1.0] * length, ascii=ascii), 24, 4)[1:]:
                assert len(line) == 24


def test_nothing_is_repainted_while_nothing_changes() -> None:
    async def steps(chart: Chart, pilot: Pilot[None]) -> None:
        def show(value: str, values: list[float]) -> None:
            chart.show(values, title="REQ/s", value=value, maximum=4, newest=9)

        show("1512", [1.0] * 10)
        assert drawn(chart)[0] == "REQ/s  1512"
        assert await repainted(chart, lambda: show("1512", [1.0] * 10), pilot) == []
        regions = await repainted(chart, lambda: show("1513", [1.0] * 10), pilot)
        assert [(region.x, region.y, region.width) for region in regions] == [(10, 0, 1)]

    host(Chart(), steps, 40, 6)


def test_a_tiny_chart_is_no_reason_to_fail() -> None:
    for width in range(4):
        for height in range(4):
            _lines(_chart([1.0] * 100), width, height)
