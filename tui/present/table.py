"""The table of every model of every server: its columns, and one row for each model version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritop.model import ModelState, ModelVersion, Origin, Server, Snapshot, Traffic
from tui.format import UNKNOWN, batch, count, latency_us, percent, rate
from tui.present.filtering import RowKey, Subject
from tui.present.look import MODEL_TONES, SERVER_TONES, Look
from tui.present.traffic import TrafficIndex, index_traffic, runs
from tui.present.verdicts import why, why_tone
from tui.widgets.line_table import Column, Row

__all__ = ["RowMaker", "columns_for", "subjects_of"]

Trend = Callable[[str, ModelVersion], str]
"""(server, model version) -> the last minute of requests/s, drawn."""
TREND_WIDTH = 10
PLAIN_P99 = "P99"
"""Title of the column while its numbers are of several origins."""

_COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        Column("server", "SERVER", 8, right=False, priority=2),
        Column("model", "MODEL", 12, right=False),
        Column("version", "VER", 3, priority=3),
        Column("state", "STATE", 7, right=False, priority=1),
        Column("requests", "REQ/s", 7),
        Column("failures", "FAIL/s", 6, priority=4),
        Column("batch", "BATCH", 5, priority=5),
        Column("queue", "QUEUE", 6, priority=1),
        Column("compute", "COMPUTE", 7, priority=7),
        Column("p99", PLAIN_P99, 8, priority=6),
        Column("pending", "PEND", 5, priority=8),
        Column("busy", "BUSY", 5, priority=5),
        Column("trend", "TREND", TREND_WIDTH, right=False, priority=9),
        Column("traffic", "TRAFFIC", 7, right=False, priority=6),
        Column("why", "WHY", 16, right=False, priority=3, flex=True),
    )
}
MODEL_WIDTH_MOST = 32
SIGNS_ONLY_BELOW = 60
"""Cells of a terminal below which the state is only its sign."""
COLUMN_KEYS = tuple(_COLUMNS)


def subjects_of(snapshot: Snapshot) -> list[Subject]:
    """One subject for each model version, in the servers' order; one for a server that has none.

    A single server without models has no row: the table's empty text speaks for it.
    """
    subjects: list[Subject] = []
    for server in snapshot.servers:
        subjects += [Subject(server, model) for model in server.models]
        if not server.models and len(snapshot.servers) > 1:
            subjects.append(Subject(server, None))
    return subjects


def columns_for(snapshot: Snapshot, look: Look, width: int, wanted: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of the table, wide enough for the names and states that it holds now.

    Args:
        snapshot: what is shown.
        look: characters to draw with.
        width: cells of the terminal; bounds the column of names.
        wanted: keys of columns that the operator chose, in order; empty is all that make sense.
    """
    models = [model for server in snapshot.servers for model in server.models]
    longest = max((len(model.name) for model in models), default=0)
    states = {str(model.state) for model in models} | {"READY"}
    several = len(snapshot.servers) > 1
    if several:
        states |= {str(server.state) for server in snapshot.servers if not server.models}
    widths = {
        "model": min(max(longest, 8), MODEL_WIDTH_MOST, max(8, width // 5)),
        "state": 1 if width < SIGNS_ONLY_BELOW else 2 + max(len(state) for state in states),
        "server": min(max((len(server.name) for server in snapshot.servers), default=6), 18),
        "version": max(3, min(max((len(model.version) for model in models), default=3), 6)),
    }
    keys = [key for key in wanted if key in _COLUMNS] or list(_COLUMNS)
    if not wanted:
        hidden = {"server"} if not several else set()
        if not snapshot.traffic:
            hidden.add("traffic")
        keys = [key for key in keys if key not in hidden]
    titles = {"p99": _p99_title(models)} | ({"state": "S"} if width < SIGNS_ONLY_BELOW else {})
    return tuple(
        Column(
            column.key,
            titles.get(column.key, column.title),
            widths.get(column.key, column.width),
            column.right,
            column.priority,
            column.flex,
        )
        for column in (_COLUMNS[key] for key in keys)
    )


_ORIGIN_SIGNS = {Origin.QUANTILE_60S: "q", Origin.HISTOGRAM: "h", Origin.CLIENT: "c", Origin.MEAN: "m"}
_ORIGIN_TITLES = {Origin.QUANTILE_60S: "60s", Origin.HISTOGRAM: "hist", Origin.CLIENT: "cli", Origin.MEAN: "mean"}


def _origins(models: Sequence[ModelVersion]) -> set[Origin]:
    return {model.p99_origin for model in models if model.p99_origin is not None and model.p99_us is not None}


def _p99_title(models: Sequence[ModelVersion]) -> str:
    """`P99 60s` while every quantile has one origin; with several, each number carries a letter."""
    origins = _origins(models)
    return f"P99 {_ORIGIN_TITLES[next(iter(origins))]}" if len(origins) == 1 else PLAIN_P99


def traffic_text(traffic: Traffic | None, look: Look) -> str:
    """`×32` in flight, `200/s` as scheduled, with ` !` where the client is the limit."""
    if traffic is None or (not runs(traffic) and not traffic.fault):
        return ""
    if not runs(traffic):
        return f"{look.glyphs.failed} failed"
    if traffic.concurrency is not None:
        text = f"{look.glyphs.times}{traffic.concurrency}"
    elif traffic.rate_per_s is not None:
        text = f"{rate(traffic.rate_per_s)}/s"
    else:
        text = look.glyphs.of_traffic(traffic.state)
    return f"{text} !" if traffic.client_bound else text


def compute_us(model: ModelVersion) -> float | None:
    """Mean time of one request in compute input, infer and output together; `None` where none is known."""
    parts = [model.compute_input_us, model.compute_infer_us, model.compute_output_us]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class _Made:
    """A row and what it was made from, to make it again only when that changed."""

    model: ModelVersion
    traffic: Traffic | None
    trend: str
    row: Row


class RowMaker:
    """Makes the rows of the table; a row whose model did not change is the same object again.

    Args:
        look: characters and thresholds.
        trend: draws the last minute of a model.
    """

    def __init__(self, look: Look, trend: Trend) -> None:
        self._look = look
        self._trend = trend
        self._columns: tuple[Column, ...] = ()
        self._mixed_origins = False
        self._made: dict[RowKey, _Made] = {}

    def rows(
        self, subjects: Sequence[Subject], columns: Sequence[Column], snapshot: Snapshot, window: range
    ) -> list[Row]:
        """One row for each subject, cells in the order of `columns`.

        Args:
            subjects: every row, in order.
            columns: the columns.
            snapshot: where our traffic is found.
            window: places that are in view or near it; a row outside has no cells, which saves
                drawing a thousand rows for the forty that are seen.
        """
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._mixed_origins = any(column.title == PLAIN_P99 for column in columns)
            self._made.clear()
        traffic = index_traffic(snapshot) if snapshot.traffic else {}
        rows: list[Row] = []
        made: dict[RowKey, _Made] = {}
        for place, subject in enumerate(subjects):
            if place not in window:
                rows.append(Row(subject.key, ()))
            elif subject.model is None:
                rows.append(self._server_row(subject.server))
            else:
                entry = made[subject.key] = self._entry(subject.server, subject.model, traffic)
                rows.append(entry.row)
        self._made = made
        return rows

    def _entry(self, server: Server, model: ModelVersion, traffic: TrafficIndex) -> _Made:
        """The row of a model version: the one made before where nothing changed."""
        key = (server.name, model.name, model.version)
        ours = traffic.get(key)
        trend = self._trend(server.name, model)
        entry = self._made.get(key)
        if entry is not None and entry.model is model and (entry.traffic, entry.trend) == (ours, trend):
            return entry
        return _Made(model, ours, trend, self._model_row(server, model, ours, trend))

    def _model_row(self, server: Server, model: ModelVersion, ours: Traffic | None, trend: str) -> Row:
        look = self._look
        p99 = latency_us(model.p99_us)
        if model.p99_origin is not None and p99 != UNKNOWN and self._mixed_origins:
            p99 += " " + _ORIGIN_SIGNS[model.p99_origin]
        cells = {
            "server": look.clean(server.name, 40),
            "model": look.clean(model.name, 80) or "(no name)",
            "version": look.clean(model.version, 12) or "-",
            "state": f"{look.glyphs.of_model(model.state)} {model.state}",
            "requests": rate(model.requests_per_s),
            "failures": rate(model.failures_per_s),
            "batch": batch(model.batch_avg),
            "queue": latency_us(model.queue_us),
            "compute": latency_us(compute_us(model)),
            "p99": p99,
            "pending": count(model.pending),
            "busy": percent(model.busy_ratio),
            "trend": trend,
            "traffic": traffic_text(ours, look),
            "why": look.clean(why(model), 200),
        }
        tone = MODEL_TONES.get(model.state, "")
        if not tone and model.age_s is not None:
            tone = "dim"
        accents = self._accents(model, ours) if tone != "dim" else ()
        key = (server.name, model.name, model.version)
        return Row(key, tuple(cells[column.key] for column in self._columns), tone, accents)

    def _accents(self, model: ModelVersion, ours: Traffic | None) -> tuple[tuple[str, str], ...]:
        """Cells beyond a threshold, so that what is slow is found without reading."""
        look, thresholds = self._look, self._look.thresholds
        tones = {
            "failures": look.tone_above(model.failures_per_s, thresholds.failures_per_s),
            "queue": look.tone_above(model.queue_us, thresholds.queue_us),
            "pending": look.tone_above(model.pending, thresholds.pending),
            "busy": look.tone_above(model.busy_ratio, thresholds.busy_ratio),
            "traffic": "warn" if ours is not None and (ours.client_bound or ours.fault) else "",
            "why": why_tone(model.verdict) if model.state is ModelState.READY else "",
            "trend": "graph",
        }
        return tuple((key, tone) for key, tone in tones.items() if tone)

    def _server_row(self, server: Server) -> Row:
        """The row of a server that has no models, so that each server is in the table."""
        look = self._look
        fault = next((source.fault for source in server.sources if source.fault is not None), None)
        cells = {
            "server": look.clean(server.name, 40),
            "model": "(no models)" if fault is None else "",
            "state": f"{look.glyphs.of_server(server.state)} {server.state}",
            "why": look.clean(fault.sentence, 200) if fault is not None else "",
        }
        tone = SERVER_TONES.get(server.state, "error")
        return Row(
            (server.name, "", ""),
            tuple(cells.get(column.key, "") for column in self._columns),
            "" if tone == "ok" else tone,
        )
