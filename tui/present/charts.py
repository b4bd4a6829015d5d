"""What charts need besides their values: a round scale, and the trend of a table row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritop.model import ModelVersion
from tui.draw import known, spark
from tui.format import batch, latency_us, percent, rate
from tui.present.table import compute_us

__all__ = ["Picture", "pictures", "scale_top", "trend_text"]

TREND_S = 60.0
"""What a trend in the table spans."""


def scale_top(values: Sequence[float]) -> float | None:
    """The next round number (1, 1.5, 2, 3, 5, 7.5 times a power of ten) at or above every value.

    A scale that moves only in steps keeps the picture still while the peak wobbles.

    Returns:
        The top of the chart, `None` where nothing is known or all is 0.
    """
    peak = max(known(values), default=0.0)
    if peak <= 0:
        return None
    power = 10.0 ** math.floor(math.log10(peak))
    for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0):
        if peak <= step * power * (1 + 1e-9):
            return step * power
    return 10.0 * power


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
    return spark(blocks, width, ascii=ascii)


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
    tone: str = ""


def pictures(
    series: Callable[[str], Sequence[float]],
    model: ModelVersion,
    newest: int,
    marks: Sequence[tuple[int, str]] = (),
    most: int = 4,
) -> list[Picture]:
    """The charts of a model, the most telling first; only the first `most` are made.

    Args:
        series: metric of `tritop.history` -> its values.
        model: gives the current values.
        newest: `seq` of the newest value.
        marks: (index, sign) of events.
        most: how many there is room for.
    """
    made: list[Picture] = []
    for title, metric, text, current, tone in (
        ("REQ/s", "requests_per_s", rate, model.requests_per_s, ""),
        ("QUEUE", "queue_us", latency_us, model.queue_us, "warn"),
        ("COMPUTE", "compute_us", latency_us, compute_us(model), ""),
        ("BATCH", "batch_avg", batch, model.batch_avg, ""),
        ("BUSY", "busy_ratio", percent, model.busy_ratio, ""),
    )[:most]:
        values = series(metric)
        top = 1.0 if metric == "busy_ratio" else scale_top(values)
        made.append(Picture(values, title, text(current), top, text(top) if top else "", newest, marks, tone))
    return made
