"""One verdict for each cause, none when all is well, and no flicker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.derive.rates import NO_RATES, Rates
from tritop.derive.verdict import ENTER_S, LEAVE_S, STALL_S, WELL, Symptoms, VerdictTrack, is_well, judge, next_verdict
from tritop.model import (
    InstanceGroup,
    ModelConfig,
    ModelState,
    Scheduling,
    Traffic,
    TrafficState,
    VerdictKind,
)

CONFIG = ModelConfig(
    max_batch_size=8,
    scheduling=Scheduling.DYNAMIC_BATCHING,
    max_queue_delay_us=5000,
    instance_groups=(InstanceGroup("g", "KIND_GPU", 2, (0,)),),
)
CALM = Rates(
    requests_per_s=100.0,
    failures_per_s=0.0,
    inferences_per_s=100.0,
    executions_per_s=100.0,
    batch_avg=1.0,
    request_us=5100.0,
    queue_us=50.0,
    compute_input_us=50.0,
    compute_infer_us=5000.0,
    compute_output_us=50.0,
)
WAITING = CALM._replace(queue_us=20_000.0, request_us=25_000.0)


def symptoms(rates: Rates = CALM, **others: object) -> Symptoms:
    given: dict[str, object] = {
        "state": ModelState.READY,
        "reason": "",
        "pending": 0,
        "busy_ratio": 0.3,
        "config": CONFIG,
        "device_ratio": None,
        "traffic": None,
    }
    return Symptoms(rates=rates, **{**given, **others})  # type: ignore[arg-type]  # fields by name, as given


def kind(found: Symptoms, track: VerdictTrack = WELL, mono: float = 0.0) -> VerdictKind | None:
    verdict = judge(found, track, mono)
    return verdict.kind if verdict is not None else None


def test_nothing_is_said_when_all_is_well() -> None:
    assert kind(symptoms()) is None
    assert kind(symptoms(NO_RATES, pending=None, busy_ratio=None, config=None)) is None
    assert kind(symptoms(busy_ratio=0.95)) is None, "busy without waiting is what instances are for"
    assert kind(symptoms(state=ModelState.UNLOADED, reason="unloaded")) is None


@pytest.mark.parametrize(
    ("found", "expected", "first"),
    [
        (symptoms(WAITING, busy_ratio=0.97, pending=40), VerdictKind.CAPACITY, "busy_ratio"),
        (symptoms(WAITING, busy_ratio=0.97, pending=40, device_ratio=0.9), VerdictKind.CAPACITY, "busy_ratio"),
        (symptoms(WAITING, busy_ratio=0.97, pending=40, device_ratio=0.2), VerdictKind.INSTANCES, "busy_ratio"),
        (symptoms(WAITING, busy_ratio=None, pending=16), VerdictKind.CAPACITY, "pending"),
        (symptoms(CALM._replace(queue_us=4800.0), pending=3), VerdictKind.DELAY, "queue_us"),
        (symptoms(CALM._replace(compute_input_us=6000.0)), VerdictKind.INPUT, "compute_input_us"),
        (
            symptoms(CALM._replace(failures_per_s=5.0, failures_by_reason=(("BACKEND", 5.0),))),
            VerdictKind.FAILING,
            "failures_per_s",
        ),
        (
            symptoms(CALM._replace(failures_per_s=5.0, failures_by_reason=(("REJECTED", 5.0),))),
            VerdictKind.REJECTING,
            "rejected_per_s",
        ),
    ],
)
def test_each_cause_has_its_verdict_with_the_most_telling_number_first(
    found: Symptoms, expected: VerdictKind, first: str
) -> None:
    verdict = judge(found, WELL, 0.0)
    assert verdict is not None
    assert verdict.kind is expected
    assert verdict.evidence[0][0] == first
    assert not is_well(found)


def test_a_wait_that_is_neither_the_delay_nor_a_lack_of_capacity_is_not_explained() -> None:
    assert kind(symptoms(WAITING, busy_ratio=0.4, pending=1)) is None


def test_a_delay_is_no_excuse_where_more_than_a_batch_waits() -> None:
    assert kind(symptoms(CALM._replace(queue_us=4800.0), pending=30)) is None


def test_littles_law_stands_in_for_a_pending_count_that_nobody_gives() -> None:
    # 2000 requests/s that wait 20 ms are 40 waiting requests: more than a full batch for each instance.
    verdict = judge(symptoms(WAITING._replace(requests_per_s=2000.0), busy_ratio=None, pending=None), WELL, 0.0)
    assert verdict is not None
    assert verdict.kind is VerdictKind.CAPACITY
    assert dict(verdict.evidence)["pending"] == pytest.approx(40.0)


def test_a_client_that_cancels_does_not_make_a_model_fail() -> None:
    rates = CALM._replace(failures_per_s=5.0, failures_by_reason=(("CANCELED", 5.0),))
    assert kind(symptoms(rates)) is None
    assert kind(symptoms(CALM._replace(failures_per_s=0.5, failures_by_reason=(("BACKEND", 0.5),)))) is None


def traffic(**fields: object) -> Traffic:
    return Traffic("s", "m", "", TrafficState.RUNNING, **fields)  # type: ignore[arg-type]  # fields by name


def test_the_client_is_named_only_where_it_explains_something() -> None:
    bound = traffic(client_bound=True, client_cpu_ratio=0.98)
    assert kind(symptoms(traffic=bound)) is VerdictKind.CLIENT
    assert kind(symptoms(traffic=traffic(client_bound=False))) is None
    assert kind(symptoms(traffic=bound, busy_ratio=0.9)) is None
    assert kind(symptoms(traffic=bound, pending=5)) is None
    assert kind(symptoms(WAITING, traffic=bound, busy_ratio=0.97, pending=40)) is VerdictKind.CAPACITY


def test_rejections_that_no_counter_has_are_seen_by_our_own_traffic() -> None:
    refusal = ("UNAVAILABLE: [request id: <id_unknown>] Exceeds maximum queue size", 20)
    rejecting = symptoms(traffic=traffic(errors_per_s=20.0, errors_by_kind=(refusal,)))
    assert kind(rejecting) is VerdictKind.REJECTING
    assert not is_well(rejecting)
    other = (*[refusal], ("INTERNAL: boom", 1))
    assert kind(symptoms(traffic=traffic(errors_per_s=20.0, errors_by_kind=other))) is None


def test_an_ensemble_leaves_waiting_to_its_steps() -> None:
    ensemble = ModelConfig(scheduling=Scheduling.ENSEMBLE)
    assert kind(symptoms(WAITING, config=ensemble, busy_ratio=None, pending=40)) is None
    failing = CALM._replace(failures_per_s=6.0, failures_by_reason=(("OTHER", 6.0),))
    assert kind(symptoms(failing, config=ensemble)) is VerdictKind.FAILING


def run(*found: Symptoms, step_s: float = 1.0, track: VerdictTrack = WELL) -> list[VerdictKind | None]:
    """What is shown after each judgement, one each `step_s`."""
    shown = []
    for place, one in enumerate(found):
        track = next_verdict(track, one, 100.0 + place * step_s)
        shown.append(track.shown.kind if track.shown is not None else None)
    return shown


BUSY = symptoms(WAITING, busy_ratio=0.97, pending=40)
SLOW = symptoms(CALM._replace(queue_us=4800.0), pending=3)


def test_a_verdict_comes_only_after_a_while_and_goes_only_after_a_while() -> None:
    assert run(BUSY, BUSY, BUSY, BUSY) == [None, None, VerdictKind.CAPACITY, VerdictKind.CAPACITY]
    back = run(BUSY, BUSY, BUSY, symptoms(), symptoms(), symptoms(), symptoms(), symptoms())
    assert back[3:6] == [VerdictKind.CAPACITY] * 3
    assert back[-1] is None


def test_a_single_calm_moment_does_not_make_it_blink() -> None:
    assert run(*[BUSY, BUSY, BUSY, symptoms()] * 5)[2:] == [VerdictKind.CAPACITY] * 18


def test_a_single_bad_moment_says_nothing() -> None:
    assert run(*[BUSY, symptoms(), symptoms()] * 5) == [None] * 15


def test_two_causes_that_alternate_show_one_of_them_and_do_not_blink() -> None:
    shown = run(*[BUSY, SLOW] * 10)
    assert set(shown[2:]) in ({VerdictKind.CAPACITY}, {VerdictKind.DELAY})


def test_another_cause_that_lasts_takes_over() -> None:
    assert run(BUSY, BUSY, BUSY, SLOW, SLOW, SLOW, SLOW)[-1] is VerdictKind.DELAY


def test_a_long_interval_needs_two_judgements_and_no_more() -> None:
    assert run(BUSY, BUSY, step_s=60.0) == [None, VerdictKind.CAPACITY]
    assert run(BUSY, BUSY, symptoms(), symptoms(), step_s=60.0)[-2:] == [VerdictKind.CAPACITY, None]


def test_a_short_interval_needs_as_much_time() -> None:
    shown = run(*[BUSY] * 12, step_s=0.25)
    assert shown.index(VerdictKind.CAPACITY) == ENTER_S / 0.25


def test_a_value_that_swings_around_its_threshold_does_not_blink() -> None:
    near = [symptoms(WAITING, busy_ratio=0.86 if place % 2 else 0.80, pending=40) for place in range(40)]
    assert run(BUSY, BUSY, BUSY, *near)[2:] == [VerdictKind.CAPACITY] * 41


FAILED = symptoms(NO_RATES, state=ModelState.FAILED, reason="Internal: no such file", pending=None, busy_ratio=None)


def test_a_failed_load_is_said_at_once_and_taken_back_at_once() -> None:
    assert run(FAILED) == [VerdictKind.LOAD_FAILED]
    assert run(FAILED, symptoms()) == [VerdictKind.LOAD_FAILED, None]
    track = next_verdict(WELL, FAILED, 0.0)
    assert track.shown is not None
    assert track.shown.text == "Internal: no such file"


@pytest.mark.parametrize("state", [ModelState.LOADING, ModelState.UNLOADED])
def test_what_serves_nothing_any_more_has_no_verdict_of_its_former_life(state: ModelState) -> None:
    track = WELL
    for mono in (0.0, ENTER_S):
        track = next_verdict(track, symptoms(WAITING, busy_ratio=0.97, pending=40), mono)
    assert track.shown is not None
    gone = symptoms(NO_RATES, pending=None, busy_ratio=None, state=state)
    assert next_verdict(track, gone, ENTER_S + 1.0) is WELL
    unknown = gone._replace(state=ModelState.UNKNOWN)
    assert next_verdict(track, unknown, ENTER_S + 1.0).shown == track.shown


def test_a_refused_update_is_told_after_everything_that_slows() -> None:
    assert kind(symptoms(reason="Invalid argument: no such GPU")) is VerdictKind.LOAD_FAILED
    assert kind(BUSY._replace(reason="Invalid argument: no such GPU")) is VerdictKind.CAPACITY


def stuck(executions: float) -> Symptoms:
    return symptoms(NO_RATES._replace(executions_per_s=executions, requests_per_s=0.0), pending=3, busy_ratio=0.0)


def test_pending_requests_without_an_execution_are_stalled_after_a_while() -> None:
    shown = run(symptoms(), *[stuck(0.0)] * 12)
    first = shown.index(VerdictKind.STALLED)
    assert first - 1 >= STALL_S
    assert shown[first:] == [VerdictKind.STALLED] * (len(shown) - first)


def test_a_model_that_executes_slowly_is_not_stalled() -> None:
    slow = symptoms(CALM._replace(compute_infer_us=4_000_000.0, executions_per_s=0.25), pending=3, busy_ratio=1.0)
    assert VerdictKind.STALLED not in run(slow, *[stuck(0.0)] * 10)


def test_a_stall_ends_with_an_execution() -> None:
    shown = run(symptoms(), *[stuck(0.0)] * 10, *[symptoms()] * 6)
    assert shown[10] is VerdictKind.STALLED
    assert shown[-1] is None
    assert LEAVE_S < 6


ratios = st.none() | st.floats(0, 1.2)
times = st.none() | st.floats(0, 1e7)


@given(
    st.builds(
        Symptoms,
        state=st.sampled_from(ModelState),
        reason=st.sampled_from(["", "unloaded", "no such file"]),
        rates=st.builds(
            Rates,
            requests_per_s=times,
            failures_per_s=times,
            failures_by_reason=st.lists(
                st.tuples(st.sampled_from(["BACKEND", "CANCELED", "REJECTED", ""]), st.floats(0, 1e6)), max_size=3
            ).map(tuple),
            executions_per_s=times,
            batch_avg=times,
            queue_us=times,
            compute_input_us=times,
            compute_infer_us=times,
            compute_output_us=times,
        ),
        pending=st.none() | st.integers(0, 10**6),
        busy_ratio=ratios,
        config=st.none() | st.just(CONFIG) | st.just(ModelConfig(scheduling=Scheduling.ENSEMBLE)),
        device_ratio=ratios,
        traffic=st.none() | st.just(traffic(client_bound=True)),
    )
)
def test_what_is_well_has_no_verdict_whatever_the_numbers(found: Symptoms) -> None:
    verdict = judge(found, WELL, 0.0)
    assert verdict is None or not is_well(found)
    assert verdict is None or all(value == value for _, value in verdict.evidence)  # noqa: PLR0124  no NaN
