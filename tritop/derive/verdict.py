"""Why a model is slow: one deterministic verdict with its evidence, steady enough to be read.

The rules, first match wins. Thresholds in brackets hold while the verdict is already shown, so that a
value near a threshold does not make it come and go.

| verdict | when |
| --- | --- |
| load failed | the version failed to load |
| stalled | requests are pending and none was executed for `STALL_S`, and for thrice the usual execution |
| rejecting | the server refused requests by its queue policy, by its own count or by our traffic's |
| failing | at least 1 % of the requests failed, cancellations by clients aside |
| capacity | waiting matters, instances are busy 85 % (75 %) of the time, and so is what they run on |
| instances | the same, and what they run on is used less than 50 % (60 %): more instances would help |
| delay | waiting matters, is about `max_queue_delay`, and less than one full batch is pending |
| input | moving inputs takes 40 % (30 %) of the compute time or more |
| client | our own traffic is limited by its generator while the instances idle |
| load failed | a change to a version that still serves was refused |

Waiting matters where the mean queue time is at least half (a third) of the mean compute time. Little's
law (L = rate x wait) stands in for the pending count where the server gives none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from tritop.derive.rates import Rates
from tritop.model import ModelConfig, ModelState, Scheduling, Traffic, Verdict, VerdictKind

STALL_S = 5.0
ENTER_S = 2.0
"""Something must be wrong for this long, and in two judgements, before it is shown."""
LEAVE_S = 3.0
"""A verdict goes when it has not held for this long, and in two judgements."""
MIN_WAIT_US = 200.0
"""A mean queue time below this is never worth a verdict."""

_REFUSALS = ("Exceeds maximum queue size", "Request timeout expired")
"""How Triton words a refusal by queue policy; the first is in no counter of the server."""


class Symptoms(NamedTuple):
    """What is known of one model version at one instant."""

    state: ModelState
    reason: str
    rates: Rates
    pending: int | None
    busy_ratio: float | None
    config: ModelConfig | None
    device_ratio: float | None
    """Utilisation of what its instances run on: a GPU, or the host's cores."""
    traffic: Traffic | None


@dataclass(frozen=True, slots=True)
class VerdictTrack:
    """What is shown, and what speaks for changing it."""

    shown: Verdict | None = None
    troubled_since: float | None = None
    """Monotonic time since when each judgement found something."""
    candidate: VerdictKind | None = None
    candidate_since: float = 0.0
    judgements: int = 0
    """Judgements in a row that agreed on `candidate`, or on nothing while something is shown."""
    well_since: float | None = None
    executed_at: float | None = None
    """Monotonic time when it last executed or had nothing pending."""
    execution_us: float = 0.0
    """Mean compute time when it last executed."""


WELL = VerdictTrack()


def next_verdict(track: VerdictTrack, symptoms: Symptoms, mono: float) -> VerdictTrack:
    """Judge, and let the outcome change what is shown only once it has lasted."""
    track = _watch_executions(track, symptoms, mono)
    found = judge(symptoms, track, mono)
    if track.shown is not None and track.shown.kind is VerdictKind.LOAD_FAILED and found != track.shown:
        track = WELL
    if found is None:
        # What executes nothing is not slow any more; where its server says nothing of it that is not known.
        gone = symptoms.state in (ModelState.LOADING, ModelState.UNLOADED)
        return WELL if gone else _recover(track, mono)
    if found.kind is VerdictKind.LOAD_FAILED or (track.shown is not None and track.shown.kind is found.kind):
        return replace(track, shown=found, troubled_since=mono, candidate=None, judgements=0, well_since=None)
    return _suspect(track, found, mono)


def _watch_executions(track: VerdictTrack, symptoms: Symptoms, mono: float) -> VerdictTrack:
    rates = symptoms.rates
    if rates.executions_per_s:
        execution_us = _compute_us(rates) or track.execution_us
        if track.executed_at is None and track.execution_us / 2 <= execution_us <= track.execution_us * 2:
            return track
        return replace(track, executed_at=None, execution_us=execution_us)
    if not symptoms.pending:
        return track if track.executed_at is None else replace(track, executed_at=None)
    return track if track.executed_at is not None else replace(track, executed_at=mono)


