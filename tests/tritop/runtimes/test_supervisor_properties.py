"""Whatever happens to a container, in any order, the rules of the supervisor hold."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

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
    Observed,
    Phase,
    Policy,
    Status,
    Supervision,
    Wish,
    step,
)

POLICY = Policy(jitter=0.5)
STARTERS = (Do.PULL, Do.CREATE, Do.START)
CRASH = Ending(EndingKind.CRASH, "It ended with exit code 1.", 1, "1 x")
OOM = Ending(EndingKind.OOM, "It ran out of memory.", 137, "137 oom")
ASKED = Ending(EndingKind.ASKED, "It was stopped.", 0, "0")
FAILURES = (
    CRASH,
    Ending(EndingKind.WORLD, "The port is taken."),
    Ending(EndingKind.PERMANENT, "There is no such image."),
    Ending(EndingKind.LOST, "The engine does not answer."),
)


class SupervisedWorld(RuleBasedStateMachine):
    """An engine with one name on it, anybody who meddles, and the supervisor, which sees all of it late or never."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.state = Supervision()
        self.engine = True
        self.writer = True
        self.container: Container | None = None
        self.runs = 0
        self.ids = 0
        self.started_without_end = False
        self.ended_at: float | None = None
        self.human_since_end = False
        self.human_since_failed = True
        self.observed_container: Container | None = None
        self.cancelled = False
        self.stopped_outside = False

    @initialize(desired=st.sampled_from(Desired), writer=st.sampled_from((True, True, False)))
    def begin(self, desired: Desired, writer: bool) -> None:
        self.state = Supervision(desired=desired)
        self.writer = writer

    # -- inputs, and what is checked of every answer --------------------------------------

    def give(self, given: Observed | Asked | Finished) -> None:
        before = self.state
        self.state, actions = step(self.state, given, self.now, POLICY)
        if self.state.phase is Phase.FAILED and before.phase not in (Phase.FAILED, Phase.ENGINE_LOST, Phase.FOREIGN):
            self.human_since_failed = False
        for action in actions:
            self.check(action, given, before)
        assert len(actions) <= 1

    def check(self, action: Action, given: Observed | Asked | Finished, before: Supervision) -> None:
        if action.do is Do.CANCEL:
            assert before.doing is not None
            assert before.doing.do is Do.PULL
            self.cancelled = True
            return
        assert isinstance(given, Observed), "only a look at the engine leads to an action"
        assert before.doing is None, "one action at a time"
        assert given.engine, "nothing is decided while the engine is lost"
        assert given.writer, "an observer only observes"
        if action.do in STARTERS:
            assert not self.stopped_outside, "what somebody stopped with docker stays stopped"
            assert self.state.desired is Desired.RUN, "the operator's stop wins"
            assert self.human_since_failed, "whoever was given up on needs a human"
        if action.do in (Do.PULL, Do.CREATE):
            assert given.container is None
            return
        container = given.container
        assert container is not None
        assert container.ours, "only what is ours"
        assert container.id == action.container_id, "by id"
        if action.do is Do.REMOVE:
            assert container.status in (Status.CREATED, Status.EXITED, Status.DEAD), "never a running container"
        if action.do is Do.START:
            assert container.status in (Status.CREATED, Status.EXITED, Status.DEAD)
            assert not self.started_without_end, "two starts without an end between"
            self.started_without_end = True
            if self.ended_at is not None and not self.human_since_end:
                assert self.now - self.ended_at >= 1.0, "a restart faster than a second"

    @rule(
        health=st.sampled_from(Health),
        stub=st.booleans(),
        seconds=st.sampled_from((0.0, 0.2, 0.9, 1.0, 2.0, 5.0, 16.0, 40.0, 70.0, 130.0)),
    )
    def look(self, health: Health, stub: bool, seconds: float) -> None:
        self.now += seconds
        container = self.container
        answers = container is not None and container.status is Status.RUNNING
        self.give(
            Observed(
                self.engine,
                container if self.engine else None,
                health if answers else Health.UNKNOWN,
                ("m",) if stub and answers else (),
                writer=self.writer,
            )
        )

    @rule(wish=st.sampled_from(Wish))
    def ask(self, wish: Wish) -> None:
        self.human()
        self.give(Asked(wish))
        if self.state.phase is not Phase.FOREIGN:
            stop = wish in (Wish.STOP, Wish.REMOVE)
            assert self.state.desired is (Desired.STOP if stop else Desired.RUN)

    def human(self) -> None:
        self.human_since_end = self.human_since_failed = True
        self.stopped_outside = False

    @rule()
    def bring_up(self) -> None:
        """Let things take their course, so that what follows happens to a server that runs."""
        for _ in range(6):
            self.look(Health.READY, stub=False, seconds=1.0)
            if self.state.doing is not None:
                self.finish(None)

    @rule(ending=st.sampled_from((CRASH, OOM)), times=st.integers(1, 6), soon=st.booleans())
    def crash_again_and_again(self, ending: Ending, times: int, soon: bool) -> None:
        for _ in range(times):
            self.end_run(ending)
            for seconds in (0.1, 0.6, 0.6) if soon else (0.0, 70.0):
                self.look(Health.SILENT, stub=False, seconds=seconds)
            if self.state.doing is not None:
                self.finish(None)
            self.look(Health.SILENT, stub=False, seconds=0.1)

    # -- what becomes of actions ----------------------------------------------------------

    @precondition(lambda self: self.state.doing is not None)
    @rule(failure=st.sampled_from((None, None, None, *FAILURES)))
    def finish(self, failure: Ending | None) -> None:
        action = self.state.doing
        assert action is not None
        if failure is None and not self.engine:
            failure = FAILURES[-1]
        if self.cancelled and action.do is Do.PULL:
            failure, self.cancelled = Ending(EndingKind.CANCELLED, ""), False
        if failure is not None:
            if action.do is Do.START:
                self.over()
            self.give(Finished(action, failure))
            return
        self.carry_out(action)

    def carry_out(self, action: Action) -> None:
        made = ""
        match action.do:
            case Do.CREATE if self.container is None:
                self.ids += 1
                made = f"c{self.ids}"
                self.container = Container(made, Status.CREATED, ours=True)
            case Do.CREATE:
                self.give(Finished(action, FAILURES[1]))
                return
            case _ if self.container is None or self.container.id != action.container_id:
                # Gone meanwhile: 404 counts as done for a removal or stop, and as a failure for a start.
                if action.do is Do.START:
                    self.over()
                self.give(Finished(action, CRASH if action.do is Do.START else None))
                return
            case Do.START:
                self.start_run()
            case Do.STOP:
                self.end_run(ASKED)
            case Do.REMOVE if self.container.status is not Status.RUNNING:
                self.container = None
            case Do.TAKE_OVER:
                self.container = replace(self.container, engine_restarts=False)
            case _:
                pass
        self.give(Finished(action, container_id=made))

    # -- what happens to the container ----------------------------------------------------

    def start_run(self) -> None:
        if self.container is not None and self.container.status in (Status.CREATED, Status.EXITED):
            self.runs += 1
            self.container = replace(self.container, status=Status.RUNNING, started_at=f"run {self.runs}", ending=None)

    def end_run(self, ending: Ending) -> None:
        if self.container is not None and self.container.status in (Status.RUNNING, Status.PAUSED):
            self.container = replace(self.container, status=Status.EXITED, ending=ending)
            self.over()

    def over(self) -> None:
        self.started_without_end = False
        self.ended_at = self.now
        # The second half of a restart that the operator asked for goes on at once, however the first half ended.
        self.human_since_end = self.state.restarting and not self.state.proven_bad

    @rule(ending=st.sampled_from((CRASH, CRASH, OOM, replace(CRASH, signature="other"))))
    def crash(self, ending: Ending) -> None:
        self.end_run(ending)

    @rule()
    def docker_stop(self) -> None:
        state, container = self.state, self.container
        if not self.engine or container is None or not container.ours:
            return
        if container.status is Status.RUNNING and container.started_at == state.run and not state.restarting:
            self.stopped_outside = self.writer and state.doing is None and not state.engine_was_lost
        self.end_run(ASKED)

    @rule()
    def docker_start(self) -> None:
        if self.engine and self.container is not None and self.container.status is Status.EXITED:
            self.human()
            self.start_run()

    @rule()
    def docker_rm(self) -> None:
        if self.engine and self.container is not None:
            self.over()
            self.container = None
            self.human()

    @rule()
    def docker_pause(self) -> None:
        if self.container is not None and self.container.status is Status.RUNNING:
            self.container = replace(self.container, status=Status.PAUSED)
        elif self.container is not None and self.container.status is Status.PAUSED:
            self.container = replace(self.container, status=Status.RUNNING)

    @rule(takes_it_along=st.booleans())
    def engine_goes_or_comes(self, takes_it_along: bool) -> None:
        self.engine = not self.engine
        self.stopped_outside = False
        if not self.engine and takes_it_along:
            self.end_run(ASKED)

    @rule()
    def engine_is_away_for_a_while(self) -> None:
        for there in (False, True):
            self.engine = there
            self.stopped_outside = False
            for _ in range(2):
                self.look(Health.SILENT, stub=False, seconds=70.0)

    @precondition(lambda self: not self.writer)
    @rule()
    def the_lock_is_free_at_last(self) -> None:
        """Another tritop supervised until now; what it did counts as done by a human."""
        self.writer = True
        self.human()

    @precondition(lambda self: not self.writer)
    @rule()
    def the_other_tritop_starts_it(self) -> None:
        self.container = self.container or Container("c0", Status.CREATED, ours=True)
        self.start_run()

    @precondition(lambda self: self.container is None)
    @rule()
    def somebody_takes_the_name(self) -> None:
        self.ids += 1
        self.container = Container(f"c{self.ids}", Status.RUNNING, ours=False, started_at="foreign")

    @precondition(lambda self: self.container is not None and not self.container.ours)
    @rule()
    def the_name_is_free_again(self) -> None:
        self.container = None

    @precondition(lambda self: self.container is not None and self.container.ours)
    @rule()
    def somebody_sets_a_restart_policy_or_another_spec(self) -> None:
        assert self.container is not None
        self.container = replace(self.container, engine_restarts=not self.container.engine_restarts)


SupervisedWorld.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestSupervisedWorld = SupervisedWorld.TestCase
