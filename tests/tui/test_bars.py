"""Horizontal bars."""

from __future__ import annotations

import math

from textual.pilot import Pilot

from tests.tui.hosting import drawn, host, repainted
from tui.widgets.bars import Bar, Bars

STAGES = [Bar("queue", 4.0, "4.0ms", "warn"), Bar("infer", 8.0, "8.0ms"), Bar("output", 0.01, "10us")]
SIZES = [Bar("1", 0.02, "2%", note="6.10"), Bar("16", 0.98, "98%", note="0.52")]


def _lines(bars: Bars, width: int, height: int) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in bars.lines_for(width, height)]


def test_where_the_time_goes() -> None:
    bars = Bars()
    bars.show("WHERE THE TIME GOES  12.0ms", STAGES)
    assert _lines(bars, 31, 9) == [
        "WHERE THE TIME GOES  12.0ms",
        " queue  4.0ms ████████▌",
        " infer  8.0ms █████████████████",
        " output  10us ▏",
    ]
    assert [line[0][1] for line in bars.lines_for(31, 9)] == ["title", "warn", "", ""]


def test_batch_sizes_with_notes() -> None:
    bars = Bars(ascii=True)
    bars.show("BATCH SIZES", SIZES, right="ms per inference")
    title, first, second = _lines(bars, 32, 9)
    assert title == "BATCH SIZES     ms per inference"
    assert first == " 1   2% #".ljust(28) + "6.10"
    assert second == " 16 98% ".ljust(27, "#") + " 0.52"


def test_the_maximum_can_be_given() -> None:
    bars = Bars()
    bars.show("", [Bar("a", 0.5, "50%")], maximum=1.0)
    assert _lines(bars, 15, 2)[1] == " a 50% ████"


def test_what_does_not_fit_is_left_out() -> None:
    bars = Bars()
    bars.show("BATCH SIZES", SIZES, right="ms per inference")
    assert len(_lines(bars, 40, 2)) == 2
    assert _lines(bars, 20, 1) == ["BATCH SIZES"]
    for width in range(12):
        for height in range(4):
            _lines(bars, width, height)


def test_unknown_and_nothing_draw_no_bar() -> None:
    bars = Bars()
    bars.show("t", [Bar("a", math.nan, "--"), Bar("b", 0.0, "0"), Bar("c", -1.0, "?")])
    assert _lines(bars, 20, 5) == ["t", " a --", " b  0", " c  ?"]
    bars.show("t", [])
    assert _lines(bars, 20, 5) == ["t"]


def test_one_changed_bar_repaints_one_line() -> None:
    async def steps(bars: Bars, pilot: Pilot[None]) -> None:
        bars.show("t", STAGES)
        assert drawn(bars)[3].startswith(" output  10us ▏")
        changed = [STAGES[0], STAGES[1], Bar("output", 0.01, "11us")]
        regions = await repainted(bars, lambda: bars.show("t", changed), pilot)
        assert [(region.y, region.width) for region in regions] == [(3, 1)]

    host(Bars(), steps, 40, 6)
