"""What must be in the environment before textual is imported, because it reads it only then."""

from __future__ import annotations

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
