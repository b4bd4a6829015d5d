"""A trial as an operator sees it: a change that is taken back by itself unless it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.change import FieldChange


@dataclass(frozen=True, slots=True)
class Rails:
    """Guard rails of a trial: what may get worse, and by how much; `None` takes a rail away.

    Each pair is (factor, margin). A rail is crossed where the value after the change is above
    `factor` times the value before it and, so that noise near 0 crosses nothing, above that value
    plus `margin`.
    """

    failure_ratio: tuple[float, float] | None = (2.0, 0.01)
    """Failed requests over all requests that the server counted, 0..1."""
    queue_us: tuple[float, float] | None = (3.0, 20_000.0)
    """Mean time in the queue [us]."""
    p99_us: tuple[float, float] | None = (2.0, 50_000.0)
    """99 % quantile of a request [us], where a source knows it, the same one before and after."""
    client_errors_per_s: tuple[float, float] | None = (2.0, 0.5)
    """Errors that our own traffic met [1/s]. It also meets those that the server does not count."""
    stalled_s: float | None = 5.0
    """Seconds without any answer while requests wait."""


DEFAULT_RAILS = Rails()


class TrialState(StrEnum):
    """How far a trial is."""

    BEFORE = "measuring before"
    APPLYING = "applying"
    WATCHING = "watching"
    TAKING_BACK = "taking back"
    KEPT = "kept"
    TAKEN_BACK = "taken back"
    FAILED = "failed"
    """The change was refused, so the model is as it was."""
    STUCK = "not taken back"
    """Taking it back did not work: the model still has the configuration of the trial."""
    LEFT_OPEN = "left open"
    """Found in the ledger: the tritop that began it has ended without a word."""


class RailState(StrEnum):
    """What a rail says."""

    HELD = "held"
    CROSSED = "crossed"
    UNKNOWN = "unknown"
    """No source knows the value, before or after."""
    TOO_LITTLE_TRAFFIC = "not enough traffic to judge"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model did in one window; unknown is `None`."""

    window_s: float = 0.0
    requests: float = 0.0
    """Requests that were answered or failed in the window."""
    requests_per_s: float | None = None
    failures_per_s: float | None = None
    failure_ratio: float | None = None
    batch_avg: float | None = None
    queue_us: float | None = None
    compute_us: float | None = None
    """Input, infer and output together."""
    p99_us: float | None = None
    """Mean of the quantiles of the window's intervals, the worst version of each."""
    p99_origin: str = ""
    """`Origin` of it; quantiles of two origins are not compared."""
    busy_ratio: float | None = None
    client_errors_per_s: float | None = None
    stalled_s: float = 0.0
    """Seconds at the window's end in which requests waited and none was answered."""


@dataclass(frozen=True, slots=True)
class RailStatus:
    """One rail with its numbers."""

    name: str
    """Field of `Rails`, unit included."""
    state: RailState
    before: float | None = None
    after: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """One trial at one instant."""

    trial_id: str
    """Id of its first entry in the ledger."""
    server: str
    model: str
    state: TrialState
    began_at: float
    """Wall time [s since the epoch]."""
    trial_s: float
    ends_in_s: float | None = None
    """Until it is taken back by itself; `None` unless it is being watched."""
    before: Figures = Figures()
    after: Figures = Figures()
    rails: tuple[RailStatus, ...] = ()
    diff: tuple[FieldChange, ...] = ()
    who: str = ""
    text: str = ""
    """What became of it or why it waits, in a sentence; may hold the server's words: untrusted."""

    @property
    def open(self) -> bool:
        """Whether the model runs with the configuration on trial and somebody should decide."""
        return self.state in {TrialState.WATCHING, TrialState.STUCK, TrialState.LEFT_OPEN}

    @property
    def judged(self) -> bool:
        """Whether there was traffic enough for any rail to say something."""
        return any(rail.state in {RailState.HELD, RailState.CROSSED} for rail in self.rails)
