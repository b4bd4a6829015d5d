"""A run under way: what the server says about itself, and what is done about it while it lives."""

from __future__ import annotations

from dataclasses import replace

from tritop.runtimes.supervisor.words import Action, Do, Health, Observed, Phase, Policy, Supervision, due, enter


def listen(state: Supervision, seen: Observed, now: float, policy: Policy) -> Supervision:
    """Take in what the server says; the phase is STARTING, READY or NOT_READY."""
    if seen.log_bytes is not None and seen.log_bytes != state.log_bytes:
        state = replace(state, log_bytes=seen.log_bytes, log_grew_at=now)
    if seen.health is Health.UNKNOWN:
        return _be_patient(state, now, policy)
    if seen.health is Health.SILENT:
        state = replace(state, silent_since=now if state.silent_since is None else state.silent_since)
    else:
        state = replace(state, silent_since=None, unresponsive=False)
    if seen.health is Health.READY and not seen.dead_stubs:
        return _heard_ready(state, now, policy)
    misses = state.misses + 1
    state = replace(state, misses=misses, hits=0)
    if state.phase is Phase.STARTING and seen.health is Health.SILENT:
        return _be_patient(state, now, policy)
    if state.phase is Phase.READY and misses < policy.misses_allowed and not seen.dead_stubs:
        return state
    state = replace(enter(state, Phase.NOT_READY, now), ready_since=None, slow=False, overdue=False)
    return replace(state, trouble=_trouble(state, seen, now, policy))


def _be_patient(state: Supervision, now: float, policy: Policy) -> Supervision:
    """A slow start is no failure: it is only marked."""
    if state.phase is not Phase.STARTING:
        return state
    stands_still_s = now - max(state.since, state.log_grew_at)
    overdue = 0 < policy.start_timeout_s < stands_still_s
    return replace(state, slow=now - state.since >= policy.slow_after_s, overdue=overdue)


def _heard_ready(state: Supervision, now: float, policy: Policy) -> Supervision:
    state = replace(state, misses=0, hits=state.hits + 1)
    if state.phase is Phase.READY:
        proven = state.ready_since is not None and now - state.ready_since >= policy.proven_after_s
        return replace(state, crashes=(), attempts=0, heals=0) if proven else state
    if state.phase is Phase.NOT_READY and state.hits < policy.hits_needed:
        return state
    state = replace(enter(state, Phase.READY, now), ready_since=now, was_ready=True, trouble="", next_at=None)
    return replace(state, slow=False, overdue=False, explanation="", advice="", exit_code=None)


def _trouble(state: Supervision, seen: Observed, now: float, policy: Policy) -> str:
    if seen.dead_stubs:
        names = ", ".join(seen.dead_stubs)
        return f"The Python-backend process of {names} has died: requests fail, and the server calls itself ready."
    if seen.health is Health.LIVE:
        return "It answers, and not every model is ready."
    silent_s = _silent_s(state, now)
    if silent_s > policy.unresponsive_after_s:
        return f"It has not answered for {silent_s:.0f} s."
    return "Neither gRPC nor HTTP answers."


def _silent_s(state: Supervision, now: float) -> float:
    return now - state.silent_since if state.silent_since is not None else 0.0


def mend(state: Supervision, seen: Observed, now: float, policy: Policy) -> tuple[Supervision, Action | None]:
    """Load models anew whose stub has died; restart a server that hangs, only where the policy says so."""
    if state.phase is not Phase.NOT_READY:
        return state, None
    if _silent_s(state, now) > policy.unresponsive_after_s:
        state = replace(state, unresponsive=True)
        if policy.restart_unresponsive and seen.writer:
            return replace(state, restarting=True, proven_bad=True), Action(Do.STOP, state.container_id)
    if seen.dead_stubs and seen.writer and state.heals < policy.heal_limit and due(state.retry_at, now):
        heals = state.heals + 1
        state = replace(state, heals=heals, retry_at=now + policy.wait_s(heals))
        return state, Action(Do.HEAL, state.container_id, seen.dead_stubs)
    return state, None
