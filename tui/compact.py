"""The same picture in fewer bytes: drops what a terminal already knows from what Textual writes.

Textual gives every piece of text its whole style and a reset after it, about forty bytes, and
moves the cursor to places where it then writes nothing. On a table of numbers that is more than
half of everything sent (measured). Each write is still complete in itself: it begins and ends
with the default style, so nothing depends on what was written before it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile(r"\x1b\[([0-9;]*)m|(\x1b\[[0-9;]*H)")
"""SGR and CUP of ECMA-48, sections 8.3.117 and 8.3.21; everything else is passed on as it is."""


class Look(NamedTuple):
    """Colours and attributes, as the SGR parameters that switch them on."""

    foreground: str = ""
    background: str = ""
    flags: frozenset[int] = frozenset()


DEFAULT = Look()
_FLAGS = (1, 2, 3, 4, 5, 7, 8, 9)
_OFF = {1: 22, 2: 22, 3: 23, 4: 24, 5: 25, 7: 27, 8: 28, 9: 29}
_SEEN_ON_SPACES = frozenset({4, 5, 7, 9})
"""Underline, blink, reverse and strike-through show on a space, where the foreground does not."""


def compact(data: str) -> str:
    """Write the same cells with the same looks, and leave the cursor at the same place."""
    writing = _Writing()
    end = 0
    for token in _TOKEN.finditer(data):
        writing.text(data[end : token.start()])
        if token[2]:
            writing.move(token[2])
        else:
            writing.switch(token[0], token[1])
        end = token.end()
    writing.text(data[end:])
    compacted = writing.finish()
    # Very few writes are best as they are.
    return compacted if len(compacted) < len(data) else data


class _Writing:
    """One write: what was sent so far, and what is only sent once something needs it."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._sent: Look | None = DEFAULT
        """The look in force at the terminal, `None` where it is unknown."""
        self._wanted: Look | None = DEFAULT
        self._moves = ""

    def text(self, text: str) -> None:
        """Text, or a sequence other than SGR and CUP, which finds the look that it should find."""
        if text == "\n":
            self._moves += text
        elif text:
            self._out.append(self._moves)
            self._moves = ""
            self._show(blank=text.isspace())
            self._out.append(text)

    def move(self, token: str) -> None:
        """Go to a place; where the cursor was meant to go before does not matter any more."""
        self._moves = token

    def switch(self, token: str, parameters: str) -> None:
        """Change the look."""
        fresh = parameters in ("", "0") or parameters.startswith("0;")
        looks = None if self._wanted is None and not fresh else applied(self._wanted or DEFAULT, parameters)
        if looks is None:  # not understood: passed on until the next reset
            self._show(blank=False)
            self._out.append(token)
            self._sent = None
        self._wanted = looks

    def finish(self) -> str:
        """What to send in all."""
        self._show(blank=False)
        return "".join(self._out) + self._moves

    def _show(self, *, blank: bool) -> None:
        """Switch to the wanted look, as far as the next text shows it: of a blank only the background is seen."""
        sent, wanted = self._sent, self._wanted
        if wanted is None:
            return
        if blank and sent is not None and not (sent.flags | wanted.flags) & _SEEN_ON_SPACES:
            wanted = sent._replace(background=wanted.background)
        if sent != wanted:
            self._out.append(_difference(sent, wanted))
            self._sent = wanted


@lru_cache(maxsize=4096)
def _difference(sent: Look | None, wanted: Look) -> str:
    """The shortest SGR from one look to another one."""
    whole = ["0", *map(str, sorted(wanted.flags)), wanted.foreground, wanted.background]
    afresh = ";".join(code for code in whole if code)
    if sent is None:
        return f"\x1b[{afresh}m"
    off = sorted({_OFF[flag] for flag in sent.flags - wanted.flags})
    on = sorted(flag for flag in wanted.flags if flag not in sent.flags or _OFF[flag] in off)
    codes = [str(code) for code in (*off, *on)]
    if sent.foreground != wanted.foreground:
        codes.append(wanted.foreground or "39")
    if sent.background != wanted.background:
        codes.append(wanted.background or "49")
    return f"\x1b[{min(';'.join(codes), afresh, key=len)}m"


@lru_cache(maxsize=4096)
def applied(look: Look, parameters: str) -> Look | None:
    """The look after an SGR with these parameters; `None` where one of them is not known here."""
    codes = parameters.split(";")
    foreground, background, flags = look
    index = 0
    while index < len(codes):
        code = codes[index] or "0"
        taken = 1
        number = int(code)
        if number == 0:
            foreground, background, flags = DEFAULT
        elif number in _FLAGS:
            flags |= {number}
        elif number in _OFF.values():
            flags -= {flag for flag, off in _OFF.items() if off == number}
        elif number in (38, 48):
            taken = {"2": 5, "5": 3}.get(codes[index + 1] if index + 1 < len(codes) else "", 0)
            colour = codes[index : index + taken]
            if taken == 0 or len(colour) < taken or "" in colour:
                return None
            foreground, background = _coloured(number == 38, ";".join(colour), foreground, background)
        elif number in (39, 49):
            foreground, background = _coloured(number == 39, "", foreground, background)
        elif number in range(30, 38) or number in range(90, 98):
            foreground = code
        elif number in range(40, 48) or number in range(100, 108):
            background = code
        else:
            return None
        index += taken
    return Look(foreground, background, flags)


def _coloured(front: bool, colour: str, foreground: str, background: str) -> tuple[str, str]:
    return (colour, background) if front else (foreground, colour)
