"""The words of supervision: what is wanted, what is seen, what is done, and how patient tritop is.

Pure values. `machine.step` turns them into the next state and actions; whoever carries the
actions out never decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from tritop.operation import Wish


class Desired(StrEnum):
    """The operator's last word; it is kept on disk and survives tritop."""

    RUN = "RUN"
    STOP = "STOP"


class Phase(StrEnum):
    """What a supervised server is doing; `Launch.state`."""

    UNKNOWN = "UNKNOWN"
    """Nothing has been seen of it yet."""
    ABSENT = "ABSENT"
    """There is no container, and none is wanted."""
    PULLING = "PULLING"
    CREATING = "CREATING"
    STARTING = "STARTING"
    """It runs and does not answer yet: Triton opens its ports only once its models are loaded."""
    READY = "READY"
    NOT_READY = "NOT_READY"
    """It runs, and something is wrong; `Supervision.trouble` says what."""
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    CRASHED = "CRASHED"
    """It ended by itself and this tritop is not the one that restarts it."""
    BACKOFF = "BACKOFF"
    """It ended by itself and is started again at `Supervision.next_at`."""
    WAITING = "WAITING"
    """Something outside is in the way (a taken port, a full disk); tried again at `next_at`."""
    FAILED = "FAILED"
    """Given up: only the operator starts it again."""
    PAUSED = "PAUSED"
    ENGINE_LOST = "ENGINE_LOST"
    """The engine does not answer: nothing is known and nothing is decided."""
    FOREIGN = "FOREIGN"
    """What bears its name is not ours: it is watched and never touched."""


class Status(StrEnum):
    """`State.Status` of a container, in the engine's own words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class Health(StrEnum):
    """What the server says about itself."""

    UNKNOWN = "UNKNOWN"
    """Not asked this time."""
    SILENT = "SILENT"
    """Neither gRPC nor HTTP answers `live`."""
    LIVE = "LIVE"
    """It answers `live`, and `ready` says no."""
    READY = "READY"


class EndingKind(StrEnum):
    """What an end, or an attempt that failed, means for what comes next."""

    ASKED = "asked"
    """Somebody stopped it through the engine, or it ended gracefully: the operator's word counts."""
    CRASH = "crash"
    """It may be started again, a bounded number of times."""
    OOM = "out of memory"
    """A crash; the second in a row is given up on."""
    WORLD = "world"
    """Something outside is in the way and may go away by itself."""
    PERMANENT = "permanent"
    """Trying again gives the same."""
    LOST = "engine lost"
    """The engine did not answer: nothing is known of what became of it."""
    WITH_ENGINE = "with the engine"
    """The engine went away and took it along."""
    CANCELLED = "cancelled"
    """We took the attempt back ourselves."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run, or an attempt to start one, ended; made by `classify`."""

    kind: EndingKind
    sentence: str
    exit_code: int | None = None
    signature: str = ""
    """Exit code and last error line: equal for two ends of the same cause."""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine's `inspect` showed it."""

    id: str
    status: Status
    ours: bool
    """It bears our labels for this very server and this very operator."""
    started_at: str = ""
    """The engine's StartedAt, which tells two runs apart."""
    spec_matches: bool = True
    engine_restarts: bool = False
    """Its restart policy is another than `no`, so the engine restarts it."""
    ending: Ending | None = None
    """How its last run ended; only for an exited container."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at the engine and the server."""

    engine: bool
    """Whether the engine answered; nothing else here means anything where it did not."""
    container: Container | None = None
    health: Health = Health.UNKNOWN
    dead_stubs: tuple[str, ...] = ()
    """Models whose Python-backend stub has died: the server calls itself ready, and every request fails."""
    log_bytes: int | None = None
    """Anything that grows with the log; a start is slow, not stuck, while it does."""
    writer: bool = True
    """Whether this tritop is the one that may act on this engine."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An operator's wish arrived."""

    wish: Wish


