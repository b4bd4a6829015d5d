"""A recording gives back what was written, and says so where it cannot."""

from __future__ import annotations

import dataclasses
import json
import math
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tritop.derive.test_anything_goes import sequences
from tritop.derive import Round, ServerRound, SourceRound
from tritop.errors import UsageError
from tritop.model import (
    ControlMode,
    Event,
    EventKind,
    Fault,
    InstanceGroup,
    Launch,
    ModelConfig,
    Scheduling,
    TensorSpec,
    Traffic,
    TrafficState,
)
from tritop.operation import OperationState, OperationStatus, SetTraffic
from tritop.reading import (
    ApiReading,
    BatchStatistics,
    Duration,
    IndexEntry,
    LaunchReading,
    Layout,
    MetricsReading,
    Reading,
    Series,
    TrafficReading,
    VersionStatistics,
)
from tritop.record import FORMAT, Recorder, decode, read_recording

SUFFIXES = ["jsonl", "jsonl.gz", "jsonl.xz"]
LAYOUT = Layout((Series("f", "f_total", (("model", 'a"\\\n\x1b[0m'),), "counter"), Series("g", "g", (), "gauge")))
FAULT = Fault("unreachable", "Nobody answers.", "Start it.", 1.5, 3)
CONFIG = ModelConfig(
    backend="python",
    scheduling=Scheduling.ENSEMBLE,
    preferred_batch_sizes=(4, 8),
    instance_groups=(InstanceGroup("g", "KIND_GPU", 2, (0, 1)),),
    inputs=(TensorSpec("IN", "FP32", (-1, 3)),),
    pbtxt='name: "m"\n',
)
STATISTICS = VersionStatistics(
    "m", "1", 5, 2**63, 7, Duration(1, 2), batches=(BatchStatistics(4, 1, 2, 3, 4),), memory_bytes=(("GPU 0", 12),)
)
TRAFFIC = Traffic("s", "m", "", TrafficState.RUNNING, concurrency=4, errors_by_kind=(("UNAVAILABLE: full", 3),))


def as_value(thing: Any) -> Any:
    """A Round with everything in it as something to compare: NaN equals NaN, a layout its series."""
    if isinstance(thing, float):
        return "NaN" if math.isnan(thing) else thing
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return (type(thing).__name__, *(as_value(getattr(thing, one.name)) for one in dataclasses.fields(thing)))
    if isinstance(thing, dict):
        return {key: as_value(value) for key, value in thing.items()}
    if isinstance(thing, tuple | list | array):
        return tuple(as_value(one) for one in thing)
    return thing


def make_round(mono: float, *readings: Reading | None) -> Round:
    sources = tuple(SourceRound(f"source {place}", 1.0, one) for place, one in enumerate(readings))
    return Round(1e9 + mono, mono, 1.0, (ServerRound("s", "127.0.0.1:8001", "", True, sources),))


def through(path: Path, rounds: list[Round]) -> list[Round]:
    with Recorder(path) as recorder:
        for now in rounds:
            recorder.write(now)
    return list(read_recording(path))


def everything() -> list[Round]:
    statistics = (STATISTICS, dataclasses.replace(STATISTICS, version="2"))
    index = (IndexEntry("m", "1", "READY", ""), IndexEntry("n", "", "", "\ud800 lone surrogate"))
    api = ApiReading(
        1.0, 2.0, True, None, "triton", "2.51.0", ("x",), ControlMode.EXPLICIT, index, statistics, {("m", "1"): CONFIG}
    )
    moved = dataclasses.replace(
        api, mono=3.0, statistics=(dataclasses.replace(STATISTICS, execution_count=9), statistics[1]), index=None
    )
    metrics = MetricsReading(1.0, 2.0, LAYOUT, array("d", [1.0, math.nan]), 100, 5)
    later = dataclasses.replace(metrics, mono=3.0, values=array("d", [math.inf, 0.1]))
    launch = LaunchReading(1.0, 2.0, Launch("docker", "BACKOFF", pid=None, log_tail=("a", "b")))
    traffic = TrafficReading(1.0, 2.0, (TRAFFIC,))
    first, second = make_round(2.0, api, metrics, launch, traffic), make_round(3.0, moved, later, launch, None)
    status = OperationStatus(1, SetTraffic("s", "m", concurrency=3), OperationState.DONE, 1.0, 2.0, "done")
    event = Event(1.0, EventKind.MODEL_RELOADED, "s", "m", "1", "me@here", "- a\n+ b")
    faulty = dataclasses.replace(second.servers[0].sources[0], fault=FAULT, off=True)
    server = dataclasses.replace(second.servers[0], sources=(faulty, *second.servers[0].sources[1:]))
    full = dataclasses.replace(
        second, servers=(server,), traffic=(TRAFFIC,), operations=(status,), events=(event,), mono=4.0
    )
    return [first, second, full]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_everything_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    written = everything()
    assert as_value(through(tmp_path / f"a.{suffix}", written)) == as_value(written)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=sequences())
