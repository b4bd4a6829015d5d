"""Our own traffic: which belongs to which row, what it is called, and the next step up or down."""

from __future__ import annotations

from dataclasses import dataclass, field

from tritop.model import ModelState, ModelVersion, Server, Snapshot, Traffic, TrafficState
from tritop.operation import SetTraffic
from tui.present.filtering import RowKey

__all__ = ["CONCURRENCIES", "TrafficIndex", "TrafficKnob", "index_traffic", "runs", "traffic_of"]

CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
"""Requests in flight that `[` and `]` step through."""
FIRST_CONCURRENCY = 8
LEAST_RATE_PER_S = 1.0
MOST_RATE_PER_S = 1_000_000.0


def runs(traffic: Traffic | None) -> bool:
    """Whether a generator is at work or about to be."""
    return traffic is not None and traffic.state in (TrafficState.STARTING, TrafficState.RUNNING)


TrafficIndex = dict[RowKey, Traffic]
"""(server, model, version) -> what sends to that version."""


def index_traffic(snapshot: Snapshot) -> TrafficIndex:
    """Which traffic belongs to which row.

    Traffic whose version the server chooses belongs to the highest version that is READY, which
    is what Triton chooses (model_repository.md, "Model Versions"). Traffic to exactly a version
    comes before that, and traffic that runs before traffic that ended.
    """
    found: TrafficIndex = {}
    for traffic in sorted(snapshot.traffic, key=lambda each: (runs(each), each.version != "")):
        version = traffic.version or _chosen_version(snapshot, traffic)
        found[traffic.server, traffic.model, version] = traffic
    return found


def _chosen_version(snapshot: Snapshot, traffic: Traffic) -> str:
    served = [
        model.version
        for server in snapshot.servers
        if server.name == traffic.server
        for model in server.models
        if model.name == traffic.model and model.state is ModelState.READY
    ]
    return max(served, key=lambda version: int(version) if version.isdecimal() else -1, default="")


def traffic_of(snapshot: Snapshot, server: str, model: ModelVersion) -> Traffic | None:
    """What sends to a model version, `None` where nothing does."""
    if not snapshot.traffic:
        return None
    return index_traffic(snapshot).get((server, model.name, model.version))


@dataclass(slots=True)
class TrafficKnob:
    """Turns keys into `SetTraffic`, remembering what each model last had.

    The outcome of a turn is in a later Snapshot, so a second turn before that counts from what
    was asked for, not from what is shown.
    """

    _asked: dict[tuple[str, str, str], SetTraffic] = field(default_factory=dict)
    _seen: dict[tuple[str, str, str], Traffic] = field(default_factory=dict)

    def toggle(self, server: Server, model: ModelVersion, traffic: Traffic | None) -> SetTraffic:
        """Stop traffic that runs, or start it as it last was: 8 in flight for the first time."""
        key = self._key(server, model, traffic)
        current = self._current(key, traffic)
        if current.concurrency is not None or current.rate_per_s is not None:
            self._remember(key, current, None)
            return SetTraffic(*key)
        last = self._asked.get(key)
        operation = last if last is not None else SetTraffic(*key, concurrency=FIRST_CONCURRENCY)
        return self._remember(key, operation, traffic)

    def step(self, server: Server, model: ModelVersion, traffic: Traffic | None, up: bool) -> SetTraffic | None:
        """One step more or less; `None` where there is no traffic or no further step."""
        key = self._key(server, model, traffic)
        current = self._current(key, traffic)
        if current.rate_per_s is not None:
            rate = current.rate_per_s * (2.0 if up else 0.5)
            operation = SetTraffic(*key, rate_per_s=rate, poisson=current.poisson)
            allowed = LEAST_RATE_PER_S <= rate <= MOST_RATE_PER_S
        elif current.concurrency is not None:
            concurrency = _next_step(current.concurrency, up)
            operation = SetTraffic(*key, concurrency=concurrency)
            allowed = concurrency != current.concurrency
        else:
            return None
        return self._remember(key, operation, traffic) if allowed else None

    def _key(self, server: Server, model: ModelVersion, traffic: Traffic | None) -> tuple[str, str, str]:
        version = traffic.version if traffic is not None and runs(traffic) else model.version
        return (server.name, model.name, version)

    def _current(self, key: tuple[str, str, str], traffic: Traffic | None) -> SetTraffic:
        """What is wanted at the moment: what was asked for until a Snapshot shows something else."""
        asked, seen = self._asked.get(key), self._seen.get(key)
        if traffic is None or not runs(traffic):
            return SetTraffic(*key)
        unchanged = seen is not None and (seen.concurrency, seen.rate_per_s) == (
            traffic.concurrency,
            traffic.rate_per_s,
        )
        if asked is not None and unchanged:
            return asked
        return SetTraffic(*key, concurrency=traffic.concurrency, rate_per_s=traffic.rate_per_s, poisson=traffic.poisson)

    def _remember(self, key: tuple[str, str, str], operation: SetTraffic, traffic: Traffic | None) -> SetTraffic:
        self._asked[key] = operation
        if traffic is not None:
            self._seen[key] = traffic
        else:
            self._seen.pop(key, None)
        return operation


def _next_step(concurrency: int, up: bool) -> int:
    """The next of `CONCURRENCIES`; doubles and halves beyond both ends of it."""
    if up:
        return next((step for step in CONCURRENCIES if step > concurrency), concurrency)
    return next((step for step in reversed(CONCURRENCIES) if step < concurrency), concurrency)