def _recover(track: VerdictTrack, mono: float) -> VerdictTrack:
    if track.shown is None:
        if track.troubled_since is None:
            return track
        return replace(track, troubled_since=None, candidate=None, judgements=0)
    if track.well_since is None:
        return replace(track, well_since=mono, candidate=None, judgements=1)
    if track.judgements >= 1 and mono - track.well_since >= LEAVE_S:
        return VerdictTrack(executed_at=track.executed_at, execution_us=track.execution_us)
    return replace(track, judgements=track.judgements + 1)


def _suspect(track: VerdictTrack, found: Verdict, mono: float) -> VerdictTrack:
    """Something is wrong that is not shown: show it once there was trouble, or this trouble, for long enough."""
    same = track.candidate is found.kind
    since = track.candidate_since if same else mono
    judgements = track.judgements + 1 if same else 1
    troubled_since = mono if track.troubled_since is None else track.troubled_since
    lasted = mono - (troubled_since if track.shown is None else since)
    enough = lasted >= ENTER_S and (judgements >= 2 or track.shown is None)
    if enough:
        return replace(track, shown=found, troubled_since=troubled_since, candidate=None, judgements=0, well_since=None)
    return replace(
        track,
        troubled_since=troubled_since,
        candidate=found.kind,
        candidate_since=since,
        judgements=judgements,
        well_since=None,
    )


def judge(symptoms: Symptoms, track: VerdictTrack, mono: float) -> Verdict | None:
    """The verdict of this instant alone, `None` when all is well."""
    if symptoms.state is ModelState.FAILED:
        return Verdict(VerdictKind.LOAD_FAILED, text=symptoms.reason)
    shown = track.shown.kind if track.shown is not None else None
    found = _stalled(symptoms, track, mono) or _rejecting(symptoms) or _failing(symptoms)
    if found is None and not _is_ensemble(symptoms):
        found = _waiting(symptoms, shown) or _input(symptoms, shown) or _client(symptoms)
    if found is None and symptoms.reason and symptoms.state is ModelState.READY:
        return Verdict(VerdictKind.LOAD_FAILED, text=symptoms.reason)
    return found


def _is_ensemble(symptoms: Symptoms) -> bool:
    """An ensemble queues and computes in its steps, which have verdicts of their own."""
    return symptoms.config is not None and symptoms.config.scheduling is Scheduling.ENSEMBLE


def _compute_us(rates: Rates) -> float | None:
    stages = (rates.compute_input_us, rates.compute_infer_us, rates.compute_output_us)
    known = [stage for stage in stages if stage is not None]
    return sum(known) if known else None


def _evidence(*facts: tuple[str, float | None]) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(value)) for name, value in facts if value is not None)


def _stalled(symptoms: Symptoms, track: VerdictTrack, mono: float) -> Verdict | None:
    if not symptoms.pending or track.executed_at is None or symptoms.rates.executions_per_s is None:
        return None
    idle_s = mono - track.executed_at
    if idle_s < max(STALL_S, 3e-6 * track.execution_us):
        return None
    return Verdict(VerdictKind.STALLED, _evidence(("pending", symptoms.pending), ("no_execution_s", idle_s)))


def _rejecting(symptoms: Symptoms) -> Verdict | None:
    rejected = dict(symptoms.rates.failures_by_reason).get("REJECTED")
    traffic = symptoms.traffic
    refused = None
    if traffic is not None and traffic.errors_per_s:
        kinds = [kind for kind, count in traffic.errors_by_kind if count > 0]
        if kinds and all(any(refusal in kind for refusal in _REFUSALS) for kind in kinds):
            refused = traffic.errors_per_s
    if not rejected and not refused:
        return None
    config = symptoms.config
    return Verdict(
        VerdictKind.REJECTING,
        _evidence(
            ("rejected_per_s", rejected or None),
            ("client_errors_per_s", refused),
            ("max_queue_size", config.max_queue_size if config is not None and config.max_queue_size else None),
            ("pending", symptoms.pending),
            ("requests_per_s", symptoms.rates.requests_per_s),
        ),
    )


def _failing(symptoms: Symptoms) -> Verdict | None:
    rates = symptoms.rates
    if not rates.failures_per_s:
        return None
    by_reason = dict(rates.failures_by_reason)
    failures = rates.failures_per_s - by_reason.get("CANCELED", 0.0) - by_reason.get("REJECTED", 0.0)
    share = failures / (rates.failures_per_s + (rates.requests_per_s or 0.0))
    if share < 0.01:
        return None
    worst = sorted(by_reason.items(), key=lambda item: -item[1])
    return Verdict(
        VerdictKind.FAILING,
        _evidence(
            ("failures_per_s", failures),
            ("failed_ratio", share),
            *((f"{reason}_per_s", per_s) for reason, per_s in worst if reason),
        ),
    )


