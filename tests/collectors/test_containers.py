"""The collector of an engine's containers, against an engine that gives recorded documents."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from collectors.containers import INSPECT_EVERY_S, MAX_STREAMS, STALE_SAMPLE_S, Containers
from tests.tritop.derive.readings import RECORDINGS
from tritop.errors import AccessDenied, ReadError, RuntimeFailure, TimedOut, Unreachable

RECORDED: dict[str, Any] = json.loads((RECORDINGS / "engine/triton_cgroup_v1.json").read_text())


class FakeStream:
    """A stream whose newest sample the test sets."""

    def __init__(self) -> None:
        self.sample: tuple[float, Mapping[str, Any]] | None = None
        self.closed = False

    def newest(self) -> tuple[float, Mapping[str, Any]] | None:
        return self.sample

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Lists what the test gives it, and counts what it is asked."""

    owner = "ann@box"

    def __init__(self) -> None:
        self.shown: dict[str, dict[str, Any]] = {}
        self.streams: dict[str, FakeStream] = {}
        self.inspected = self.explained = 0
        self.failure: RuntimeFailure | None = None
        self.closed = False

    def put(self, name: str, which: str = "running") -> str:
        document = copy.deepcopy(RECORDED[which])
        container_id = f"{name:0>64}"
        document |= {"Id": container_id, "Name": f"/{name}"}
        self.shown[container_id] = document
        return container_id

    async def containers(self) -> Sequence[Mapping[str, Any]]:
        if self.failure is not None:
            raise self.failure
        line = RECORDED["listed"][0]
        return [
            line | {"Id": one["Id"], "Names": [one["Name"]], "State": one["State"]["Status"]}
            for one in self.shown.values()
        ] + [{"Id": "ff" * 32, "Names": ["/db"], "Command": "postgres", "Labels": {}, "State": "running", "Ports": []}]

    async def inspect(self, container: str) -> Mapping[str, Any] | None:
        self.inspected += 1
        return self.shown.get(container)

    async def why_ended(self, shown: Mapping[str, Any]) -> tuple[bool, str]:
        self.explained += 1
        return True, f"It ended with exit code {shown['State']['ExitCode']}."

    def follow_stats(self, container_id: str) -> FakeStream:
        return self.streams.setdefault(container_id, FakeStream())

    def close(self) -> None:
        self.closed = True


class Bench:
    """A collector on a fake engine, with a clock that the test moves."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.mono = 100.0
        self.collector = Containers(self.engine, clock=lambda: 1e9, monotonic=lambda: self.mono)

    def read(self) -> Any:
        return asyncio.run(self.collector.read())


def test_only_tritons_by_name_with_what_they_use() -> None:
    bench = Bench()
    second, first = bench.engine.put("b"), bench.engine.put("a")
    reading = bench.read()
    assert [sight.container.id for sight in reading.containers] == [first, second]
    assert [sight.usage for sight in reading.containers] == [None, None]
    bench.engine.streams[first].sample = (bench.mono, RECORDED["stats"][1])
    usages = [sight.usage for sight in bench.read().containers]
    assert usages[0] is not None
    assert (usages[0].cpu_ns, usages[1]) == (932742612, None)


def test_an_old_sample_says_nothing_of_now() -> None:
    bench = Bench()
    one = bench.engine.put("a")
    bench.read()
    bench.engine.streams[one].sample = (bench.mono, RECORDED["stats"][1])
    bench.mono += STALE_SAMPLE_S + 0.1
    assert bench.read().containers[0].usage is None


def test_a_container_that_stands_still_is_inspected_now_and_then() -> None:
    bench = Bench()
    one = bench.engine.put("a")
    bench.read()
    bench.read()
    assert bench.engine.inspected == 1
    bench.mono += INSPECT_EVERY_S + 0.1
    bench.read()
    assert bench.engine.inspected == 2
    bench.engine.shown[one] = {**RECORDED["exited"], "Id": one, "Name": "/a"}
    assert bench.read().containers[0].container.status == "exited"
    bench.collector.look_again()
    bench.read()
    assert bench.engine.inspected == 4


def test_the_end_of_a_run_is_explained_once_and_its_stream_ended() -> None:
    bench = Bench()
    one = bench.engine.put("a")
    bench.read()
    bench.engine.shown[one] = {**RECORDED["exited"], "Id": one, "Name": "/a"}
    for _ in range(3):
        container = bench.read().containers[0].container
        bench.collector.look_again()
    assert (container.crashed, container.explanation) == (True, "It ended with exit code 143.")
    assert bench.engine.explained == 1
    assert bench.engine.streams[one].closed


def test_a_container_that_is_gone_leaves_nothing() -> None:
    bench = Bench()
    one = bench.engine.put("a")
    bench.read()
    del bench.engine.shown[one]
    assert bench.read().containers == ()
    assert bench.engine.streams[one].closed


def test_there_is_a_bound_on_streams() -> None:
    bench = Bench()
    for number in range(MAX_STREAMS + 3):
        bench.engine.put(f"c{number}")
    assert len(bench.read().containers) == MAX_STREAMS + 3
    assert len(bench.engine.streams) == MAX_STREAMS


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, AccessDenied])
def test_what_the_engine_met_is_a_read_error_with_its_sentence(kind: type[ReadError]) -> None:
    bench = Bench()
    bench.engine.failure = RuntimeFailure("the engine does not answer.", "Start it.")
    bench.engine.failure.title = kind.title
    with pytest.raises(kind, match=r"the engine does not answer\. Start it\."):
        bench.read()


def test_closing_ends_streams_and_engine() -> None:
    bench = Bench()
    one = bench.engine.put("a")
    bench.read()
    asyncio.run(bench.collector.aclose())
    assert (bench.engine.streams[one].closed, bench.engine.closed) == (True, True)
