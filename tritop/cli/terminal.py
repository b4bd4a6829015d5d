"""What must be arranged before a screen is drawn."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping

from tritop.settings import Settings


def prepare_environment(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Set textual's variables from the settings; what the operator set there already stays.

    Over SSH: ten frames a second, no animation and no smooth scrolling, because each of their
    frames would queue behind the numbers.
    """
    wanted = {"TEXTUAL_ANIMATIONS": "none"}
    if settings.low_bandwidth:
        wanted |= {"TEXTUAL_FPS": "10", "TEXTUAL_SMOOTH_SCROLL": "0"}
    if settings.theme is not None and settings.theme.startswith(("ansi", "16")):
        wanted["TEXTUAL_COLOR_SYSTEM"] = "standard"
    for variable, value in wanted.items():
        environ.setdefault(variable, value)
    if not settings.color:
        environ["NO_COLOR"] = "1"


def keep_logging_off_the_screen() -> None:
    """Give Python's log records somewhere to go that is not the terminal.

    Without any handler the standard library writes warnings (asyncio's about a child that
    somebody else has reaped, say) to stderr, in the middle of the picture.
    """
    logging.getLogger().addHandler(logging.NullHandler())
