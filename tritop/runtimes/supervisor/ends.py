"""What follows an end: another start after a while, none until somebody mends something, or none at all."""

from __future__ import annotations

from dataclasses import replace

from tritop.runtimes.supervisor.words import Crash, Desired, Ending, EndingKind, Phase, Policy, Supervision, enter


def ended(
    state: Supervision, ending: Ending, now: float, policy: Policy, *, adopted: bool, writer: bool
) -> Supervision:
    """A run has ended.

    Args:
        state: with the run marked as ended.
        ending: how.
        now: monotonic time [s].
        policy: limits and waits.
        adopted: it had ended before this tritop first saw it.
        writer: this tritop is the one that may start it again.
    """
    said = replace(
        state, explanation=ending.sentence, advice=ending.advice, exit_code=ending.exit_code, ready_since=None
    )
    if state.restarting:
        return _between_stop_and_start(said, now, policy)
    if not writer:
        return enter(said, Phase.STOPPED if ending.kind is EndingKind.ASKED else Phase.CRASHED, now)
    if state.desired is Desired.STOP:
        said = enter(said, Phase.STOPPED, now)
    elif adopted:
        said = replace(enter(said, Phase.BACKOFF, now), next_at=now + policy.wait_s(1))
    elif state.engine_was_lost:
        sentence = f"The engine was away, and it ended meanwhile. {ending.sentence}"
        said = held(state, Ending(EndingKind.WITH_ENGINE, sentence, ending.exit_code), now, policy)
    elif ending.kind is EndingKind.ASKED:
        said = replace(enter(said, Phase.STOPPED, now), desired=Desired.STOP)
    else:
        said = held(state, ending, now, policy)
    return said


def _between_stop_and_start(state: Supervision, now: float, policy: Policy) -> Supervision:
    """A restart that an operator asked for goes on at once; one for a hanging server waits as after a crash."""
    attempts = state.attempts + state.proven_bad
    wait_s = policy.wait_s(attempts) if state.proven_bad else 0.0
    state = replace(state, restarting=False, proven_bad=False, attempts=attempts, next_at=now + wait_s)
    return enter(state, Phase.BACKOFF, now)


def held(state: Supervision, ending: Ending, now: float, policy: Policy) -> Supervision:
    """An end that nobody asked for, or an attempt that failed: when it is tried again, if it is."""
    state = replace(
        state,
        explanation=ending.sentence,
        advice=ending.advice,
        exit_code=ending.exit_code,
        restarting=False,
        proven_bad=False,
        ready_since=None,
        trouble="",
    )
    if ending.kind is EndingKind.PERMANENT:
        return replace(enter(state, Phase.FAILED, now), next_at=None)
    if ending.kind is EndingKind.WORLD:
        return replace(enter(state, Phase.WAITING, now), next_at=now + policy.world_retry_s)
    if ending.kind in (EndingKind.WITH_ENGINE, EndingKind.ASKED):
        return replace(enter(state, Phase.BACKOFF, now), next_at=now + policy.wait_s(1))
    crash = Crash(now, ending.signature, state.was_ready, ending.kind is EndingKind.OOM)
    recent = tuple(one for one in state.crashes if now - one.at <= policy.crash_window_s)
    state = replace(state, crashes=(*recent, crash), attempts=state.attempts + 1)
    if why := _given_up(state.crashes, policy):
        return replace(enter(state, Phase.FAILED, now), explanation=f"{ending.sentence} {why}", next_at=None)
    return replace(enter(state, Phase.BACKOFF, now), next_at=now + policy.wait_s(state.attempts))


def _given_up(crashes: tuple[Crash, ...], policy: Policy) -> str:
    """Why it is not tried again, "" where it is."""
    if len(crashes) >= policy.crash_limit:
        return f"It crashed {len(crashes)} times within {policy.crash_window_s / 60:.0f} minutes and was given up."
    alike = crashes[-policy.same_crash_limit :]
    never_ready = not any(one.was_ready for one in alike)
    if never_ready and len(alike) == policy.same_crash_limit and len({one.signature for one in alike}) == 1:
        return f"It never got ready and ended the same way {len(alike)} times in a row, and was given up."
    out_of_memory = crashes[-policy.oom_limit :]
    if len(out_of_memory) == policy.oom_limit and all(one.oom for one in out_of_memory):
        return f"It ran out of memory {len(out_of_memory)} times in a row and was given up."
    return ""