def test_any_rounds_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rounds: list[Round]) -> None:
    path = tmp_path_factory.mktemp("recording") / "a.jsonl"
    assert as_value(through(path, rounds)) == as_value(rounds)


def test_what_was_the_same_object_is_the_same_object_again(tmp_path: Path) -> None:
    """`derive` goes by identities: of readings, layouts, statistics, configurations."""
    first, second, third = through(tmp_path / "a.jsonl.gz", everything())
    one, two, three = (now.servers[0].sources for now in (first, second, third))
    assert three[0].reading is two[0].reading
    assert two[2].reading is one[2].reading
    api, moved, metrics, later = one[0].reading, two[0].reading, one[1].reading, two[1].reading
    assert isinstance(api, ApiReading)
    assert isinstance(moved, ApiReading)
    assert isinstance(metrics, MetricsReading)
    assert isinstance(later, MetricsReading)
    assert later.layout is metrics.layout
    assert api.statistics is not None
    assert moved.statistics is not None
    assert moved.statistics[1] is api.statistics[1]
    assert moved.statistics[0] is not api.statistics[0]
    assert moved.configs["m", "1"] is api.configs["m", "1"]


def test_the_same_rounds_make_the_same_file(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        through(first, everything())
        through(second, everything())
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_a_recorder_that_crashed_leaves_all_that_it_wrote(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    recorder = Recorder(path)
    for now in everything():
        recorder.write(now)
    assert len(list(read_recording(path))) == 3
    recorder.close()
    recorder.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_recording_that_was_cut_off_ends_with_its_last_whole_round(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = [as_value(now) for now in through(path, everything() * 20)]
    body = path.read_bytes()
    lengths = []
    for end in range(len(body) // 2, len(body), max(1, len(body) // 40)):
        path.write_bytes(body[:end])
        found = [as_value(now) for now in read_recording(path)]
        assert found == whole[: len(found)]
        lengths.append(len(found))
    assert lengths == sorted(lengths)
    assert lengths[-1] > 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a recording"),
        (b"hello\n", "is not a recording"),
        (b"[1, 2]\n", "is not a recording"),
        (b'{"recording": "tritop", "format": 99}\n', "its format is 99"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        list(read_recording(path))


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.xz"])
def test_what_is_not_compressed_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"plain text that is long enough")
    with pytest.raises(UsageError):
        list(read_recording(path))


def lines(*bodies: object) -> bytes:
    head = {"recording": "tritop", "format": FORMAT}
    return b"".join(json.dumps(one).encode() + b"\n" for one in (head, *bodies))


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"servers": 5},
        {"servers": [], "at": 0, "mono": 0, "interval_s": 1, "events": [{"_": "NoSuchClass"}]},
        {"servers": [], "at": 0, "mono": 0, "interval_s": 1, "events": [{"_": "Event", "colour": "red"}]},
        {"servers": [], "at": 0, "mono": 0, "interval_s": 1, "events": [{"_": "EventKind", "value": "none"}]},
        {"servers": [{"name": "s", "endpoint": "", "sources": [{"name": "m", "period_s": 1, "reading": {"_": "x"}}]}]},
        {
            "at": 0,
            "mono": 0,
            "interval_s": 1,
            "servers": [
                {
                    "name": "s",
                    "endpoint": "",
                    "sources": [{"name": "m", "period_s": 1, "reading": {"_": "MetricsReading", "changed": []}}],
                }
            ],
        },
    ],
)
def test_a_malformed_line_is_an_error_that_says_so(tmp_path: Path, body: object) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(body))
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_recording(path))


def test_only_values_can_be_made_from_a_recording() -> None:
    for name in ("Path", "TritopError", "Recorder", "Collector", "array"):
        with pytest.raises(UsageError, match=name):
            decode({"_": name})


def test_a_file_that_is_not_there_and_one_that_may_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read the recording"):
        list(read_recording(tmp_path / "missing.jsonl"))
    with pytest.raises(UsageError, match="Cannot write the recording"):
        Recorder(tmp_path / "no such folder" / "a.jsonl")
