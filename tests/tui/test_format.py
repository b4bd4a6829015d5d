"""What numbers and server text look like on the screen."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.samples import HOSTILE_NAMES
from tritop.model import ModelState, ServerState, TrafficState
from tui import format as fmt
from tui.glyphs import ASCII_GLYPHS, UNICODE_GLYPHS

Formatter = Callable[[float | None], str]
NUMBERS: list[Formatter] = [
    fmt.rate, fmt.count, fmt.batch, fmt.latency_us, fmt.bytes_iec, fmt.percent, fmt.age_s, fmt.duration_s,
]  # fmt: skip


@pytest.mark.parametrize("formatter", NUMBERS)
@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf])
def test_unknown_is_never_zero(formatter: Formatter, unknown: float | None) -> None:
    assert formatter(unknown) == "--"


@pytest.mark.parametrize(
    ("formatter", "number", "text"),
    [
        (fmt.rate, 0, "0"),
        (fmt.rate, 0.004, "<0.01"),
        (fmt.rate, 0.02, "0.02"),
        (fmt.rate, 0.4, "0.4"),
        (fmt.rate, 12.34, "12.3"),
        (fmt.rate, 1512.3, "1512.3"),
        (fmt.rate, 9999.94, "9999.9"),
        (fmt.rate, 9999.95, "10.0k"),
        (fmt.rate, 12_345, "12.3k"),
        (fmt.rate, 99_949, "99.9k"),
        (fmt.rate, 99_951, "100k"),
        (fmt.rate, 999_501, "1.0M"),
        (fmt.count, 0, "0"),
        (fmt.count, 31, "31"),
        (fmt.count, 9999, "9999"),
        (fmt.count, 12_300, "12.3k"),
        (fmt.batch, 1, "1.0"),
        (fmt.batch, 12.44, "12.4"),
        (fmt.batch, 128, "128"),
        (fmt.latency_us, 0, "0us"),
        (fmt.latency_us, 820, "820us"),
        (fmt.latency_us, 999.6, "1.0ms"),
        (fmt.latency_us, 4100, "4.1ms"),
        (fmt.latency_us, 99_960, "100ms"),
        (fmt.latency_us, 186_000, "186ms"),
        (fmt.latency_us, 999_600, "1.00s"),
        (fmt.latency_us, 1.25e6, "1.25s"),
        (fmt.latency_us, 12.5e6, "12.5s"),
        (fmt.latency_us, 599e6, "599s"),
        (fmt.latency_us, 720e6, "12min"),
        (fmt.bytes_iec, 0, "0 B"),
        (fmt.bytes_iec, 1023, "1023 B"),
        (fmt.bytes_iec, 640 * 1024, "640 KiB"),
        (fmt.bytes_iec, 1023.6 * 2**20, "1.0 GiB"),
        (fmt.bytes_iec, 139.8 * 2**30, "139.8 GiB"),
        (fmt.bytes_iec, 1.4 * 2**40, "1.4 TiB"),
        (fmt.percent, 0, "0%"),
        (fmt.percent, 0.001, "<1%"),
        (fmt.percent, 0.98, "98%"),
        (fmt.percent, 1.04, "104%"),
        (fmt.age_s, 0.34, "0.3 s"),
        (fmt.age_s, 3.9, "3 s"),
        (fmt.age_s, 125, "2 min"),
        (fmt.age_s, 7200, "2 h"),
        (fmt.age_s, 200_000, "2 d"),
        (fmt.age_s, -0.1, "0.0 s"),
        (fmt.duration_s, 1.84, "1.8 s"),
        (fmt.duration_s, 12.2, "12 s"),
        (fmt.duration_s, 125, "2 min 05 s"),
        (fmt.duration_s, 3840, "1 h 04 min"),
        (fmt.duration_s, 90_000, "1 d 01 h"),
    ],
)
def test_numbers(formatter: Formatter, number: float, text: str) -> None:
    assert formatter(number) == text


@given(st.floats(min_value=0, max_value=1e15))
def test_table_numbers_fit_into_six_cells(number: float) -> None:
    for formatter in (fmt.rate, fmt.count, fmt.batch):
        assert len(formatter(number)) <= 6
    assert len(fmt.latency_us(number / 1e6)) <= 6


@given(st.floats(min_value=0.01, max_value=1e12), st.floats(min_value=0.01, max_value=1e12))
def test_a_larger_rate_never_reads_smaller(one: float, other: float) -> None:
    assert (_value(fmt.rate(one)) <= _value(fmt.rate(other))) or one >= other


def _value(text: str) -> float:
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


def test_clock() -> None:
    assert fmt.clock(1_760_000_000.0, UTC) == "08:53:20"
    assert fmt.clock(1_760_000_000.0, timezone(timedelta(hours=2))) == "10:53:20"
    assert fmt.clock(None) == "--:--:--"
    assert fmt.clock(math.nan) == "--:--:--"
    assert fmt.clock(1e300, UTC) == "--:--:--"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("resnet50", "resnet50"),
        ("日本語", "日本語"),
        ("[bold red]markup[/]", "[bold red]markup[/]"),
        ("\x1b[31mred\x1b[0m", "␛red␛"),
        ("\x9b31mred", "␛red"),
        ("\x1b]0;owned\x07title", "␛title"),
        ("\x1b]8;;http://x\x1b\\link", "␛link"),
        ("\x1bPq#0\x1b\\sixel", "␛sixel"),
        ("\x1b]never ended", "␛]never ended"),
        ("line\nfeed\r\nend\ttab", "line↵feed↵end tab"),
        ("nul\x00bell\x07del\x7f", "nul␛bell␛del␛"),
        ("rtl\u202eevil\u2066\u200f", "rtlevil"),
        ("zero\u200bwidth\ufeff\u00ad", "zerowidth"),
        ("para\u2029line\u2028", "para↵line↵"),
        ("lone\ud800surrogate", "lone\ufffdsurrogate"),
        ("private\ue000", "private\ufffd"),
        ("wide\u3000space", "wide space"),
        ("e\u0301", "e\u0301"),
        ("z" + "\u0300" * 50, "z\u0300\u0300"),
        ("\u0300no base", "no base"),
        ("heart\u2764\ufe0f", "heart\u2764"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert fmt.clean(text) == shown


def test_clean_bounds_what_it_looks_at() -> None:
    assert fmt.clean("x" * 50, 10) == "x" * 9 + "…"
    assert fmt.clean("x" * 10, 10) == "x" * 10
    assert fmt.clean("x", 0) == ""
    assert len(fmt.clean("x" * 64_000_000)) == 20_000


def test_clean_for_ascii() -> None:
    assert fmt.clean("a\nb → 日\x1b[1m", ascii=True) == "a|b > ??"
    assert fmt.clean("x" * 50, 10, ascii=True) == "x" * 9 + "~"


@given(st.text() | st.sampled_from(HOSTILE_NAMES), st.none() | st.integers(0, 40), st.booleans())
def test_clean_text_is_harmless(text: str, limit: int | None, ascii: bool) -> None:
    shown = fmt.clean(text, limit, ascii=ascii)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert limit is None or len(shown) <= limit
    assert not ascii or shown.isascii()
    assert fmt.clean(shown, ascii=ascii) == shown


@given(st.text(), st.integers(-2, 30), st.booleans(), st.booleans())
def test_fit_is_exactly_as_wide_as_asked(text: str, width: int, right: bool, ascii: bool) -> None:
    assert cell_len(fmt.fit(fmt.clean(text), width, right=right, ascii=ascii)) == max(0, width)


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("abc", 0, ""),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日… "),
    ],
)
def test_fit(text: str, width: int, fitted: str) -> None:
    assert fmt.fit(text, width) == fitted


def test_fit_to_the_right_and_in_ascii() -> None:
    assert fmt.fit("7", 3, right=True) == "  7"
    assert fmt.fit("abcdef", 4, ascii=True) == "abc~"


def test_every_glyph_is_one_cell_wide_and_every_state_has_its_own() -> None:
    for glyphs in (UNICODE_GLYPHS, ASCII_GLYPHS):
        assert all(cell_len(getattr(glyphs, field.name)) == 1 for field in fields(glyphs))
        assert len({glyphs.of_model(state) for state in ModelState}) == len(ModelState)
        assert glyphs.of_server(ServerState.READY) != glyphs.of_server(ServerState.UNREACHABLE)
        assert glyphs.of_traffic(TrafficState.RUNNING) != glyphs.of_traffic(TrafficState.FAILED)
    assert all(getattr(ASCII_GLYPHS, field.name).isascii() for field in fields(ASCII_GLYPHS))
