"""The signs of the screen, once as Unicode and once as ASCII; each is one cell wide."""

from __future__ import annotations

from dataclasses import dataclass

from tritop.model import ModelState, ServerState, TrafficState


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs. A state has its own sign because colour may be missing."""

    ready: str = "●"
    loading: str = "◐"
    unloading: str = "◌"
    failed: str = "✖"
    unloaded: str = "○"
    unknown: str = "?"
    stale: str = "◷"
    paused: str = "‖"
    cursor: str = "▸"
    mark: str = "◆"
    ascending: str = "▲"
    descending: str = "▼"
    vertical: str = "│"
    horizontal: str = "─"
    separator: str = "·"
    times: str = "×"
    arrow: str = "→"
    ellipsis: str = "…"
    event: str = "┆"
    bar_left: str = "▕"
    bar_right: str = "▏"

    def of_model(self, state: ModelState) -> str:
        """The sign of a model version's state."""
        signs = {
            ModelState.READY: self.ready,
            ModelState.LOADING: self.loading,
            ModelState.UNLOADING: self.unloading,
            ModelState.FAILED: self.failed,
            ModelState.UNLOADED: self.unloaded,
        }
        return signs.get(state, self.unknown)

    def of_server(self, state: ServerState) -> str:
        """The sign of a server's state."""
        signs = {
            ServerState.READY: self.ready,
            ServerState.CONNECTING: self.loading,
            ServerState.STARTING: self.loading,
            ServerState.NOT_READY: self.loading,
            ServerState.UNRESPONSIVE: self.stale,
            ServerState.STOPPING: self.unloading,
            ServerState.STOPPED: self.unloaded,
            ServerState.UNREACHABLE: self.failed,
            ServerState.NOT_TRITON: self.failed,
            ServerState.CRASHED: self.failed,
            ServerState.FAILED: self.failed,
        }
        return signs.get(state, self.unknown)

    def of_traffic(self, state: TrafficState) -> str:
        """The sign of what the traffic generator of a model does."""
        signs = {
            TrafficState.STARTING: self.loading,
            TrafficState.RUNNING: self.ready,
            TrafficState.STOPPING: self.unloading,
            TrafficState.STOPPED: self.unloaded,
            TrafficState.FAILED: self.failed,
        }
        return signs.get(state, self.unknown)


UNICODE_GLYPHS = Glyphs()
ASCII_GLYPHS = Glyphs(
    ready="*",
    loading="~",
    unloading="-",
    failed="X",
    unloaded="o",
    unknown="?",
    stale="!",
    paused="=",
    cursor=">",
    mark="+",
    ascending="^",
    descending="v",
    vertical="|",
    horizontal="-",
    separator="-",
    times="x",
    arrow=">",
    ellipsis="~",
    event=":",
    bar_left="[",
    bar_right="]",
)


def glyphs(ascii: bool) -> Glyphs:
    """The set of signs to draw with."""
    return ASCII_GLYPHS if ascii else UNICODE_GLYPHS
