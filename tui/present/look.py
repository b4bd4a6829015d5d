"""What every text on the screen depends on besides the Snapshot: signs, thresholds, clean text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tritop.model import ModelState, ServerState, SourceState
from tritop.settings import Settings, Thresholds
from tui.format import clean
from tui.glyphs import Glyphs, glyphs

__all__ = ["MODEL_TONES", "SERVER_TONES", "SOURCE_TONES", "Look", "look_of"]

MODEL_TONES = {
    ModelState.FAILED: "error",
    ModelState.LOADING: "warn",
    ModelState.UNLOADING: "warn",
    ModelState.UNLOADED: "dim",
    ModelState.UNKNOWN: "dim",
}
"""Look of a model's row; a model that is READY is plain, so that trouble is what stands out."""

SERVER_TONES = {
    ServerState.READY: "ok",
    ServerState.CONNECTING: "warn",
    ServerState.STARTING: "warn",
    ServerState.NOT_READY: "warn",
    ServerState.STOPPING: "warn",
    ServerState.STOPPED: "dim",
}
"""Look of a server's state; what is not listed is an error."""

SOURCE_TONES = {
    SourceState.OK: "ok",
    SourceState.WAITING: "dim",
    SourceState.STALE: "warn",
    SourceState.FAULT: "error",
    SourceState.OFF: "dim",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Characters and thresholds to draw with."""

    ascii: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def glyphs(self) -> Glyphs:
        """The signs."""
        return glyphs(self.ascii)

    def clean(self, text: str, limit: int | None = None) -> str:
        """A server's text made harmless, see `tui.format.clean`."""
        return clean(text, limit, ascii=self.ascii)

    def joined(self, parts: Iterable[str]) -> str:
        """The parts that say anything, with a separator between them."""
        return f" {self.glyphs.separator} ".join(part for part in parts if part)

    def tone_above(self, value: float | None, bounds: tuple[float, float]) -> str:
        """Look of a number against (attention, alarm): "" below both and for unknown."""
        if value is None or value <= bounds[0]:
            return ""
        return "error" if value > bounds[1] else "warn"


def look_of(settings: Settings) -> Look:
    """The look that the settings ask for."""
    return Look(settings.ascii, settings.thresholds)
