"""Readings made by hand, for what no recording can show, and ways to look at what was derived."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritop.derive import Derivation, Round, ServerRound, SourceRound, derive
from tritop.model import Event, Fault, ModelConfig, ModelVersion, Server, Snapshot, Traffic
from tritop.reading import (
    ApiReading,
    BatchStatistics,
    Duration,
    IndexEntry,
    Layout,
    MetricsReading,
    Reading,
    Series,
    VersionStatistics,
)
from tritop.record import read_recording

RECORDINGS = Path(__file__).parents[2] / "recordings"
SERVER = "one"
Labels = dict[str, str]

CORE = (
    "nv_inference_request_success",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
PENDING = "nv_inference_pending_request_count"
FAILURE = "nv_inference_request_failure"


def series(name: str, kind: str = "counter", **labels: str) -> Series:
    """A series as the grammar reports it; a histogram's family is its name without the ending."""
    family = name
    if kind in {"histogram", "summary"}:
        for ending in ("_bucket", "_sum", "_count"):
            family = family.removesuffix(ending)
    return Series(family, name, tuple(sorted(labels.items())), kind)


@dataclass
class Exposition:
    """Values by series; the layout stays the same object while the series do."""

    values: dict[Series, float] = field(default_factory=dict)
    _layout: Layout = field(default_factory=lambda: Layout(()))

    def set(self, name: str, value: float, kind: str = "counter", **labels: str) -> None:
        self.values[series(name, kind, **labels)] = value

    def core(self, model: str, version: str, *values: float, **labels: str) -> None:
        """The counters of one model in the order of CORE."""
        for name, value in zip(CORE, values, strict=True):
            self.set(name, value, model=model, version=version, **labels)

    def at(self, mono: float, dropped: int = 0) -> MetricsReading:
        if self._layout.series != tuple(self.values):
            self._layout = Layout(tuple(self.values))
        return MetricsReading(mono + 1e9, mono, self._layout, array("d", self.values.values()), dropped_series=dropped)


def statistics(
    model: str,
    version: str = "1",
    requests: int = 0,
    executions: int | None = None,
    *,
    us: int = 1000,
    failures: int = 0,
    size: int = 1,
) -> VersionStatistics:
    """Statistics of a model that queues for `us` and computes for as long, always in batches of `size`."""
    runs = requests // size if executions is None else executions
    time = Duration(requests, requests * us * 1000)
    batches = (BatchStatistics(size, runs, 0, runs * us * 1000, 0),) if runs else ()
    return VersionStatistics(
        model,
        version,
        requests,
        requests,
        runs,
        Duration(requests, 2 * requests * us * 1000),
        Duration(failures, 0),
        time,
        Duration(requests, 0),
        time,
        Duration(requests, 0),
        batches=batches,
    )


def api(mono: float, *versions: VersionStatistics, config: ModelConfig | None = None, **fields: object) -> ApiReading:
    """A reading of the API in which every given version is READY."""
    index = tuple(IndexEntry(one.name, one.version, "READY", "") for one in versions)
    configs = {(one.name, one.version): config for one in versions} if config is not None else {}
    given: dict[str, object] = {"live": True, "ready": True, "index": index, "statistics": versions, "configs": configs}
    return ApiReading(mono + 1e9, mono, **{**given, **fields})  # type: ignore[arg-type]  # fields by name, as given


FAULT = Fault("unreachable", "Nobody answers at 127.0.0.1:8001.", "Start it.", 0.0)
SILENCE = Fault("no answer", "127.0.0.1:8001 did not answer in 2 s.", "Wait.", 0.0)


def source(
    name: str, reading: Reading | None = None, fault: Fault | None = None, *, period_s: float = 1.0, off: bool = False
) -> SourceRound:
    return SourceRound(name, period_s, reading, fault, off)


def make_round(
    mono: float, *sources: SourceRound, traffic: Sequence[Traffic] = (), events: Sequence[Event] = ()
) -> Round:
    server = ServerRound(SERVER, "127.0.0.1:8001", "http://127.0.0.1:8002/metrics", False, sources)
    return Round(mono + 1e9, mono, 1.0, (server,), tuple(traffic), (), tuple(events))


def run(*rounds: Round) -> Derivation:
    """Derive one round after another."""
    derivation: Derivation | None = None
    for now in rounds:
        derivation = derive(derivation, now)
    assert derivation is not None
    return derivation


def replay(name: str) -> Iterator[tuple[str, Round, Snapshot]]:
    """(what was done, the round, what was derived) for each round of a recording."""
    derivation: Derivation | None = None
    for now in read_recording(RECORDINGS / f"{name}.jsonl.xz"):
        derivation = derive(derivation, now)
        yield ", ".join(event.text for event in now.events), now, derivation.snapshot


def only(snapshot: Snapshot) -> Server:
    (server,) = snapshot.servers
    return server


def row(snapshot: Snapshot, model: str, version: str = "1") -> ModelVersion:
    """The row of a version of the only server."""
    (found,) = (one for one in only(snapshot).models if one.key == (model, version))
    return found


def scraped(now: Round, name: str, **labels: str) -> float:
    """A value of the raw scrape of a round."""
    reading = next(one.reading for one in now.servers[0].sources if isinstance(one.reading, MetricsReading))
    wanted = labels.items()
    return sum(
        value
        for one, value in zip(reading.layout.series, reading.values, strict=True)
        if one.family == name and wanted <= dict(one.labels).items()
    )


def scrape_span(first: Round, second: Round) -> float:
    """Time between the scrapes of two rounds [s]."""
    first_reading, second_reading = (
        next(one.reading for one in now.servers[0].sources if isinstance(one.reading, MetricsReading))
        for now in (first, second)
    )
    return second_reading.mono - first_reading.mono
