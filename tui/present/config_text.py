"""A model configuration in protobuf text format, as lines."""

from __future__ import annotations

from tritop.model import ModelVersion
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["config_lines"]


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
