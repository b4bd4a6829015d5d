"""Themes: dark, light, and the terminal's own sixteen colours."""

from __future__ import annotations

from textual.theme import Theme

__all__ = ["THEMES", "theme_name"]

DARK = Theme(
    name="dark",
    primary="#5f87cf",
    secondary="#89b4c8",
    accent="#7dcfff",
    success="#7fbf7f",
    warning="#e6b450",
    error="#ff6b6b",
    foreground="#d5dae4",
    background="#0e1116",
    surface="#0e1116",
    panel="#1b212b",
    boost="#1b212b",
    dark=True,
    variables={"block-cursor-background": "#26324a", "block-cursor-foreground": "#f2f5fa"},
)
LIGHT = Theme(
    name="light",
    primary="#1f5fbf",
    secondary="#2f6f86",
    accent="#00689c",
    success="#1f7a33",
    warning="#8f5a00",
    error="#c01f2e",
    foreground="#20262e",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#eceeea",
    boost="#eceeea",
    dark=False,
    variables={"block-cursor-background": "#cfe0f7", "block-cursor-foreground": "#10151b"},
)
THEMES = (DARK, LIGHT)
"""Ours; Textual's own, `ansi-dark` and `ansi-light` among them, can be named too."""

_SHORT_NAMES = {"ansi": "ansi-dark", "16": "ansi-dark"}


def theme_name(wanted: str | None, available: set[str], color_system: str | None) -> str:
    """The theme to begin with.

    Args:
        wanted: what the settings name; `None` lets the terminal decide.
        available: names of all registered themes.
        color_system: Rich's name of what the terminal can do: truecolor, 256, standard or `None` (nothing to see).

    Returns:
        The wanted one where there is such a theme; otherwise `dark`, and on a terminal of
        sixteen colours `ansi-dark`, which keeps to the colours that its owner chose.
    """
    if wanted is not None:
        name = _SHORT_NAMES.get(wanted, wanted)
        if name in available:
            return name
    return "ansi-dark" if color_system == "standard" else "dark"
