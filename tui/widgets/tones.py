"""Tones: the few looks that text may have, the same in every widget and every theme.

| tone | means |
| --- | --- |
| `""` | plain |
| `ok` `warn` `error` | the state that it tells |
| `dim` | secondary, or stale |
| `title` | a heading |
| `accent` | what the eye should find first |
| `key` | a key to press |
| `graph` | drawn data: areas, bars, trends |

A tone is never the only sign of anything: a glyph or a word says the same without colour.
"""

from __future__ import annotations

from rich.style import Style
from textual.widget import Widget

TONES = ("ok", "warn", "error", "dim", "title", "accent", "key", "graph")
"""Every tone but the plain one."""

TONE_CLASSES = frozenset(f"tone--{tone}" for tone in TONES)
"""Component classes of a widget that draws toned text."""

TONE_CSS = """
    & > .tone--ok { color: $text-success; }
    & > .tone--warn { color: $text-warning; }
    & > .tone--error { color: $text-error; text-style: bold; }
    & > .tone--dim { color: $text-muted; }
    & > .tone--title { text-style: bold; }
    & > .tone--accent { color: $text-accent; text-style: bold; }
    & > .tone--key { color: $text-accent; }
    & > .tone--graph { color: $primary; }
    &:ansi > .tone--graph { color: $secondary; }
    &:ansi > .tone--dim { color: $text; text-style: dim; }
"""
"""Belongs inside the rule of such a widget in its DEFAULT_CSS; the sixteen colours have no muted one, hence dim."""


def style_of(widget: Widget, tone: str = "", *components: str) -> Style:
    """The style of toned text on a widget.

    Args:
        widget: whose component classes hold the tones.
        tone: one of TONES, or "".
        components: further component classes of the widget, such as a cursor's, laid under the tone.

    Raises:
        KeyError: the widget has no such component class.
    """
    names = (*components, f"tone--{tone}") if tone else components
    style = widget.get_visual_style(*names).rich_style
    # `get_visual_style` leaves `reverse` out.
    if any(widget.get_component_styles(name).text_style.reverse for name in components):
        style += Style(reverse=True)
    return style
