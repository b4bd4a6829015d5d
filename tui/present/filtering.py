"""Which rows of the table are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tritop.model import ModelState, ModelVersion, Server

__all__ = ["Order", "RowKey", "Subject", "first_choice", "keep", "ordered"]

RowKey = tuple[str, str, str]
"""(server, model, version): what identifies a row while numbers and order change."""

SortValue = float | str | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What one row of the overview is about: a model version, or a server that has none."""

    server: Server
    model: ModelVersion | None

    @property
    def key(self) -> RowKey:
        """Identity of the row."""
        if self.model is None:
            return (self.server.name, "", "")
        return (self.server.name, self.model.name, self.model.version)


@dataclass(frozen=True, slots=True)
class Order:
    """The column that sorts, and its direction; "" is the order of the servers."""

    column: str = ""
    descending: bool = False


def keep(subjects: Iterable[Subject], needle: str) -> list[Subject]:
    """Rows whose server, name, version, state or verdict hold `needle`, whatever its case; `!` inverts."""
    inverse = needle.startswith("!")
    wanted = needle.removeprefix("!").strip().casefold()
    if not wanted:
        return list(subjects)
    return [subject for subject in subjects if (wanted in _haystack(subject)) != inverse]


def _haystack(subject: Subject) -> str:
    model = subject.model
    if model is None:
        return f"{subject.server.name} {subject.server.state}".casefold()
    verdict = "" if model.verdict is None else str(model.verdict.kind)
    traits = "" if model.config is None else f"{model.config.backend} {model.config.scheduling}"
    return f"{subject.server.name} {model.name} {model.version} {model.state} {verdict} {traits}".casefold()


_STATE_RANK = {state: rank for rank, state in enumerate(
    (ModelState.FAILED, ModelState.LOADING, ModelState.UNLOADING, ModelState.READY, ModelState.UNLOADED)
)}  # fmt: skip


def _version_rank(model: ModelVersion) -> SortValue:
    return float(model.version) if model.version.isdecimal() else None


def _compute_us(model: ModelVersion) -> SortValue:
    parts = (model.compute_input_us, model.compute_infer_us, model.compute_output_us)
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


SORT_VALUES: dict[str, Callable[[ModelVersion], SortValue]] = {
    "model": lambda model: model.name.casefold(),
    "version": _version_rank,
    "state": lambda model: _STATE_RANK.get(model.state),
    "requests": lambda model: model.requests_per_s,
    "failures": lambda model: model.failures_per_s,
    "batch": lambda model: model.batch_avg,
    "queue": lambda model: model.queue_us,
    "compute": _compute_us,
    "p99": lambda model: model.p99_us,
    "pending": lambda model: model.pending,
    "busy": lambda model: model.busy_ratio,
    "why": lambda model: None if model.verdict is None else str(model.verdict.kind),
}
"""Columns that can sort, and by what."""

FALLING_FIRST = frozenset({"requests", "failures", "batch", "queue", "compute", "p99", "pending", "busy"})
"""Numbers: one wants to see the largest first."""


def ordered(subjects: Sequence[Subject], order: Order) -> list[Subject]:
    """Sort stably; what is unknown comes last in both directions."""
    value_of = SORT_VALUES.get(order.column)
    if value_of is None:
        return list(subjects)
    known: list[tuple[float | str, Subject]] = []
    unknown: list[Subject] = []
    for subject in subjects:
        value = None if subject.model is None else value_of(subject.model)
        if value is None:
            unknown.append(subject)
        else:
            known.append((value, subject))
    known.sort(key=lambda pair: pair[0], reverse=order.descending)
    return [subject for _, subject in known] + unknown


def first_choice(subjects: Sequence[Subject], current: RowKey | None) -> RowKey | None:
    """The row to begin with until the operator selects one: the busiest, once, and before that a READY one."""
    models = {subject.key: subject.model for subject in subjects if subject.model is not None}
    chosen = models.get(current) if current is not None else None
    if chosen is not None and chosen.requests_per_s:
        return current
    busiest = max(models, key=lambda key: models[key].requests_per_s or 0.0, default=None)
    if busiest is not None and models[busiest].requests_per_s:
        return busiest
    if chosen is not None and chosen.state is ModelState.READY:
        return current
    return next((key for key, model in models.items() if model.state is ModelState.READY), current)
