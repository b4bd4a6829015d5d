"""Pulling an image: the engine's stream of events folded into one PullProgress. Pure but for `stream_pull`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tritop.model import ImageLayer
from tritop.runtimes.docker_errors import pull_failure

_RATE_WINDOW_S = 10.0
_PROGRESS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is."""

    layers: tuple[ImageLayer, ...] = ()
    bytes_per_s: float | None = None
    """Mean over the last ten seconds, while something is downloaded."""
    note: str = ""
    """What the engine says of the pull as a whole."""

    @property
    def done_bytes(self) -> int:
        """Downloaded so far, of the layers whose size is known."""
        return sum(layer.done_bytes for layer in self.layers)

    @property
    def total_bytes(self) -> int | None:
        """Of the layers whose size is known; `None` where that is none of them."""
        known = [layer.total_bytes for layer in self.layers if layer.total_bytes is not None]
        return sum(known) if known else None

    @property
    def layers_done(self) -> int:
        """Layers that are here and unpacked."""
        return sum(layer.complete for layer in self.layers)

    @property
    def seconds_left(self) -> float | None:
        """Until everything is downloaded at this rate; `None` while a layer's size is not known."""
        missing = [layer for layer in self.layers if layer.total_bytes is None and not layer.complete]
        total = self.total_bytes
        if missing or total is None or not self.bytes_per_s:
            return None
        return (total - self.done_bytes) / self.bytes_per_s


@dataclass
class PullFold:
    """Takes the engine's events in and knows how far the pull is."""

    clock: Callable[[], float] = time.monotonic
    _layers: dict[str, ImageLayer] = field(default_factory=dict)
    _marks: list[tuple[float, int]] = field(default_factory=list)
    _note: str = ""

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event of `/images/create` in: status, id, and progressDetail with current and total."""
        status, layer = str(event.get("status", "")), str(event.get("id", ""))
        # The first line bears the tag as its id: "Pulling from nvidia/tritonserver".
        if not layer or status.startswith("Pulling from"):
            self._note = status or self._note
            return
        self._layers[layer] = self._next(self._layers.get(layer, ImageLayer(layer, status)), status, event)
        self._mark()

    def _next(self, layer: ImageLayer, status: str, event: Mapping[str, Any]) -> ImageLayer:
        detail = event.get("progressDetail") or {}
        current, total = detail.get("current"), detail.get("total")
        done_bytes, total_bytes = layer.done_bytes, layer.total_bytes
        if status == "Downloading" and isinstance(current, int):
            total_bytes = total if isinstance(total, int) and total > 0 else total_bytes
            done_bytes = current
        after = ImageLayer(layer.id, status, done_bytes, total_bytes)
        if after.downloaded and total_bytes is not None:
            done_bytes = total_bytes
        return ImageLayer(layer.id, status, done_bytes, total_bytes)

    def _mark(self) -> None:
        now = self.clock()
        self._marks.append((now, sum(layer.done_bytes for layer in self._layers.values())))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_WINDOW_S:
            self._marks.pop(0)

    def progress(self) -> PullProgress:
        """How far the pull is now."""
        rate = None
        if len(self._marks) > 1 and any(layer.status == "Downloading" for layer in self._layers.values()):
            (first_at, first), (last_at, last) = self._marks[0], self._marks[-1]
            rate = (last - first) / (last_at - first_at) if last_at > first_at and last >= first else None
        return PullProgress(tuple(self._layers.values()), rate, self._note)


def stream_pull(events: Iterator[Mapping[str, Any]], image: str, progress: Callable[[PullProgress], None]) -> None:
    """Read a pull to its end.

    Args:
        events: the decoded stream of `/images/create`; it is closed at the end.
        image: its name, for the sentence of an error.
        progress: called a few times a second, in this thread.

    Raises:
        EngineFailure: an event says that the pull failed; the stream itself raises nothing then.
    """
    fold = PullFold()
    told_at = 0.0
    with closing(events):  # type: ignore[type-var]  # a generator, or the SDK's cancellable stream
        for event in events:
            if "error" in event:
                raise pull_failure(str(event["error"]), image)
            fold.take(event)
            if time.monotonic() - told_at >= _PROGRESS_EVERY_S:
                progress(fold.progress())
                told_at = time.monotonic()
    progress(fold.progress())
