"""(state, input, time, policy) -> (state, actions): the one step of the supervisor, level-triggered.

```
ABSENT -> PULLING -> CREATING -> STARTING -> READY <-> NOT_READY
                        ^           ^           | it ends by itself
             WAITING ---+           +- BACKOFF <+-> FAILED      STOPPING -> STOPPED
```

What the engine shows is the truth; an event is only a reason to look. Whatever was missed in
between, the next look leads to the same state. One action is under way at a time. The rules that
no change may break:

* Nothing is decided while the engine is lost, and nothing is done to what is not ours.
* The operator's stop wins, through tritop or through the engine, and is remembered.
* Not ready is information. Only an end leads to a restart (and silence, where the policy says so).
* A restart waits at least a second, twice as long each time up to a minute, until the server has
  been READY for two minutes. Whoever crashes alike too often is given up on.
"""

from __future__ import annotations

from dataclasses import replace

from tritop.operation import Wish
from tritop.runtimes.supervisor.ends import ended, held
from tritop.runtimes.supervisor.health import listen, mend
from tritop.runtimes.supervisor.words import (
    Action,
    Asked,
    Container,
    Desired,
    Do,
    Ending,
    EndingKind,
    Finished,
    Input,
    Observed,
    Phase,
    Policy,
    Status,
    Supervision,
    due,
    enter,
)

Step = tuple[Supervision, tuple[Action, ...]]

_PHASE_OF = {
    Do.PULL: Phase.PULLING,
    Do.CREATE: Phase.CREATING,
    Do.START: Phase.STARTING,
    Do.STOP: Phase.STOPPING,
}
_HELD = (Phase.BACKOFF, Phase.WAITING, Phase.FAILED)
"""Phases that a next start comes out of: by itself, or after the operator asked for it."""
_INTERLUDES = (Phase.ENGINE_LOST, Phase.FOREIGN)


def step(state: Supervision, given: Input, now: float, policy: Policy) -> Step:
    """Take one input in.

    Args:
        state: what is known.
        given: a look at the engine, a wish of the operator, or the outcome of an action.
        now: monotonic time [s].
        policy: limits and waits.

    Returns:
        The next state, and what is to be done now, in order. `state.desired` is to be kept on disk
        whenever it changed.
    """
    match given:
        case Asked():
            return _asked(state, given.wish, now)
        case Finished():
            return _finished(state, given, now, policy), ()
        case Observed():
            return _observed(state, given, now, policy)


def _begin(state: Supervision, action: Action, now: float) -> Step:
    phase = _PHASE_OF.get(action.do)
    state = replace(state, doing=action)
    return (enter(state, phase, now) if phase else state), (action,)


# -- what the operator asks for -----------------------------------------------------------


def _asked(state: Supervision, wish: Wish, now: float) -> Step:
    if state.phase is Phase.FOREIGN:
        return state, ()
    doing = state.doing.do if state.doing is not None else None
    if wish in (Wish.STOP, Wish.REMOVE):
        state = replace(
            state,
            desired=Desired.STOP,
            removing=wish is Wish.REMOVE,
            restarting=False,
            proven_bad=False,
            next_at=None,
            retry_at=None,
        )
        return state, (Action(Do.CANCEL),) if doing is Do.PULL else ()
    state = replace(
        state,
        desired=Desired.RUN,
        removing=False,
        # A start that is asked for while a stop is under way follows it. What was not looked at may run.
        restarting=doing is Do.STOP
        or (state.restarting if wish is Wish.START else state.running or not state.container_id),
        proven_bad=False,
        crashes=(),
        attempts=0,
        heals=0,
        next_at=None,
        retry_at=None,
    )
    if state.phase is Phase.ENGINE_LOST:
        return replace(state, before=Phase.BACKOFF if state.before in _HELD else state.before), ()
    held_back = state.phase in (*_HELD, Phase.STOPPED, Phase.CRASHED)
    return (enter(state, Phase.BACKOFF, now) if held_back else state), ()


# -- what became of an action -------------------------------------------------------------