def _waiting(symptoms: Symptoms, shown: VerdictKind | None) -> Verdict | None:
    rates, config, pending, busy = symptoms.rates, symptoms.config, symptoms.pending, symptoms.busy_ratio
    compute_us = _compute_us(rates)
    waiting = shown in {VerdictKind.CAPACITY, VerdictKind.INSTANCES, VerdictKind.DELAY}
    if rates.queue_us is None or not compute_us or rates.queue_us < MIN_WAIT_US:
        return None
    if rates.queue_us < compute_us * (1 / 3 if waiting else 1 / 2):
        return None
    by_littles_law = rates.queue_us * 1e-6 * (rates.requests_per_s or 0.0)
    waiting_requests = by_littles_law if pending is None else pending
    instances = (config.instances if config is not None else None) or 1
    full_batch = max(1, config.max_batch_size if config is not None else 1)
    held = shown in {VerdictKind.CAPACITY, VerdictKind.INSTANCES}
    # Without the statistics nobody knows how busy the instances are; a full batch waiting for each says it too.
    saturated = busy >= (0.75 if held else 0.85) if busy is not None else waiting_requests >= instances * full_batch
    if saturated:
        return _saturated(symptoms, shown, waiting_requests)
    delay_us = config.max_queue_delay_us if config is not None else 0
    if delay_us and 0.4 <= rates.queue_us / delay_us <= 1.6 and waiting_requests <= full_batch:
        return Verdict(
            VerdictKind.DELAY,
            _evidence(
                ("queue_us", rates.queue_us),
                ("max_queue_delay_us", delay_us),
                ("pending", waiting_requests),
                ("batch_avg", rates.batch_avg),
                ("busy_ratio", busy),
            ),
        )
    return None


def _saturated(symptoms: Symptoms, shown: VerdictKind | None, waiting_requests: float) -> Verdict:
    rates, config, device = symptoms.rates, symptoms.config, symptoms.device_ratio
    idle = device is not None and device < (0.6 if shown is VerdictKind.INSTANCES else 0.5)
    return Verdict(
        VerdictKind.INSTANCES if idle else VerdictKind.CAPACITY,
        _evidence(
            ("busy_ratio", symptoms.busy_ratio),
            ("pending", waiting_requests),
            ("queue_us", rates.queue_us),
            ("instances", config.instances if config is not None else None),
            ("batch_avg", rates.batch_avg),
            ("max_batch_size", config.max_batch_size if config is not None else None),
            ("device_ratio", device),
        ),
    )


def _input(symptoms: Symptoms, shown: VerdictKind | None) -> Verdict | None:
    rates = symptoms.rates
    compute_us = _compute_us(rates)
    if not compute_us or rates.compute_input_us is None or rates.compute_input_us < MIN_WAIT_US:
        return None
    share = rates.compute_input_us / compute_us
    if share < (0.3 if shown is VerdictKind.INPUT else 0.4):
        return None
    return Verdict(
        VerdictKind.INPUT,
        _evidence(
            ("compute_input_us", rates.compute_input_us),
            ("input_ratio", share),
            ("compute_infer_us", rates.compute_infer_us),
        ),
    )


def _client(symptoms: Symptoms) -> Verdict | None:
    traffic, busy = symptoms.traffic, symptoms.busy_ratio
    if traffic is None or not traffic.client_bound or symptoms.pending:
        return None
    if busy is None or busy >= 0.5:
        return None
    return Verdict(
        VerdictKind.CLIENT,
        _evidence(
            ("busy_ratio", busy),
            ("client_cpu_ratio", traffic.client_cpu_ratio),
            ("requests_per_s", symptoms.rates.requests_per_s),
            ("rate_per_s", traffic.rate_per_s),
        ),
    )


def is_well(symptoms: Symptoms) -> bool:
    """Whether `judge` could find nothing, by the few comparisons that most rows need."""
    rates, traffic = symptoms.rates, symptoms.traffic
    return (
        not symptoms.pending
        and not symptoms.reason
        and not rates.failures_per_s
        and not rates.failures_by_reason
        and symptoms.state is not ModelState.FAILED
        and (rates.queue_us is None or rates.queue_us < MIN_WAIT_US)
        and (rates.compute_input_us is None or rates.compute_input_us < MIN_WAIT_US)
        and (traffic is None or not (traffic.client_bound or traffic.errors_per_s))
    )
