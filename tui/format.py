"""Numbers and server text as the screen writes them. Pure: no widget, no clock, no colour.

Every number is rounded to what a reader can use, so that a steady value keeps its text and its
line is not painted again. Unknown, which is `None`, NaN or infinite, is `--` and never looks
like 0. What is drawn out of characters (`tui.draw`, `tui.glyphs`) can be had from here as well.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import TypeGuard

from rich.cells import cell_len, get_character_cell_size

from tui.draw import ascii_area, bar, braille_area, ceiling, spark
from tui.glyphs import ASCII_GLYPHS, UNICODE_GLYPHS, Glyphs, glyphs

__all__ = [
    "ASCII_GLYPHS", "UNICODE_GLYPHS", "UNKNOWN", "Glyphs", "age_s", "ascii_area", "bar", "batch", "braille_area",
    "bytes_iec", "ceiling", "clean", "clock", "count", "duration_s", "fit", "glyphs", "latency_us", "percent", "rate",
    "spark",
]  # fmt: skip

UNKNOWN = "--"
"""What stands where nothing is known."""


def _known(number: float | None) -> TypeGuard[float]:
    return number is not None and math.isfinite(number)


def rate(per_s: float | None) -> str:
    """Events per second: `0`, `0.02`, `12.3`, `1512.3`, `12.3k`, `1.2M`; six cells at most."""
    if not _known(per_s):
        return UNKNOWN
    size = abs(per_s)
    if size == 0:
        return "0"
    if size < 0.095:
        return f"{per_s:.2f}" if size >= 0.005 else "<0.01"
    return f"{per_s:.1f}" if size < 9999.95 else _thousands(per_s)


def count(number: float | None) -> str:
    """A number of things: `0`, `31`, `9999`, `12.3k`, `1.2M`; six cells at most."""
    if not _known(number):
        return UNKNOWN
    return f"{number:.0f}" if abs(number) < 9999.5 else _thousands(number)


def batch(size: float | None) -> str:
    """An average batch size: `1.0`, `12.4`, `128`."""
    if not _known(size):
        return UNKNOWN
    return f"{size:.1f}" if size < 99.95 else count(size)


def _thousands(number: float) -> str:
    for divisor, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G")):
        scaled = number / divisor
        if abs(scaled) < 99.95:
            return f"{scaled:.1f}{unit}"
        if abs(scaled) < 999.5:
            return f"{scaled:.0f}{unit}"
    return f"{number:.0e}".replace("e+", "e")


def latency_us(us: float | None) -> str:
    """A latency given in microseconds: `0us`, `820us`, `4.1ms`, `214ms`, `1.25s`, `12min`; six cells at most."""
    if not _known(us):
        return UNKNOWN
    if us < 999.5:
        return f"{us:.0f}us"
    ms = us / 1e3
    if ms < 999.5:
        return f"{ms:.1f}ms" if ms < 99.95 else f"{ms:.0f}ms"
    s = us / 1e6
    for below, decimals in ((9.995, 2), (99.95, 1), (599.5, 0)):
        if s < below:
            return f"{s:.{decimals}f}s"
    return f"{s / 60:.0f}min" if s < 59_970 else f"{s / 3600:.0f}h"


def bytes_iec(number: float | None) -> str:
    """Bytes with binary units (IEC 80000-13): `0 B`, `640 KiB`, `22.0 GiB`, `1.4 TiB`."""
    if not _known(number):
        return UNKNOWN
    scaled, unit = number, "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if scaled < 1023.5:
            break
        scaled, unit = scaled / 1024, larger
    return f"{scaled:.0f} {unit}" if unit in ("B", "KiB", "MiB") else f"{scaled:.1f} {unit}"


def percent(ratio: float | None) -> str:
    """A ratio of 1 as whole percent: `0%`, `<1%`, `98%`, `104%`."""
    if not _known(ratio):
        return UNKNOWN
    if 0 < ratio < 0.005:
        return "<1%"
    return f"{ratio * 100:.0f}%"


def age_s(seconds: float | None) -> str:
    """How old something is, in one unit, rounded down: `0.3 s`, `3 s`, `2 min`, `5 h`, `3 d`."""
    if not _known(seconds):
        return UNKNOWN
    if seconds < 1:
        return f"{max(0, math.floor(seconds * 10)) / 10:.1f} s"
    for unit_s, below_s, unit in ((1, 120, "s"), (60, 7200, "min"), (3600, 172_800, "h")):
        if seconds < below_s:
            return f"{math.floor(seconds / unit_s)} {unit}"
    return f"{math.floor(seconds / 86_400)} d"


def duration_s(seconds: float | None) -> str:
    """How long something takes, in two units: `0.4 s`, `12 s`, `2 min 05 s`, `1 h 04 min`, `3 d 02 h`."""
    if not _known(seconds):
        return UNKNOWN
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for large_s, small_s, below_s, large, small in ((60, 1, 3600, "min", "s"), (3600, 60, 86_400, "h", "min")):
        if whole < below_s:
            return f"{whole // large_s} {large} {whole % large_s // small_s:02d} {small}"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def clock(at: float | None, tz: tzinfo | None = None) -> str:
    """Wall time [s since the epoch] as `12:22:03`, by default in the local time zone."""
    if not _known(at):
        return "--:--:--"
    try:
        return datetime.fromtimestamp(at, tz).strftime("%H:%M:%S")
    except (OverflowError, OSError, ValueError):  # beyond what the platform's calendar holds
        return "--:--:--"


_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
)
"""Complete control sequences of ECMA-48: CSI (section 5.4), which colours and moves; and OSC, DCS, SOS, PM and
APC (5.6) with their text, ended by ST or, as xterm allows, by BEL."""
_NEWLINE = "↵"
_CONTROL = "␛"
"""Stands for a whole control sequence, and for one control character."""
_ODD = "\ufffd"
"""Stands for what has no agreed look: surrogates, private and unassigned characters."""
_CLEAN_LIMIT = 20_000
"""A terminal shows fewer characters than this; more of one text is never worth the time."""


def clean(text: str, limit: int | None = None, *, ascii: bool = False) -> str:
    """Make text from a server harmless: one line, no control character, no hidden or turning characters.

    A control sequence becomes one `␛`, so that two names that differ only in their sequences
    still do not look like plain ones; a newline becomes `↵`; zero-width, bidirectional and other
    format characters (Unicode category Cf, UAX #9 and UTR #36) are left out; a stack of combining
    marks is cut to two.

    Args:
        text: anything.
        limit: characters of the result at most; the last is an ellipsis where text was cut off.
        ascii: draw everything beyond ASCII as `?`.
    """
    bound = _CLEAN_LIMIT if limit is None else min(limit, _CLEAN_LIMIT)
    cut = len(text) > bound
    if cut:
        text = text[: max(0, bound - 1)]
    if not (text.isascii() and text.isprintable()):
        text = _neutral(text)
    if cut and bound > 0:
        text += "…"
    return _as_ascii(text) if ascii else text


@lru_cache(maxsize=2048)
def _neutral(text: str) -> str:
    text = _SEQUENCE.sub("\x1b", text).replace("\r\n", "\n")
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me"):
            marks += 1
            if marks > 2 or not out or unicodedata.name(character, "").startswith("VARIATION SELECTOR"):
                continue
        elif category != "Cf":
            marks = 0
        out.append(_SUBSTITUTES.get(character) or _OF_CATEGORY.get(category, character))
    return "".join(out)


_SUBSTITUTES = {"\n": _NEWLINE, "\r": _NEWLINE, "\v": _NEWLINE, "\f": _NEWLINE, "\x85": _NEWLINE, "\t": " "}
_OF_CATEGORY = {
    "Cc": _CONTROL,
    "Cf": "",
    "Cs": _ODD,
    "Co": _ODD,
    "Cn": _ODD,
    "Zl": _NEWLINE,
    "Zp": _NEWLINE,
    "Zs": " ",
}
_ASCII_LOOKS = str.maketrans({_NEWLINE: "|", "…": "~", "·": "-", "×": "x", "→": ">", "─": "-", "│": "|"})


def _as_ascii(text: str) -> str:
    return text if text.isascii() else text.translate(_ASCII_LOOKS).encode("ascii", "replace").decode("ascii")


def fit(text: str, width: int, *, right: bool = False, ascii: bool = False) -> str:
    """Make clean text exactly `width` cells wide: padded with spaces, or cut and ended by an ellipsis.

    Wide characters (East Asian, emoji) count for two cells; one that would straddle the edge
    gives way to a space.

    Args:
        text: clean text, see `clean`.
        width: cells, 0 and less give "".
        right: pad on the left.
        ascii: end in `~` instead of `…`.
    """
    if width <= 0:
        return ""
    taken = cell_len(text)
    if taken > width:
        text = _cut(text, width - 1) + ("~" if ascii else "…")
        taken = cell_len(text)
    padding = " " * (width - taken)
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> str:
    """The longest beginning of `text` that is at most `width` cells wide."""
    taken = 0
    for index, character in enumerate(text):
        taken += get_character_cell_size(character)
        if taken > width:
            return text[:index]
    return text