def _finished(state: Supervision, given: Finished, now: float, policy: Policy) -> Supervision:
    if state.doing != given.action:
        return state
    state = replace(state, doing=None)
    if given.failure is None:
        return _done(state, given, now)
    return _not_done(state, given.action.do, given.failure, now, policy)


def _done(state: Supervision, given: Finished, now: float) -> Supervision:
    match given.action.do:
        case Do.CREATE:
            return replace(state, container_id=given.container_id, run="", run_ended=False, husk=False)
        case Do.REMOVE:
            return replace(state, container_id="", run="", run_ended=False, husk=False, removing=False)
        case Do.START:
            return replace(state, log_bytes=None, log_grew_at=now)
        case _:
            return state


def _not_done(state: Supervision, do: Do, failure: Ending, now: float, policy: Policy) -> Supervision:
    if failure.kind is EndingKind.LOST:
        # A start that the engine did not answer may have been one, and the next one waits as after any other.
        return replace(_lost(state, now), next_at=now + policy.wait_s(1) if do is Do.START else state.next_at)
    if failure.kind is EndingKind.CANCELLED:
        return enter(state, Phase.ABSENT, now)
    if do is Do.HEAL:
        return replace(state, trouble=failure.sentence)
    if do in (Do.STOP, Do.REMOVE, Do.TAKE_OVER):
        return replace(state, explanation=failure.sentence, advice=failure.advice, retry_at=now + policy.wait_s(1))
    return held(replace(state, husk=do is Do.START and not state.run), failure, now, policy)


def _lost(state: Supervision, now: float) -> Supervision:
    before = state.before if state.phase in _INTERLUDES else state.phase
    # What a pull under way came to is not known, so it is asked for again.
    before = Phase.ABSENT if before is Phase.PULLING else before
    return replace(enter(state, Phase.ENGINE_LOST, now), engine_was_lost=True, before=before)


# -- what the engine shows ----------------------------------------------------------------


def _observed(state: Supervision, seen: Observed, now: float, policy: Policy) -> Step:
    if not seen.engine:
        return _lost(state, now), ()
    if state.doing is not None:
        return _note_while_doing(state, seen), ()
    container = seen.container
    if container is not None and not container.ours:
        before = state.before if state.phase in _INTERLUDES else state.phase
        state = replace(enter(state, Phase.FOREIGN, now), before=before, container_id="", run="", run_ended=False)
        return state, ()
    if state.phase in _INTERLUDES:
        state = enter(state, state.before, now)
    if container is None:
        return _absent(replace(state, spec_changed=False), seen, now)
    state = replace(state, spec_changed=not container.spec_matches)
    if (
        container.engine_restarts
        and seen.writer
        and due(state.retry_at, now)
        and container.status is not Status.REMOVING
    ):
        return _begin(state, Action(Do.TAKE_OVER, container.id), now)
    return _present(state, container, seen, now, policy)


def _present(state: Supervision, container: Container, seen: Observed, now: float, policy: Policy) -> Step:
    match container.status:
        case Status.RUNNING | Status.PAUSED | Status.RESTARTING:
            return _up(replace(state, container_id=container.id), container, seen, now, policy)
        case Status.CREATED:
            return _created(replace(state, container_id=container.id), container, seen, now)
        case Status.EXITED | Status.DEAD:
            return _down(state, container, seen, now, policy)
        case Status.REMOVING:
            return state, ()


def _note_while_doing(state: Supervision, seen: Observed) -> Supervision:
    """An action is under way: only note which run it is that it began."""
    container, doing = seen.container, state.doing
    if container is None or doing is None or not container.ours or container.status is not Status.RUNNING:
        return state
    return _new_run(state, container) if doing.do is Do.START and container.started_at != state.run else state


def _new_run(state: Supervision, container: Container) -> Supervision:
    return replace(
        state,
        container_id=container.id,
        run=container.started_at,
        run_ended=False,
        was_ready=False,
        engine_was_lost=False,
        next_at=None,
        retry_at=None,
        ready_since=None,
        misses=0,
        hits=0,
        silent_since=None,
        log_bytes=None,
        slow=False,
        overdue=False,
        unresponsive=False,
        trouble="",
        husk=False,
    )


