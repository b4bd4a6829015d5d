"""The table: what it draws, how it keeps its place, and how little it repaints."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

import pytest
from textual.geometry import Region
from textual.pilot import Pilot

from tests.tui.hosting import drawn, host, repainted
from tui.widgets.line_table import Column, LineTable, Row
from tui.widgets.table_layout import column_at, place

COLUMNS = (
    Column("model", "MODEL", 12, right=False, flex=True),
    Column("version", "VER", 3),
    Column("state", "STATE", 8, right=False),
    Column("rate", "REQ/s", 8),
    Column("queue", "QUEUE", 7, priority=1),
    Column("trend", "TREND", 8, right=False, priority=3),
    Column("why", "WHY", 24, right=False, priority=2),
)


def _row(number: int, rate: str = "12.3", tone: str = "") -> Row:
    cells = (f"model_{number}", "1", "● READY", rate, "4.1ms", "▁▂▃▄▅▆▇█", "capacity: instances busy")
    return Row(("demo", number), cells, tone)


def _rows(count: int) -> list[Row]:
    return [_row(number) for number in range(count)]


def _table(**arguments: object) -> LineTable:
    make: Callable[..., LineTable] = LineTable
    return make(COLUMNS, **arguments)


def _at(table: LineTable) -> Hashable | None:
    return table.cursor_key


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (140, "model version state rate queue trend why"),
        (80, "model version state rate queue trend why"),
        (76, "model version state rate queue why"),
        (60, "model version state rate queue"),
        (43, "model version state rate"),
        (20, "model version"),
        (10, "model"),
        (0, "model"),
    ],
)
def test_columns_go_by_priority(width: int, kept: str) -> None:
    places = place(COLUMNS, width)
    assert " ".join(spot.column.key for spot in places) == kept
    assert all(spot.width >= 0 and spot.x + spot.width <= max(width, 2) for spot in places)


def test_the_flexible_column_takes_what_is_left() -> None:
    places = place(COLUMNS, 140)
    assert places[-1].x + places[-1].width == 140
    assert [spot.width for spot in places[1:]] == [column.width for column in COLUMNS[1:]]


def test_a_click_on_a_title_names_its_column() -> None:
    places = place(COLUMNS, 60)
    assert column_at(places, 2) == "model"
    assert column_at(places, 59) == "queue"
    assert column_at(places, 0) is None


def test_what_it_draws() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        assert drawn(table)[:3] == [
            "  MODEL                                        VER STATE       REQ/s   QUEUE",
            "  no models yet",
            "  press o to load one",
        ]
        table.show_sort("rate", descending=True)
        table.show(_rows(3))
        table.move_to(("demo", 1))
        table.toggle_mark()
        assert drawn(table)[:5] == [
            "  MODEL                                        VER STATE      ▼REQ/s   QUEUE",
            "  model_0                                        1 ● READY      12.3   4.1ms",
            "▸◆model_1                                        1 ● READY      12.3   4.1ms",
            "  model_2                                        1 ● READY      12.3   4.1ms",
            "",
        ]

    columns = COLUMNS[:5]
    host(LineTable(columns, empty="no models yet\npress o to load one"), steps, 76, 8)


def test_it_draws_ascii_only_when_asked() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show_sort("model", descending=False)
        table.show([Row(1, ("x" * 40, "1", "* READY", "1.0", "", "", ""))])
        table.toggle_mark()
        assert all(line.isascii() for line in drawn(table))
        assert drawn(table)[0].startswith("  MODEL^")
        assert drawn(table)[1].startswith(">+" + "x" * 10)

    host(_table(ascii=True), steps, 44, 5)


def test_one_changed_number_repaints_its_cells_only() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        rows = _rows(50)
        table.show(rows)
        rows[7] = _row(7, rate="12.9")
        rate = next(spot for spot in place(COLUMNS, 79) if spot.column.key == "rate")
        last_digit = rate.x + rate.width - 1
        assert await repainted(table, lambda: table.show(rows), pilot) == [Region(last_digit, 8, 1, 1)]
        assert await repainted(table, lambda: table.show(list(rows)), pilot) == []
        rows[7] = _row(7, rate="12.9", tone="error")
        assert await repainted(table, lambda: table.show(rows), pilot) == [Region(0, 8, 79, 1)]
        rows[49] = _row(49, rate="99")
        assert await repainted(table, lambda: table.show(rows), pilot) == []  # below the edge

    host(_table(), steps, 80, 24)


def test_moving_the_cursor_repaints_two_lines() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show(_rows(10))
        regions = await repainted(table, lambda: table.action_move(1), pilot)
        assert [region.y for region in regions] == [1, 2]

    host(_table(), steps)


def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        rows = _rows(100)
        table.show(rows)
        table.move_to(("demo", 5))
        table.show(rows[::-1])
        assert table.cursor_key == ("demo", 5)
        assert any(line.startswith("▸ model_5 ") for line in drawn(table))

    host(_table(), steps, 80, 12)


def test_a_vanished_row_leaves_the_cursor_where_it_was() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        rows = _rows(5)
        table.show(rows)
        table.move_to(("demo", 2))
        table.toggle_mark()
        await pilot.pause()
        table.show(rows[:2] + rows[3:])
        assert _at(table) == ("demo", 3)
        assert table.marked == frozenset()
        await pilot.pause()
        table.show(rows[:1])
        assert _at(table) == ("demo", 0)
        await pilot.pause()
        table.show([])
        assert _at(table) is None
        table.toggle_mark()
        table.action_choose()
        assert table.marked == frozenset()
        assert not table.move_to(("demo", 0))

    posted = host(_table(), steps)
    told = [message.key for message in posted if isinstance(message, LineTable.CursorMoved)]
    assert told == [("demo", 2), ("demo", 3), ("demo", 0), None]  # of the first two moves only the last
    assert not any(isinstance(message, LineTable.Chosen) for message in posted)


def test_keys() -> None:
    keys = [
        ("j", 1), ("down", 2), ("k", 1), ("up", 0), ("up", 0), ("G", 999), ("j", 999), ("g", 0), ("end", 999),
        ("home", 0), ("pagedown", 8), ("pagedown", 16), ("pageup", 8),
    ]  # fmt: skip

    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show(_rows(1000))
        table.focus()
        for key, number in keys:
            await pilot.press(key)
            assert table.cursor_key == ("demo", number), key
            assert any(line.startswith("▸") for line in drawn(table)), key
        await pilot.press("enter")

    posted = host(_table(), steps, 80, 10)
    assert [message.key for message in posted if isinstance(message, LineTable.Chosen)] == [("demo", 8)]


def test_mouse() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show(_rows(30))
        await pilot.click(LineTable, offset=(10, 4))
        assert table.cursor_key == ("demo", 3)
        await pilot.click(LineTable, offset=(60, 0))
        await pilot.click(LineTable, offset=(10, 2), times=2)
        table.show(_rows(2))
        await pilot.pause()
        await pilot.click(LineTable, offset=(10, 8))
        assert table.cursor_key == ("demo", 1)

    posted = host(_table(), steps, 80, 10)
    assert [message.column for message in posted if isinstance(message, LineTable.HeaderClicked)] == ["why"]
    assert [message.key for message in posted if isinstance(message, LineTable.Chosen)] == [("demo", 1)]


def test_only_visible_rows_are_looked_at() -> None:
    class CountedRow(Row):
        looks = 0

        def __getattribute__(self, name: str) -> object:
            if name == "cells":
                CountedRow.looks += 1
            return object.__getattribute__(self, name)

    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        rows = [CountedRow(row.key, row.cells) for row in _rows(5000)]
        table.show(rows)
        await pilot.pause()
        CountedRow.looks = 0
        table.show([replace(row, cells=row.cells) for row in rows])
        built = 5000  # `replace` reads the cells of each row once
        assert CountedRow.looks - built <= 24 * len(COLUMNS) * 3

    host(_table(), steps)


@pytest.mark.parametrize(("width", "height"), [(20, 5), (5, 3), (3, 2), (1, 1)])
def test_a_tiny_terminal_is_no_reason_to_fail(width: int, height: int) -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        drawn(table)
        table.show(_rows(100))
        await pilot.press("G", "k", "pageup", "g")
        await pilot.pause()
        assert all(table.render_line(y).cell_length <= width for y in range(height))
        assert table.cursor_key == ("demo", 0)

    host(_table(empty="nothing"), steps, width, height)


def test_a_line_is_one_segment_but_for_its_accents() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        accented = replace(_row(2, tone="error"), accents=(("rate", "ok"),))
        table.show([_row(0), _row(1), accented])
        assert len(list(table.render_line(2))) == 1
        before, accent, after = table.render_line(3)
        assert accent.text == "    12.3"
        assert before.style == after.style != accent.style

    host(_table(), steps, 120, 8)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
def test_the_cursor_is_seen_without_colour_in_every_theme(theme: str) -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show([_row(0, tone="dim"), _row(1, tone="dim")])
        table.focus()
        await pilot.pause()
        under, beside = table.render_line(1), table.render_line(2)
        assert under.text.startswith("▸")
        assert beside.text.startswith(" ")
        assert next(iter(under)).style != next(iter(beside)).style

    host(_table(), steps, theme=theme)


def test_hostile_cells_do_not_reach_the_terminal() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.show([Row(1, ("\x1b[2Jx\n", "\x00", "[red]", "\x9b31m", "", "", ""))])
        assert table.render_line(1).text.isprintable()
        assert " [red] " in table.render_line(1).text

    host(_table(), steps)


def test_other_columns_and_other_words() -> None:
    async def steps(table: LineTable, pilot: Pilot[None]) -> None:
        table.set_empty("gone")
        assert drawn(table)[1] == "  gone"
        table.set_columns((Column("name", "NAME", 10, right=False),))
        table.show([Row(1, ("one",))])
        await pilot.pause()
        assert drawn(table)[:2] == ["  NAME", "▸ one"]
        table.toggle_mark()
        table.clear_marks()
        assert table.marked == frozenset()

    host(_table(empty="nothing"), steps)
