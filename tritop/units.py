"""Quantities as people write them: `2ms`, `4,8`, `latest:2`, `on`. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from tritop.change import VersionChoice
from tritop.errors import UsageError

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|μs|ms|s|min)?")
_US = {"us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000}


def parse_us(text: str, what: str) -> int:
    """A duration in whole microseconds, from `500us`, `2ms`, `1.5s` or `1min`; only 0 needs no unit.

    Raises:
        UsageError: it has no unit, or is finer than a microsecond.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or (match[2] is None and Decimal(match[1]) != 0):
        raise UsageError(f"{what} {text!r} is no duration.", "Write it with its unit: 500us, 2ms or 1s.")
    value_us = Decimal(match[1]) * _US[match[2] or "us"]
    if value_us != int(value_us):
        raise UsageError(f"{what} {text!r} is finer than a microsecond.", "Triton counts in whole microseconds.")
    return int(value_us)


def parse_seconds(text: str, what: str) -> float:
    """A duration in seconds; written like that of `parse_us`."""
    return parse_us(text, what) / 1e6


def parse_numbers(text: str, what: str) -> tuple[int, ...]:
    """Whole numbers separated by commas; `none` is none of them.

    Raises:
        UsageError: something else stands there.
    """
    if text == "none":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"{what} {text!r} is no list of numbers.", "Write 4,8 or none.")
    return tuple(int(part) for part in parts)


def parse_versions(text: str) -> VersionChoice:
    """A choice of versions: `latest:2`, `all`, or numbers such as `1,3`.

    Raises:
        UsageError: it is none of these.
    """
    if text == "all":
        return VersionChoice(all=True)
    kind, colon, number = text.partition(":")
    if kind == "latest":
        if (colon and not number.isdecimal()) or number == "0":
            raise UsageError(f"{text!r} does not say how many versions.", "Write latest:2.")
        return VersionChoice(latest=int(number or 1))
    numbers = parse_numbers(text, "the choice of versions")
    if not numbers:
        raise UsageError("a model cannot serve no version at all.", "Unload it: tritop unload MODEL.")
    return VersionChoice(specific=tuple(sorted(set(numbers))))


def parse_switch(text: str, what: str) -> bool:
    """`on` or `off`.

    Raises:
        UsageError: it is neither.
    """
    if text not in {"on", "off"}:
        raise UsageError(f"{what} {text!r} is neither on nor off.")
    return text == "on"


def size(count_bytes: int | None) -> str:
    """Bytes in the binary unit that suits them."""
    if count_bytes is None:
        return "--"
    value = float(count_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
