"""Making a raw line readable and harmless."""

from __future__ import annotations

import re

LINE_CHARACTERS = 8192
"""A longer line is cut: no terminal shows more of it, and stray megabytes must not be kept by the thousand."""

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
"""Control sequences of ECMA-48 (5.4 and 5.6) and the two-character ones of ISO 2022, complete or cut off."""


def clean_line(text: str) -> str:
    """A line without escape sequences and control characters, of at most `LINE_CHARACTERS` and its count of the rest.

    A progress bar, which returns to the start of its line again and again, ends as it last looked.
    """
    cut = len(text) - LINE_CHARACTERS
    if cut > 0:
        text = text[:LINE_CHARACTERS]
    if not text.isprintable():
        text = _harmless(text)
    return f"{text} … {cut} more characters" if cut > 0 else text


def _harmless(text: str) -> str:
    text = _SEQUENCE.sub("", text)
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    text = text.replace("\t", "    ")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _visible(character) for character in text)


def _visible(character: str) -> str:
    return " " if character.isspace() else "�"
