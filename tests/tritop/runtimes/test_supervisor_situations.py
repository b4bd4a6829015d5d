"""Situations that an operator knows, step by step through the supervisor."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tritop.runtimes.supervisor import (
    Action,
    Asked,
    Container,
    Desired,
    Do,
    Ending,
    EndingKind,
    Finished,
    Health,
    Input,
    Observed,
    Phase,
    Policy,
    Status,
    Supervision,
    Wish,
    step,
)

RUNNING = Container("c1", Status.RUNNING, ours=True, started_at="run 1")
CRASH = Ending(EndingKind.CRASH, "It ended with exit code 1.", 1, "1 reason")


def exited(ending: Ending = CRASH, run: str = "run 1") -> Container:
    return Container("c1", Status.EXITED, ours=True, started_at=run, ending=ending)


class Played:
    """Plays inputs to the supervisor with a clock of its own."""

    def __init__(self, policy: Policy | None = None, desired: Desired = Desired.RUN) -> None:
        self.policy = policy or Policy()
        self.now = 1000.0
        self.state = Supervision(desired=desired)
        self.did: list[Do] = []

    def doing(self) -> Action | None:
        return self.state.doing

    def overdue(self) -> bool:
        return self.state.overdue

    def is_in(self, phase: Phase) -> bool:
        return self.state.phase is phase

    def give(self, given: Input, after_s: float = 0.0) -> tuple[Action, ...]:
        self.now += after_s
        self.state, actions = step(self.state, given, self.now, self.policy)
        self.did += [action.do for action in actions]
        return actions

    def see(self, container: Container | None, health: Health = Health.UNKNOWN, after_s: float = 0.0) -> None:
        self.give(Observed(True, container, health), after_s)

    def done(self, failure: Ending | None = None, container_id: str = "") -> None:
        assert self.state.doing is not None
        self.give(Finished(self.state.doing, failure, container_id))

    def ready(self, run: str = "run 1") -> None:
        self.see(Container("c1", Status.RUNNING, ours=True, started_at=run), Health.READY)
        assert self.is_in(Phase.READY)

    def crash_and_restart(self, number: int, ending: Ending = CRASH) -> float:
        """Crash, wait for the next start; returns how long that was."""
        self.see(exited(ending, f"run {number}"), after_s=0.5)
        if not self.is_in(Phase.BACKOFF):
            return 0.0
        assert self.state.next_at is not None
        wait_s = self.state.next_at - self.now
        self.see(exited(ending, f"run {number}"), after_s=wait_s)
        assert self.state.doing == Action(Do.START, "c1")
        self.done()
        return wait_s


def test_from_nothing_to_ready() -> None:
    played = Played()
    played.see(None)
    assert played.is_in(Phase.PULLING)
    played.done()
    played.see(None)
    assert played.is_in(Phase.CREATING)
    played.done(container_id="c1")
    played.see(Container("c1", Status.CREATED, ours=True))
    assert played.is_in(Phase.STARTING)
    played.done()
    played.see(RUNNING, Health.SILENT, after_s=30.0)
    assert (played.state.phase, played.state.misses) == (Phase.STARTING, 1)
    played.ready()
    assert played.did == [Do.PULL, Do.CREATE, Do.START]


def test_back_off_doubles_up_to_a_minute_and_forgets_after_two_minutes_of_ready() -> None:
    played = Played(Policy(crash_limit=100, same_crash_limit=100))
    played.ready()
    waits = [played.crash_and_restart(number) for number in range(1, 10)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert played.state.restarts == 9
    played.ready("run 10")
    played.give(Observed(True, Container("c1", Status.RUNNING, True, "run 10"), Health.READY), after_s=119.0)
    assert played.state.attempts == 9, "running for long is not enough"
    played.give(Observed(True, Container("c1", Status.RUNNING, True, "run 10"), Health.READY), after_s=2.0)
    assert played.state.attempts == 0
    assert played.crash_and_restart(10) == 1.0


@given(st.floats(0.0, 1.0), st.integers(1, 50))
def test_waits_are_monotone_and_bounded_with_any_jitter(jitter: float, attempts: int) -> None:
    policy = Policy(jitter=jitter)
    assert 1.0 <= policy.wait_s(attempts) <= policy.wait_s(attempts + 1) <= 60.0


def test_five_crashes_in_ten_minutes_are_enough() -> None:
    played = Played()
    for number in range(1, 6):
        played.ready(f"run {number}")
        played.crash_and_restart(number)
    assert played.is_in(Phase.FAILED)
    assert "crashed 5 times within 10 minutes" in played.state.explanation
    before = list(played.did)
    played.see(exited(run="run 5"), after_s=86_400.0)
    assert played.did == before, "only a human starts it again"
    played.give(Asked(Wish.START))
    played.see(exited(run="run 5"))
    assert played.doing() == Action(Do.START, "c1")


def test_three_alike_that_never_got_ready_are_enough() -> None:
    played = Played()
    played.see(RUNNING, Health.SILENT)
    for number in range(1, 4):
        played.crash_and_restart(number)
    assert played.is_in(Phase.FAILED)
    assert played.state.explanation.endswith("ended the same way 3 times in a row, and was given up.")


def test_two_times_out_of_memory_are_enough() -> None:
    out_of_memory = Ending(EndingKind.OOM, "It ran out of memory.", 137, "137")
    played = Played()
    for number in (1, 2):
        played.ready(f"run {number}")
        played.crash_and_restart(number, out_of_memory)
    assert played.is_in(Phase.FAILED)


def test_not_ready_alone_never_restarts() -> None:
    played = Played(Policy(restart_unresponsive=True))
    played.ready()
    for _ in range(100):
        played.see(RUNNING, Health.LIVE, after_s=10.0)
    assert played.is_in(Phase.NOT_READY)
    assert not played.state.unresponsive
    assert played.did == []
    played.see(RUNNING, Health.READY)
    assert played.is_in(Phase.NOT_READY), "one good answer is not yet enough"
    played.see(RUNNING, Health.READY)
    assert played.is_in(Phase.READY)


@pytest.mark.parametrize("restarts", [False, True])
def test_silence_is_told_and_restarts_only_where_the_policy_says_so(restarts: bool) -> None:
    played = Played(Policy(restart_unresponsive=restarts))
    played.ready()
    for _ in range(20):
        played.see(RUNNING, Health.SILENT, after_s=2.0)
    assert played.state.unresponsive
    assert played.did == ([Do.STOP] if restarts else [])
    if restarts:
        played.done()
        played.see(exited(Ending(EndingKind.ASKED, "It was stopped.", 0)))
        assert played.is_in(Phase.BACKOFF)
        assert played.state.next_at == played.now + 1.0, "it waits as after a crash"


def test_a_blip_is_no_trouble() -> None:
    played = Played()
    played.ready()
    played.see(RUNNING, Health.SILENT)
    played.see(RUNNING, Health.SILENT)
    assert played.is_in(Phase.READY)
    played.see(RUNNING, Health.SILENT)
    assert played.is_in(Phase.NOT_READY)


def test_a_slow_start_is_marked_and_left_alone() -> None:
    played = Played()
    played.see(RUNNING, Health.SILENT)
    played.give(Observed(True, RUNNING, Health.SILENT, log_bytes=10), after_s=61.0)
    assert played.state.slow
    for size in range(20, 40):
        played.give(Observed(True, RUNNING, Health.SILENT, log_bytes=size), after_s=300.0)
    assert not played.overdue(), "its log grows"
    played.give(Observed(True, RUNNING, Health.SILENT, log_bytes=39), after_s=601.0)
    assert played.overdue()
    assert played.did == []
    assert played.is_in(Phase.STARTING)


def test_dead_stubs_are_healed_with_patience() -> None:
    played = Played(Policy(heal_limit=2))
    played.ready()
    bereft = Observed(True, RUNNING, Health.READY, dead_stubs=("tiny",))
    played.give(bereft)
    assert played.doing() == Action(Do.HEAL, "c1", ("tiny",))
    played.done(Ending(EndingKind.PERMANENT, "Tiny could not be loaded anew: no."))
    played.give(bereft, after_s=0.5)
    assert played.doing() is None, "not again at once"
    played.give(bereft, after_s=1.0)
    assert played.doing() is not None
    played.done()
    played.give(bereft, after_s=60.0)
    assert played.did == [Do.HEAL, Do.HEAL], "and not for ever"
    played.see(RUNNING, Health.READY)
    played.see(RUNNING, Health.READY)
    assert played.is_in(Phase.READY)


def test_the_engine_takes_it_along_and_brings_it_back() -> None:
    played = Played()
    played.ready()
    played.give(Observed(engine=False))
    assert played.is_in(Phase.ENGINE_LOST)
    played.see(exited(Ending(EndingKind.ASKED, "It ended by itself with exit code 0.", 0)), after_s=20.0)
    assert (played.state.phase, played.state.desired) == (Phase.BACKOFF, Desired.RUN)
    assert played.state.explanation.startswith("The engine was away")
    assert played.state.crashes == ()


def test_a_start_that_the_engine_did_not_answer_waits_before_the_next_one() -> None:
    played = Played()
    played.see(None)
    played.done()
    played.see(None)
    played.done(container_id="c1")
    made = Container("c1", Status.CREATED, ours=True)
    played.see(made)
    played.done(Ending(EndingKind.LOST, "The engine does not answer."))
    assert played.is_in(Phase.ENGINE_LOST)
    played.see(made)
    assert played.state.doing is None
    played.see(made, after_s=1.0)
    assert played.state.doing == Action(Do.START, "c1")


def test_failed_stays_failed_over_the_engine_going_and_coming() -> None:
    played = Played()
    played.ready()
    played.see(exited(Ending(EndingKind.PERMANENT, "No.")))
    played.give(Observed(engine=False))
    played.see(exited(Ending(EndingKind.PERMANENT, "No.")), after_s=60.0)
    assert played.is_in(Phase.FAILED)
    played.give(Observed(engine=False))
    played.give(Asked(Wish.START))
    played.see(exited(Ending(EndingKind.PERMANENT, "No.")), after_s=60.0)
    assert played.doing() == Action(Do.START, "c1"), "unless a human said so meanwhile"


def test_adoption_looks_before_it_does_anything() -> None:
    wanted = Played(desired=Desired.RUN)
    wanted.see(exited())
    assert (wanted.state.phase, wanted.state.exit_code, wanted.state.crashes) == (Phase.BACKOFF, 1, ())
    unwanted = Played(desired=Desired.STOP)
    unwanted.see(exited())
    assert unwanted.state.phase is Phase.STOPPED
    assert unwanted.did == []
    running = Played(desired=Desired.RUN)
    running.see(RUNNING, Health.READY)
    assert (running.state.phase, running.did) == (Phase.READY, [])


def test_a_husk_is_removed_and_what_is_in_the_way_is_waited_for() -> None:
    taken = Ending(EndingKind.WORLD, "Port 8001 is taken by nginx (process 7).")
    played = Played()
    husk = Container("c1", Status.CREATED, ours=True)
    played.see(husk)
    played.done(taken)
    assert (played.state.phase, played.state.crashes) == (Phase.WAITING, ())
    played.see(husk)
    assert played.doing() == Action(Do.REMOVE, "c1")
    played.done()
    played.see(None, after_s=14.0)
    assert played.doing() is None
    played.see(None, after_s=1.1)
    assert played.doing() == Action(Do.PULL)
    assert played.did == [Do.START, Do.REMOVE, Do.PULL]


def test_a_stop_during_a_pull_takes_it_back() -> None:
    played = Played()
    played.see(None)
    assert played.give(Asked(Wish.STOP)) == (Action(Do.CANCEL),)
    played.done(Ending(EndingKind.CANCELLED, "cancelled"))
    played.see(None)
    assert (played.state.phase, played.did) == (Phase.ABSENT, [Do.PULL, Do.CANCEL])


def test_a_start_that_is_asked_for_during_a_stop_follows_it() -> None:
    played = Played()
    played.ready()
    played.give(Asked(Wish.STOP))
    played.see(RUNNING)
    played.give(Asked(Wish.START))
    played.done()
    played.see(exited(Ending(EndingKind.ASKED, "It was stopped.", 0)))
    assert played.state.desired is Desired.RUN
    assert played.did == [Do.STOP, Do.START]


def test_remove_stops_first_and_removes_then() -> None:
    played = Played()
    played.ready()
    played.give(Asked(Wish.REMOVE))
    played.see(RUNNING)
    played.done()
    played.see(exited(Ending(EndingKind.ASKED, "It was stopped.", 0)))
    played.done()
    played.see(None)
    assert (played.state.phase, played.did) == (Phase.ABSENT, [Do.STOP, Do.REMOVE])


def test_another_spec_is_applied_by_a_restart() -> None:
    old = Container("c1", Status.RUNNING, True, "run 1", spec_matches=False)
    played = Played()
    played.see(old, Health.READY)
    assert played.state.spec_changed
    assert played.did == []
    played.give(Asked(Wish.RESTART))
    played.see(old)
    played.done()
    stopped = Container(
        "c1", Status.EXITED, True, "run 1", False, ending=Ending(EndingKind.ASKED, "It was stopped.", 0)
    )
    played.see(stopped)
    played.done()
    played.see(None)
    assert played.did == [Do.STOP, Do.REMOVE, Do.PULL]


def test_an_observer_says_what_it_sees() -> None:
    played = Played()
    played.give(Observed(True, RUNNING, Health.READY, writer=False))
    assert played.is_in(Phase.READY)
    played.give(Observed(True, exited(), writer=False), after_s=5.0)
    assert played.is_in(Phase.CRASHED)
    played.give(Observed(True, exited(), writer=False), after_s=600.0)
    assert played.did == []
    played.see(exited())
    played.see(exited(), after_s=1.0)
    assert played.did == [Do.START], "until the other one has gone"
