"""What charts need besides their values: pictures of the numbers, and the trend of a table row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tritop.model import ModelVersion
from tui.draw import ceiling, known, spark
from tui.format import age_s, batch, latency_us, percent, rate
from tui.present.table import compute_us

__all__ = ["Past", "Picture", "pictures", "trend_text"]

TREND_S = 60.0
"""What a trend in the table spans."""


def trend_text(values: Sequence[float], newest: int, interval_s: float, width: int, *, ascii: bool) -> str:
    """The last minute in `width` blocks, the mean of each.

    The blocks keep their samples while time goes on, so that only the last one changes with
    every Snapshot.

    Args:
        values: one for each Snapshot, oldest first; NaN is unknown.
        newest: `seq` of the newest.
        interval_s: seconds between two of them.
        width: cells.
        ascii: draw with ASCII characters.
    """
    size = max(1, round(TREND_S / interval_s / width)) if interval_s > 0 else 1
    in_last = newest % size + 1
    blocks: list[float | None] = []
    end = len(values)
    take = in_last
    while end > 0 and len(blocks) < width:
        part = known(values[max(0, end - take) : end])
        blocks.append(sum(part) / len(part) if part else None)
        end -= take
        take = size
    blocks.reverse()
    return spark(blocks, width, maximum=ceiling(blocks), ascii=ascii)


@dataclass(frozen=True, slots=True)
class Picture:
    """What one chart shows; the fields are the arguments of `tui.widgets.chart.Chart.show`."""

    values: Sequence[float]
    title: str
    value: str
    maximum: float | None
    scale: str
    newest: int
    marks: Sequence[tuple[int, str]] = ()


class Past(Protocol):
    """Where the values of one model are found, up to the Snapshot in view."""

    @property
    def newest(self) -> int:
        """Number of the newest value, counted from the start of the session."""
        ...

    def series(self, server: str, model: ModelVersion, metric: str) -> Sequence[float]:
        """One metric of `tritop.history`, oldest first."""
        ...

    def span_s(self, points: int) -> float:
        """Time that the last `points` values span."""
        ...

    def marks(self, server: str, model: ModelVersion, points: int) -> Sequence[tuple[int, str]]:
        """(index into the last `points` values, sign) of events."""
        ...


def pictures(past: Past, server: str, model: ModelVersion, most: int) -> list[Picture]:
    """The charts of a model, the most telling first; only the first `most` are made."""
    made: list[Picture] = []
    marks: Sequence[tuple[int, str]] = ()
    for title, metric, text, current in (
        ("REQ/s", "requests_per_s", rate, model.requests_per_s),
        ("QUEUE", "queue_us", latency_us, model.queue_us),
        ("BATCH", "batch_avg", batch, model.batch_avg),
        ("COMPUTE", "compute_us", latency_us, compute_us(model)),
        ("BUSY", "busy_ratio", percent, model.busy_ratio),
    )[:most]:
        values = past.series(server, model, metric)
        top = 1.0 if metric == "busy_ratio" else ceiling(values)
        scale = f"last {age_s(past.span_s(len(values)))}, top {text(top)}" if len(values) > 1 else ""
        if not made or len(made[0].values) != len(values):
            marks = past.marks(server, model, len(values))
        made.append(Picture(values, title, text(current), top, scale, past.newest, marks))
    return made
