"""The rails of a trial, and who decides when: no server is needed to make one fail on cue."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.control.fake_changer import FakeChanger
from tritop.change import ConfigEdit, Preview
from tritop.control.author import this_author
from tritop.control.entry import Author, Entry, new_id
from tritop.control.ledger import Ledger, NotRecorded
from tritop.control.recorded import Progress, RecordedControl
from tritop.control.trial import JUDGED_REQUESTS, SETTLE_S, Interval, Trial, figures, interval_of, judge
from tritop.control.trials import Trials
from tritop.control.undo import same_config
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, Unreachable
from tritop.model import EventKind, ModelState, ModelVersion, Origin, Server, Snapshot, Traffic, TrafficState
from tritop.operation import EditConfig, KeepTrial, ModelOperation, TakeBackTrial
from tritop.trial import Figures, Rails, RailState, RailStatus, TrialState

ENDPOINT = Endpoint("box", "127.0.0.1", 8001)
EDIT = EditConfig("box", "tiny", ConfigEdit(max_queue_delay_us=5), trial_s=600.0)
CALM = Interval(0.0, 5.0, 500.0, 0.0, 2000.0, 500.0, 4_000.0, 1_000.0, 9_000.0, "client", 0.5, 0.0, 1)


def interval(**changes: object) -> Interval:
    return replace(CALM, **changes)  # type: ignore[arg-type]  # the fields of Interval, checked when it is made


def states(after: Sequence[Interval], rails: Rails = Rails()) -> dict[str, RailState]:  # noqa: B008  a frozen value
    return {rail.name: rail.state for rail in judge(figures([CALM]), after, rails)}


def rail(name: str, after: Sequence[Interval], rails: Rails = Rails()) -> RailStatus:  # noqa: B008  a frozen value
    return next(one for one in judge(figures([CALM]), after, rails) if one.name == name)


# -- the rails ----------------------------------------------------------------------------


def test_a_calm_model_crosses_nothing() -> None:
    assert set(states([CALM]).values()) == {RailState.HELD}


@given(st.floats(0, 1e7), st.floats(1, 10), st.floats(0, 1e6))
def test_a_rail_is_crossed_above_factor_and_margin_and_nowhere_else(after: float, factor: float, margin: float) -> None:
    found = rail("queue_us", [interval(queue_us=after)], Rails(queue_us=(factor, margin)))
    limit = max(4_000.0 * factor, 4_000.0 + margin)
    assert found.limit == pytest.approx(limit)
    assert found.state is (RailState.CROSSED if (found.after or 0.0) > (found.limit or 0.0) else RailState.HELD)


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("failure_ratio", {"failed": 20.0}),
        ("queue_us", {"queue_us": 500_000.0}),
        ("p99_us", {"p99_us": 90_000.0}),
        ("client_errors_per_s", {"client_errors": 10.0}),
        ("stalled_s", {"answered": 0.0, "waiting": 4}),
    ],
)
def test_each_rail_is_crossed_by_its_own_number_only(name: str, worse: dict[str, object]) -> None:
    found = states([interval(**worse)])
    assert found.pop(name) is RailState.CROSSED
    assert RailState.CROSSED not in found.values()
    assert name not in states([interval(**worse)], replace(Rails(), **{name: None}))


def test_too_little_traffic_says_so_and_crosses_nothing() -> None:
    few = interval(answered=JUDGED_REQUESTS - 1, queue_us=1e9, p99_us=1e9)
    found = states([few])
    assert found["queue_us"] is found["p99_us"] is found["failure_ratio"] is RailState.TOO_LITTLE_TRAFFIC
    assert states([interval(ended=1.0, queue_us=1e9)])["queue_us"] is RailState.TOO_LITTLE_TRAFFIC
    assert states([])["queue_us"] is RailState.TOO_LITTLE_TRAFFIC


def test_what_was_not_known_before_cannot_be_compared() -> None:
    unknown = Figures(window_s=5.0, requests=0.0)
    found = {one.name: one.state for one in judge(unknown, [interval(failed=400.0)], Rails())}
    assert found["queue_us"] is found["p99_us"] is RailState.UNKNOWN
    assert found["failure_ratio"] is RailState.CROSSED, "a model without traffic has no failures to compare with"
    other = {one.name: one.state for one in judge(figures([CALM]), [interval(p99_origin="60 s quantile")], Rails())}
    assert other["p99_us"] is RailState.UNKNOWN


def test_the_newest_part_is_judged_so_that_a_long_calm_hides_nothing() -> None:
    calm = [interval(began=float(at), ended=float(at + 1), answered=100.0) for at in range(300)]
    worse = [interval(began=300.0 + at, ended=301.0 + at, answered=100.0, queue_us=400_000.0) for at in range(3)]
    assert states(calm)["queue_us"] is RailState.HELD
    assert states(calm + worse)["queue_us"] is RailState.CROSSED


def test_figures_weigh_by_requests() -> None:
    both = figures([CALM, interval(began=5.0, ended=10.0, answered=1500.0, queue_us=8_000.0, failed=500.0)])
    assert both.window_s == 10.0
    assert both.requests_per_s == 200.0
    assert both.failure_ratio == 0.2
    assert both.queue_us == 7_000.0
    assert both.batch_avg == 4.0
    assert figures([]) == Figures()


# -- Snapshots ----------------------------------------------------------------------------


def snapshot(mono: float, *, requests_per_s: float | None = 100.0, queue_us: float = 4_000.0) -> Snapshot:
    row = ModelVersion(
        "tiny",
        "1",
        ModelState.READY,
        requests_per_s=requests_per_s,
        failures_per_s=0.0,
        inferences_per_s=400.0,
        executions_per_s=100.0,
        queue_us=queue_us,
        compute_infer_us=1_000.0,
        p99_us=9_000.0,
        p99_origin=Origin.CLIENT,
        pending=1,
    )
    other = replace(row, name="other", queue_us=1e9)
    traffic = Traffic("box", "tiny", "", TrafficState.RUNNING, errors_per_s=0.0, in_flight=1)
    return Snapshot(0, mono, mono, 1.0, (Server("box", "a:1", models=(row, other)),), traffic=(traffic,))


def test_an_interval_is_the_model_and_nothing_else() -> None:
    found = interval_of(snapshot(1.0), snapshot(3.0), "box", "tiny")
    assert found is not None
    assert (found.seconds, found.answered, found.queue_us, found.client_errors) == (2.0, 200.0, 4_000.0, 0.0)
    assert found.compute_us == 1_000.0
    assert interval_of(snapshot(1.0), snapshot(1.0), "box", "tiny") is None
    assert interval_of(snapshot(1.0), snapshot(60.0), "box", "tiny") is None, "the machine slept"
    assert interval_of(snapshot(1.0), snapshot(2.0, requests_per_s=None), "box", "tiny") is None
    assert interval_of(snapshot(1.0), snapshot(2.0), "other", "tiny") is None


def test_two_versions_are_one_model() -> None:
    one, two = snapshot(1.0), snapshot(2.0)
    first = two.servers[0].models[0]
    second = replace(first, version="2", requests_per_s=300.0, queue_us=8_000.0, p99_us=12_000.0, pending=4)
    both = replace(two, servers=(replace(two.servers[0], models=(first, second)),))
    found = interval_of(one, both, "box", "tiny")
    assert found is not None
    assert (found.answered, found.queue_us, found.p99_us, found.waiting) == (400.0, 7_000.0, 12_000.0, 5)


# -- the state machine --------------------------------------------------------------------


def begun(trial_s: float = 30.0) -> Trial:
    entry = Entry("t", 0.0, EventKind.TRIAL_BEGUN, "a:1", "box", "tiny", trial_s=trial_s)
    return Trial(entry, Rails(), [CALM])


def test_a_trial_ends_by_time_or_by_a_rail() -> None:
    trial = begun()
    assert trial.reason_to_take_back(1e9) == "", "nothing runs out before the change is in force"
    trial.applied(100.0)
    assert trial.status(110.0).ends_in_s == 20.0
    assert trial.reason_to_take_back(129.9) == ""
    assert trial.reason_to_take_back(130.0) == "its time ran out, and there was not enough traffic to judge it"
    trial.observe(interval(began=102.0, ended=107.0))
    assert trial.reason_to_take_back(130.0) == "its time ran out"
    trial.observe(interval(began=107.0, ended=112.0, queue_us=500_000.0))
    assert trial.reason_to_take_back(112.0) == ("the time in the queue rose from 4 to 500 ms, and the rail is 24 ms")
    trial.ended(TrialState.KEPT, "")
    assert trial.reason_to_take_back(1e9) == ""


def test_what_began_before_the_change_had_settled_does_not_count() -> None:
    trial = begun()
    trial.observe(interval(queue_us=1e9))
    trial.applied(100.0)
    trial.observe(interval(began=100.0 + SETTLE_S / 2, ended=105.5, queue_us=1e9))
    assert trial.status(106.0).after == Figures()
    trial.observe(interval(began=100.0 + SETTLE_S, ended=107.0))
    assert trial.status(107.0).after.requests == 500.0
    assert trial.status(107.0).judged


# -- the driver ---------------------------------------------------------------------------


class Desk:
    """Trials of one fake server on a clock that only the test moves."""

    def __init__(self, folder: Path) -> None:
        self.mono = 100.0
        self.fake = FakeChanger()
        self.before = self.fake.pbtxt
        self.ledger = Ledger(folder)
        self.control = RecordedControl(ENDPOINT, self.fake, self.ledger)
        self.changed = asyncio.Event()
        self.trials = Trials(
            lambda name: self.control,
            changed=self.changed.set,
            monotonic=lambda: self.mono,
            before_s=0.0,
            retry_s=0.01,
        )

    async def pass_time(self, seconds: float, **numbers: float) -> None:
        for _ in range(int(seconds)):
            self.mono += 1.0
            self.trials.observe(snapshot(self.mono, **numbers))
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def state(self) -> TrialState:
        return self.trials.statuses()[-1].state

    def kinds(self) -> list[EventKind]:
        return [entry.kind for entry in self.ledger.entries()]


def silent(text: str) -> None:
    """Progress that nobody looks at."""


def test_a_trial_is_in_the_ledger_before_the_server_hears_of_it(tmp_path: Path) -> None:
    seen: list[list[EventKind]] = []

    async def run() -> None:
        desk = Desk(tmp_path)
        perform = desk.fake.perform

        async def watched(*arguments: object) -> object:
            seen.append(desk.kinds())
            return await perform(*arguments)  # type: ignore[arg-type]  # passed through

        desk.fake.perform = watched  # type: ignore[method-assign,assignment]  # to look in between
        await desk.trials.begin(EDIT, silent)
        assert desk.state() is TrialState.WATCHING
        await desk.trials.close()

    asyncio.run(run())
    assert seen[0] == [EventKind.TRIAL_BEGUN]


def test_a_trial_is_made_of_what_is_there_when_it_begins_and_of_nothing_later(tmp_path: Path) -> None:
    class FakeOvertaken(FakeChanger):
        """Somebody else changes the model while it is measured."""

        async def preview(self, operation: ModelOperation, progress: Progress = lambda text: None) -> Preview:
            asked = await super().preview(operation)
            self.pbtxt = self.pbtxt.replace("max_batch_size: 8", "max_batch_size: 16")
            return asked

    async def run() -> None:
        desk = Desk(tmp_path)
        fake = FakeOvertaken()
        desk.control = RecordedControl(ENDPOINT, fake, desk.ledger)
        await desk.trials.begin(EDIT, silent)
        (entry,) = desk.ledger.entries()
        assert "max_batch_size: 16" in entry.pbtxt_before
        (sent,) = fake.performed
        assert isinstance(sent, EditConfig)
        assert (sent.based_on, sent.exactly) == (entry.pbtxt_before, True), "a merge would be taken back with it"
        await desk.trials.close()

    asyncio.run(run())


def test_a_crossed_rail_takes_it_back_and_a_held_one_does_not(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        await desk.pass_time(5)
        await desk.trials.begin(EDIT, silent)
        await desk.pass_time(20)
        assert desk.state() is TrialState.WATCHING
        await desk.pass_time(5, queue_us=600_000.0)
        await desk.until(lambda: desk.state() is TrialState.TAKEN_BACK)
        assert same_config(desk.fake.pbtxt, desk.before)
        assert desk.kinds() == [EventKind.TRIAL_BEGUN, EventKind.TRIAL_TAKEN_BACK]

    asyncio.run(run())


def test_a_server_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        await desk.trials.begin(replace(EDIT, trial_s=0.001), silent)
        desk.fake.silent = Unreachable("nobody answers.")
        desk.mono += 1.0
        await desk.until(lambda: desk.state() is TrialState.STUCK)
        assert "nobody answers" in desk.trials.statuses()[-1].text
        desk.fake.silent = None
        await desk.until(lambda: desk.state() is TrialState.TAKEN_BACK)
        assert same_config(desk.fake.pbtxt, desk.before)

    asyncio.run(run())


def test_somebody_elses_change_is_not_overwritten_when_time_runs_out(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        await desk.trials.begin(replace(EDIT, trial_s=0.001), silent)
        desk.fake.pbtxt = theirs = 'name: "tiny" max_batch_size: 64'
        desk.mono += 1.0
        await desk.until(lambda: desk.state() is TrialState.STUCK)
        assert desk.fake.pbtxt == theirs
        assert "somebody changed tiny since" in desk.trials.statuses()[-1].text
        await desk.trials.take_back(TakeBackTrial("box", desk.trials.statuses()[-1].trial_id, confirmed=True), silent)
        assert same_config(desk.fake.pbtxt, desk.before)

    asyncio.run(run())


def test_a_refused_change_was_no_trial(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        desk.fake.errors.append(OperationFailed("box refused."))
        with pytest.raises(OperationFailed, match="box refused"):
            await desk.trials.begin(EDIT, silent)
        assert desk.state() is TrialState.FAILED
        assert await desk.trials.find_open("box") == ()

    asyncio.run(run())


def test_a_server_that_went_away_while_it_was_applied_gets_it_taken_back(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        desk.fake.errors.append(Unreachable("it went away."))
        with pytest.raises(Unreachable):
            await desk.trials.begin(EDIT, silent)
        await desk.until(lambda: desk.state() is TrialState.TAKEN_BACK)

    asyncio.run(run())


def test_without_a_ledger_there_is_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def run() -> None:
        desk = Desk(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("tritop.control.ledger.os.write", full)
            with pytest.raises(NotRecorded):
                await desk.trials.begin(EDIT, silent)
        assert desk.fake.performed == []
        assert desk.kinds() == [], "it must not turn up later either"

    asyncio.run(run())


def test_tritop_that_ends_takes_its_trials_back(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        await desk.trials.begin(EDIT, silent)
        await desk.trials.close()
        assert desk.state() is TrialState.TAKEN_BACK
        assert same_config(desk.fake.pbtxt, desk.before)

    asyncio.run(run())


def test_a_kept_trial_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        await desk.trials.begin(EDIT, silent)
        trial_id = desk.trials.statuses()[-1].trial_id
        await desk.trials.keep(KeepTrial("box", trial_id))
        with pytest.raises(OperationFailed, match="is over: kept"):
            await desk.trials.take_back(TakeBackTrial("box", trial_id), silent)
        with pytest.raises(OperationFailed, match="no trial"):
            await desk.trials.keep(KeepTrial("box", "other"))
        await desk.trials.close()
        assert not same_config(desk.fake.pbtxt, desk.before)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("author", "age_s", "found"),
    [
        (this_author(), 10.0, False),
        (replace(this_author(), pid=2**22 + 1), 10.0, True),
        (this_author(), 1000.0, True),
        (Author("ada", "elsewhere", 7), 10.0, False),
        (Author("ada", "elsewhere", 7), 1000.0, True),
    ],
)
def test_only_what_nobody_watches_is_left_open(tmp_path: Path, author: Author, age_s: float, found: bool) -> None:
    async def run() -> None:
        desk = Desk(tmp_path)
        trials = Trials(lambda name: desk.control, clock=lambda: 5000.0)
        at = 5000.0 - age_s
        entry = Entry(
            new_id(at),
            at,
            EventKind.TRIAL_BEGUN,
            ENDPOINT.grpc_address,
            "box",
            "tiny",
            author=author,
            action="edit",
            pbtxt_before='name: "tiny"',
            pbtxt_after=desk.fake.pbtxt,
            trial_s=30.0,
        )
        desk.ledger.append(entry)
        left = await trials.find_open("box")
        assert [one.state for one in left] == ([TrialState.LEFT_OPEN] if found else [])
        assert await trials.find_open("box") == left, "asking again finds the same"

    asyncio.run(run())