def _absent(state: Supervision, seen: Observed, now: float) -> Step:
    if state.container_id:
        # A container does not remove itself, so somebody did, and that is a wish.
        state = replace(
            state,
            desired=Desired.STOP,
            container_id="",
            run="",
            run_ended=False,
            restarting=False,
            explanation="Its container was removed by somebody else.",
            advice="",
        )
    state = replace(state, restarting=False)
    if state.desired is Desired.STOP or not seen.writer:
        return replace(enter(state, Phase.ABSENT, now), next_at=None, removing=False), ()
    if state.phase is Phase.FAILED or not due(state.next_at, now):
        return state, ()
    state = replace(state, next_at=None)
    return _begin(state, Action(Do.CREATE if state.phase is Phase.PULLING else Do.PULL), now)


def _created(state: Supervision, container: Container, seen: Observed, now: float) -> Step:
    """Made and never started: ours to start, or what a failed start left behind."""
    if not seen.writer:
        return enter(state, Phase.CREATING, now), ()
    state = replace(state, restarting=False)
    if state.husk or state.desired is Desired.STOP or not container.spec_matches:
        return _begin(state, Action(Do.REMOVE, container.id), now) if due(state.retry_at, now) else (state, ())
    if state.phase is Phase.FAILED or not due(state.next_at, now):
        return state, ()
    return _begin(replace(state, next_at=None), Action(Do.START, container.id), now)


def _up(state: Supervision, container: Container, seen: Observed, now: float, policy: Policy) -> Step:
    if container.started_at != state.run or state.run_ended:
        known = bool(state.run)
        state = replace(enter(_new_run(state, container), Phase.STARTING, now), since=now, log_grew_at=now)
        if known and state.desired is Desired.STOP:
            # It had ended, and somebody started it with the engine's own tools: that is a wish as well.
            state = replace(state, desired=Desired.RUN, removing=False)
    state = replace(state, engine_was_lost=False)
    if seen.writer and (state.desired is Desired.STOP or state.restarting):
        return _begin(state, Action(Do.STOP, container.id), now) if due(state.retry_at, now) else (state, ())
    if container.status is Status.PAUSED:
        return replace(enter(state, Phase.PAUSED, now), silent_since=None, misses=0, ready_since=None), ()
    if container.status is Status.RESTARTING:
        return enter(state, Phase.CRASHED, now), ()
    if state.phase not in (Phase.STARTING, Phase.READY, Phase.NOT_READY):
        state = replace(enter(state, Phase.STARTING, now), log_grew_at=now)
    state, action = mend(listen(state, seen, now, policy), seen, now, policy)
    return _begin(state, action, now) if action else (state, ())


def _down(state: Supervision, container: Container, seen: Observed, now: float, policy: Policy) -> Step:
    adopted = not state.container_id
    state = replace(state, container_id=container.id)
    if state.run != container.started_at or not state.run_ended:
        was_ready = state.was_ready and state.run == container.started_at
        state = replace(state, run=container.started_at, run_ended=True, was_ready=was_ready)
        ending = container.ending or Ending(EndingKind.CRASH, "It ended.")
        state = ended(state, ending, now, policy, adopted=adopted, writer=seen.writer)
    if not seen.writer:
        return state, ()
    if state.desired is Desired.STOP:
        state = replace(enter(state, Phase.STOPPED, now), restarting=False)
        remove = state.removing and due(state.retry_at, now)
        return _begin(state, Action(Do.REMOVE, container.id), now) if remove else (state, ())
    if state.phase is not Phase.FAILED and state.phase not in _HELD:
        # Such as after a failed call, which left it as it was: it waits as after a first failure.
        state = replace(enter(state, Phase.BACKOFF, now), next_at=now + policy.wait_s(1))
    if state.phase is Phase.FAILED or not due(state.next_at, now):
        return state, ()
    state = replace(state, next_at=None)
    if not container.spec_matches:
        return _begin(state, Action(Do.REMOVE, container.id), now)
    state = replace(state, restarts=state.restarts + (state.attempts > 0))
    return _begin(state, Action(Do.START, container.id), now)
