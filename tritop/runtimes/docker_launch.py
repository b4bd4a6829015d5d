"""What the operator sees of a supervised server: its state as a Launch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tritop.model import Launch
from tritop.runtimes.classify import size
from tritop.runtimes.docker_pull import PullProgress
from tritop.runtimes.load_progress import LoadProgress
from tritop.runtimes.supervisor import Phase, Supervision


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known beside the supervisor's state."""

    now: float
    """Monotonic time [s]."""
    runtime: str = "docker"
    """`Launch.runtime`; a container's id is shown only for docker."""
    log_path: str = ""
    command: str = ""
    pid: int | None = None
    pull: PullProgress | None = None
    loading: LoadProgress | None = None
    models: int | None = None
    """How many models the repository holds."""
    log_tail: Sequence[str] = ()
    supervisor_pid: int | None = None
    """Pid of another tritop, where that one acts on this server."""
    engine: str = ""
    """Why the engine cannot be used, "" while it can."""


def launch_of(state: Supervision, sight: Sight) -> Launch:
    """The state of a supervised server for a Snapshot; `Launch.state` is a `Phase`."""
    step, done, total = _progress(state, sight)
    phase = _shown_phase(state)
    waiting = phase in (Phase.BACKOFF, Phase.WAITING) and state.next_at is not None
    return Launch(
        runtime=sight.runtime,
        state=phase.value,
        step=step,
        done=done,
        total=total,
        layers=sight.pull.layers if state.phase is Phase.PULLING and sight.pull is not None else (),
        restarts=state.restarts,
        exit_code=state.exit_code,
        explanation=_explanation(state, sight),
        restart_in_s=max(0.0, state.next_at - sight.now) if waiting and state.next_at is not None else None,
        log_path=sight.log_path,
        log_tail=tuple(sight.log_tail),
        command=sight.command,
        pid=sight.pid,
        container_id=state.container_id if sight.runtime == "docker" else "",
        supervisor_pid=sight.supervisor_pid,
    )


def _shown_phase(state: Supervision) -> Phase:
    """A start that an operator asked for comes out of BACKOFF, where it waits for nothing: it did not crash."""
    asked = state.phase is Phase.BACKOFF and (state.next_at is None or state.next_at <= state.since)
    return Phase.STARTING if asked else state.phase


def _progress(state: Supervision, sight: Sight) -> tuple[str, int | None, int | None]:
    if state.phase is Phase.PULLING and sight.pull is not None:
        return pull_text(sight.pull), None, None
    if state.phase is Phase.STARTING and sight.loading is not None:
        done = len(sight.loading.done)
        total = max(done + len(sight.loading.loading), sight.models or 0)
        slow = " (slow)" if state.slow else ""
        if not total or not (done or sight.loading.loading):
            return f"starting{slow}", None, None
        return f"{sight.loading.step() or 'opening its ports'}{slow}", done, total
    words = {
        Phase.PULLING: "looking for the image",
        Phase.CREATING: "creating its container",
        Phase.STARTING: "starting",
        Phase.STOPPING: "stopping: requests under way are finished",
    }
    return words.get(state.phase, ""), None, None


def pull_text(pull: PullProgress) -> str:
    """A pull in a line: layers, bytes, rate and time left."""
    parts = [f"pulling layer {pull.layers_done} of {len(pull.layers)}"] if pull.layers else ["pulling"]
    if pull.total_bytes is not None:
        parts.append(f"{size(pull.done_bytes)} of {size(pull.total_bytes)}")
    if pull.bytes_per_s is not None:
        parts.append(f"{size(round(pull.bytes_per_s))}/s")
    if pull.seconds_left is not None and pull.seconds_left >= 1:
        parts.append(f"{duration(pull.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in the units that people use: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _explanation(state: Supervision, sight: Sight) -> str:
    if state.phase is Phase.ENGINE_LOST:
        return " ".join(filter(None, (sight.engine, "Nothing is done until the engine answers again.")))
    if state.phase is Phase.FOREIGN:
        return "A container that is not this operator's has its name: it is watched and never touched."
    # What was wrong while it ran is no word about one that does not run any more.
    said = [state.trouble if state.phase is Phase.NOT_READY else "", state.explanation, state.advice]
    if state.overdue:
        said.append("It has been starting for long, and its log stands still; it is left alone.")
    if state.spec_changed:
        said.append("Its container was made with other settings: a restart applies the new ones.")
    if sight.supervisor_pid is not None:
        said.append(f"Another tritop (process {sight.supervisor_pid}) supervises it; this one only watches.")
    return " ".join(filter(None, said))
