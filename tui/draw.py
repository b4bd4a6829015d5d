"""Sparks, bars and areas out of characters. Pure: numbers in, text out, always of the asked width."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SPARK = "▁▂▃▄▅▆▇█"
_SPARK_ASCII = "_.-:=+*#"
_BAR = " ▏▎▍▌▋▊▉█"
_AREA_ASCII = " .:#"
_LEFT_DOTS = (0x00, 0x40, 0x44, 0x46, 0x47)
"""Braille dots of the left half of a cell, filled from the bottom: none, 7, 7-3, 7-3-2, 7-3-2-1."""
_RIGHT_DOTS = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""The same for the right half: none, 8, 8-6, 8-6-5, 8-6-5-4."""
_BRAILLE = 0x2800
_CELLS = [[chr(_BRAILLE + (left | right)) if left | right else " " for right in _RIGHT_DOTS] for left in _LEFT_DOTS]
"""The character for every filling of the left and the right half of a cell."""


def known(values: Sequence[float | None]) -> list[float]:
    """The values that are numbers: neither `None` nor NaN nor infinite."""
    return [value for value in values if value is not None and math.isfinite(value)]


def ceiling(values: Sequence[float | None]) -> float:
    """A round number not below the largest value, for a scale that does not move with every value.

    It is 1, 1.5, 2, 3, 5 or 7.5 times a power of ten, and 1 where nothing is above 0.
    """
    largest = max(known(values), default=0.0)
    if largest < 1e-300:  # below it a power of ten cannot be told from 0
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(factor * power for factor in (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0) if factor * power >= largest)


def spark(values: Sequence[float | None], width: int, *, maximum: float | None = None, ascii: bool = False) -> str:
    """A line of block characters, the newest value at the right edge.

    0 and less is the lowest block, everything above 0 is higher than that, unknown is a gap.

    Args:
        values: oldest first; only the last `width` are drawn.
        width: cells of the result.
        maximum: value of a full block; by default the largest one drawn.
        ascii: draw with ASCII characters.
    """
    if width <= 0:
        return ""
    shown = values[-width:]
    top = maximum if maximum is not None else max(known(shown), default=0.0)
    ramp = _SPARK_ASCII if ascii else _SPARK
    return "".join(_spark_block(value, top, ramp) for value in shown).rjust(width)


def _spark_block(value: float | None, top: float, ramp: str) -> str:
    if value is None or math.isnan(value):
        return " "
    if value <= 0:
        return ramp[0]
    steps = len(ramp) - 1
    return (
        ramp[min(steps, math.ceil(min(1.0, value / top) * steps))] if top > 0 and math.isfinite(value) else ramp[steps]
    )


def bar(ratio: float | None, width: int, *, ascii: bool = False) -> str:
    """A bar from the left, `width` cells with its padding, in eighths of a cell.

    Whatever is above 0 shows at least an eighth; more than 1 is full; unknown is empty.
    """
    if width <= 0:
        return ""
    if ratio is None or math.isnan(ratio) or ratio <= 0:
        return " " * width
    if ascii:
        return ("#" * max(1, round(min(ratio, 1.0) * width))).ljust(width)
    eighths = max(1, round(min(ratio, 1.0) * width * 8))
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BAR[rest] if rest else "")).ljust(width)


def braille_area(values: Sequence[float | None], width: int, height: int, maximum: float | None = None) -> list[str]:
    """A filled area of braille dots: two values a cell across, four levels a cell up.

    The last value is the right half of the last cell; give one unknown value more to shift by
    half a cell. Whatever is above 0 shows at least one dot, unknown is a gap.

    Args:
        values: oldest first; only the last `2 * width` are drawn.
        width: cells across.
        height: lines.
        maximum: value at the top; by default the largest one drawn.

    Returns:
        `height` strings of `width` characters, from top to bottom.
    """
    if width <= 0 or height <= 0:
        return [""] * max(0, height)
    levels = _levels(values[-2 * width :], 4 * height, maximum)
    levels = [0] * (2 * width - len(levels)) + levels
    lines: list[str] = []
    for floor in range(4 * (height - 1), -1, -4):
        # How far each level fills a cell of this line: worked out once for each level, not for each value
        # (70 us instead of 184 for 62 x 4 cells, measured).
        fill = [max(0, min(4, level - floor)) for level in range(4 * height + 1)]
        halves = zip(levels[::2], levels[1::2], strict=True)
        lines.append("".join([_CELLS[fill[left]][fill[right]] for left, right in halves]))
    return lines


def ascii_area(values: Sequence[float | None], width: int, height: int, maximum: float | None = None) -> list[str]:
    """A filled area of ASCII characters: one value a cell across, three levels a cell up; see `braille_area`."""
    if width <= 0 or height <= 0:
        return [""] * max(0, height)
    steps = len(_AREA_ASCII) - 1
    levels = _levels(values[-width:], steps * height, maximum)
    levels = [0] * (width - len(levels)) + levels
    floors = (steps * (height - 1 - line) for line in range(height))
    return ["".join(_AREA_ASCII[max(0, min(steps, level - floor))] for level in levels) for floor in floors]


def _levels(values: Sequence[float | None], top_level: int, maximum: float | None) -> list[int]:
    """The height of each value in steps, 0 for unknown and for nothing."""
    top = maximum if maximum is not None else max(known(values), default=0.0)
    if top <= 0:
        return [top_level if value is not None and value > 0 else 0 for value in values]
    return [
        max(1, round(min(1.0, value / top) * top_level)) if value is not None and value > 0 else 0 for value in values
    ]
