"""A model configuration in protobuf text format, as lines."""

from __future__ import annotations

import re

from tritop.change import Problem
from tritop.model import ModelVersion
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["config_lines", "escaped", "line_of"]

_PLACE = re.compile(r"\b(\d{1,7}):(\d{1,7})\b")
_LINE = re.compile(r"\bline (\d{1,7})\b")


def config_lines(model: ModelVersion, look: Look) -> list[Line]:
    """A heading, then the text line by line; field names stand back behind their values."""
    if model.config is None or not model.config.pbtxt:
        return []
    name = f"{look.clean(model.name, 100)} {look.clean(model.version, 12)}".strip()
    lines: list[Line] = [((f"{name}: the configuration as the server runs it", "title"),), ()]
    return lines + [_line(text, look) for text in model.config.pbtxt.splitlines()]


def _line(text: str, look: Look) -> Line:
    cleaned = look.clean(text.rstrip(), 2000)
    if cleaned.lstrip().startswith("#"):
        return ((cleaned, "dim"),)
    field, colon, value = cleaned.partition(": ")
    return ((field + colon, "dim"), (value, "")) if colon else ((cleaned, "dim"),)


def escaped(pbtxt: str) -> str:
    """The same configuration with every character that must not reach a terminal as octal escapes of its UTF-8.

    Protobuf's text format reads `\\302\\233` in a string as those two bytes, and only strings can
    hold such characters.
    """
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "replace"))
        for character in pbtxt
    )


def line_of(problem: Problem, text: str) -> int | None:
    """The line that a problem is about, from 0: what a parser names, or where its field stands."""
    place = _PLACE.search(problem.sentence) or _LINE.search(problem.sentence)
    lines = text.splitlines()
    if place is not None and 1 <= int(place[1]) <= len(lines):
        return int(place[1]) - 1
    field = re.split(r"[.\[]", problem.path)[-1].rstrip("]") if problem.path else ""
    words = [word for word in (problem.path.rsplit(".", 1)[-1].partition("[")[0], field) if word]
    return next((number for word in words for number, line in enumerate(lines) if word in line), None)
