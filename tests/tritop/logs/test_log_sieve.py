"""Filters keep whole entries, also while their lines come one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.logs.samples import DEFAULT, read
from tritop.errors import UsageError
from tritop.logs import LogFilter, LogLevel, LogLine, Sieve, level_named


def sifted(wanted: LogFilter) -> list[LogLine]:
    return Sieve(wanted).pass_on(read(DEFAULT))


def test_a_text_in_any_line_keeps_the_whole_entry() -> None:
    kept = sifted(LogFilter("zerodivision"))
    assert next(line.text for line in kept) == "Traceback (most recent call last):"
    assert len(kept) == 5


def test_an_exclamation_mark_takes_the_entries_with_the_text_away() -> None:
    kept = sifted(LogFilter("!started"))
    assert not any("Started" in line.text for line in kept)
    assert len(kept) == len(read(DEFAULT)) - 1


def test_a_lone_exclamation_mark_is_a_text() -> None:
    assert LogFilter("!").text == "!"
    assert not LogFilter("!").inverse


def test_a_model_keeps_what_names_it_anywhere() -> None:
    kept = sifted(LogFilter(model="noisy"))
    assert {line.entry for line in kept} == {line.entry for line in read(DEFAULT) if line.model == "noisy"}
    assert kept[0].text.startswith("Traceback")


def test_levels_are_at_least() -> None:
    assert {line.level for line in sifted(LogFilter(level=LogLevel.WARNING))} == {LogLevel.WARNING, LogLevel.ERROR}


def test_conditions_are_joined_by_and() -> None:
    kept = sifted(LogFilter("unload", model="matrix"))
    assert kept == []
    assert sifted(LogFilter("loaded", model="matrix"))[0].text == "successfully loaded 'matrix'"


def test_notes_stay_whatever_is_looked_for() -> None:
    note = LogLine(1, 2, LogLevel.PLAIN, "the server was started again: run 2", note=True)
    assert Sieve(LogFilter("nothing", level=LogLevel.ERROR)).pass_on([note]) == [note]
    assert Sieve(LogFilter(run=1)).pass_on([note]) == []


@given(
    st.sampled_from([LogFilter(), LogFilter("load"), LogFilter(model="bad"), LogFilter("e")]),
    st.lists(st.integers(1, 5), max_size=40),
)
def test_it_does_not_matter_in_which_pieces_lines_come(wanted: LogFilter, sizes: list[int]) -> None:
    lines, sieve, kept = read(DEFAULT), Sieve(wanted), []
    for size in sizes:
        kept += sieve.pass_on(lines[:size])
        del lines[:size]
    kept += sieve.pass_on(lines)
    assert kept == sifted(wanted)


def test_an_inverse_filter_judges_by_what_has_come_and_then_ends_the_entry() -> None:
    lines = [line for line in read(DEFAULT) if "Traceback" in line.text or not line.head]
    sieve = Sieve(LogFilter("!1/0"))
    passed = [line.text for each in lines for line in sieve.pass_on([each])]
    assert "Traceback (most recent call last):" in passed
    assert "    1/0" not in passed
    assert "ZeroDivisionError: division by zero" not in passed
    assert "Traceback (most recent call last):" not in [line.text for line in sifted(LogFilter("!1/0"))]


def test_level_names() -> None:
    assert level_named("error") is LogLevel.ERROR
    with pytest.raises(UsageError, match="fatal"):
        level_named("fatal")