class Do(StrEnum):
    """What is to be done to the engine or the server."""

    PULL = "pull"
    """Make sure that the image is there."""
    CREATE = "create"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    """Remove a container that does not run."""
    TAKE_OVER = "take over"
    """Set the restart policy to `no`, so that the engine and tritop do not both restart it."""
    HEAL = "heal"
    """Unload and load the models whose stub has died."""
    CANCEL = "cancel"
    """Take the pull back that is under way."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. By container id, never by name: a name can be reused."""

    do: Do
    container_id: str = ""
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """An action has ended."""

    action: Action
    failure: Ending | None = None
    """`None` where it was done."""
    container_id: str = ""
    """The container that a CREATE made."""


Input = Observed | Asked | Finished


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient tritop is; times in seconds."""

    back_off_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
    jitter: float = 0.0
    """0..1, fixed for one server: the share of a tenth by which each wait but the longest is stretched,
    so that several servers that died together do not come back together."""
    world_retry_s: float = 15.0
    proven_after_s: float = 120.0
    """READY for so long without a break, and earlier crashes are forgotten."""
    crash_limit: int = 5
    crash_window_s: float = 600.0
    same_crash_limit: int = 3
    """Crashes in a row with the same signature that never got READY."""
    oom_limit: int = 2
    slow_after_s: float = 60.0
    start_timeout_s: float = 600.0
    """A start without READY and without a growing log; it is marked, never killed."""
    misses_allowed: int = 3
    hits_needed: int = 2
    unresponsive_after_s: float = 30.0
    restart_unresponsive: bool = False
    heal_limit: int = 3

    def wait_s(self, attempts: int) -> float:
        """Seconds before the next start after `attempts` failures in a row, 1 or more."""
        longest = self.back_off_s[-1]
        nominal = self.back_off_s[min(max(attempts, 1), len(self.back_off_s)) - 1]
        return min(longest, nominal * (1.0 + 0.1 * self.jitter))


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash that counts against the limits."""

    at: float
    """Monotonic time [s]."""
    signature: str
    was_ready: bool
    oom: bool


@dataclass(frozen=True, slots=True)
class Supervision:
    """Everything remembered about one server; times are monotonic [s]."""

    desired: Desired = Desired.STOP
    phase: Phase = Phase.UNKNOWN
    since: float = 0.0
    """When the phase was entered."""
    before: Phase = Phase.UNKNOWN
    """The phase that ENGINE_LOST or FOREIGN interrupts, and which holds again after it."""
    container_id: str = ""
    run: str = ""
    """StartedAt of the run that is known, running or ended."""
    run_ended: bool = False
    """The end of that run has been dealt with."""
    was_ready: bool = False
    """That run has been READY."""
    doing: Action | None = None
    """The one action under way."""
    restarting: bool = False
    """A STOP under way, or just done, is the first half of a restart."""
    proven_bad: bool = False
    """That restart is ours, because the server hangs: it waits like after a crash."""
    removing: bool = False
    """The container is to be removed once it has ended."""
    husk: bool = False
    """The container that exists could not be started and is to be removed."""
    engine_was_lost: bool = False
    """The engine went away during the known run."""
    crashes: tuple[Crash, ...] = ()
    attempts: int = 0
    """Failures since the server last proved itself; chooses the back-off."""
    restarts: int = 0
    """Starts after a crash, since this tritop began to supervise."""
    next_at: float | None = None
    """When the next start is due; `None` where nothing holds it back."""
    retry_at: float | None = None
    """When a stop, removal or healing may be tried again."""
    ready_since: float | None = None
    misses: int = 0
    hits: int = 0
    silent_since: float | None = None
    log_bytes: int | None = None
    log_grew_at: float = 0.0
    slow: bool = False
    overdue: bool = False
    """The start has taken longer than the policy allows and its log stands still."""
    unresponsive: bool = False
    heals: int = 0
    trouble: str = ""
    """Why it is NOT_READY."""
    spec_changed: bool = False
    """The container was made by another spec: a restart applies the new one."""
    explanation: str = ""
    """Why it last ended or could not be started, in a sentence."""
    advice: str = ""
    exit_code: int | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way as far as is known."""
        return bool(self.run) and not self.run_ended


def enter(state: Supervision, phase: Phase, now: float) -> Supervision:
    """The state in that phase; `since` stays where it was in it already."""
    return state if state.phase is phase else replace(state, phase=phase, since=now)


def due(at: float | None, now: float) -> bool:
    """Whether a wait is over, or there is none."""
    return at is None or now >= at
