"""What containers use as rates, and which server each of them is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.derive.readings import FAULT, RECORDINGS, api, source
from tritop.container_documents import container_sight, usage_of
from tritop.derive import Derivation, Round, ServerRound, SourceRound, derive
from tritop.model import Container, EventKind, Launch, ServerState, SourceState
from tritop.reading import ContainerSight, ContainerUsage, EngineReading, IndexEntry, LaunchReading
from tritop.record import Recorder, read_recording

RECORDED: dict[str, Any] = json.loads((RECORDINGS / "engine/triton_cgroup_v1.json").read_text())
CRASHED, RESTARTED = EventKind.SERVER_CRASHED, EventKind.SERVER_RESTARTED
ID, OTHER = "ab" * 32, "cd" * 32


def sight(usage: ContainerUsage | None = None, **given: Any) -> ContainerSight:
    fields: dict[str, Any] = {"id": ID, "name": "prod", "image": "triton", "status": "running"} | given
    return ContainerSight(Container(**fields), host="127.0.0.1", grpc_port=9001, usage=usage)


def usage(at: float, cpu_ns: int = 0, received: int | None = 0, sent: int | None = 0) -> ContainerUsage:
    return ContainerUsage(at, at, cpu_ns, 1000, 100, received, sent, 3)


def engine(mono: float, *sights: ContainerSight, fault: bool = False) -> SourceRound:
    return source("engine", EngineReading(mono + 1e9, mono, sights), FAULT if fault else None)


def at(mono: float, found: SourceRound | None, *servers: ServerRound) -> Round:
    return Round(mono + 1e9, mono, 1.0, servers or (ServerRound("one", "127.0.0.1:9001"),), engine=found)


def rounds(*given: Round) -> list[Derivation]:
    derived: list[Derivation] = []
    for one in given:
        derived.append(derive(derived[-1] if derived else None, one))
    return derived


def shown(derivation: Derivation) -> Container:
    container = derivation.snapshot.servers[0].container
    assert container is not None
    return container


def test_rates_of_recorded_samples() -> None:
    """Of three samples a second apart, of a Triton that nobody asks: by hand out of the recorded numbers."""
    read = [usage_of(one, float(at)) for at, one in enumerate(RECORDED["stats"])]
    base = container_sight(RECORDED["running"], "")
    sights = [ContainerSight(base.container, host="127.0.0.1", grpc_port=9001, usage=one) for one in read]
    first, second, third = map(shown, rounds(*(at(float(i), engine(float(i), one)) for i, one in enumerate(sights))))
    assert (first.cpu_cores, first.received_bytes_per_s) == (None, None)
    assert first.memory_used_bytes is not None
    assert second.cpu_cores == pytest.approx((932742612 - 774403009) / 1e9 / 1.020411164, rel=1e-6)
    one, two = RECORDED["stats"][1:]
    gained = two["cpu_stats"]["cpu_usage"]["total_usage"] - one["cpu_stats"]["cpu_usage"]["total_usage"]
    assert third.cpu_cores == pytest.approx(gained / 1e9 / 1.003894261, rel=1e-6)
    assert third.memory_limit_bytes == 512 * 1024 * 1024


def test_between_two_samples_the_last_rates_stand() -> None:
    same = usage(2.0, 500_000_000, 300, 20)
    *_, second, third = rounds(
        at(1.0, engine(1.0, sight(usage(1.0)))), at(2.0, engine(2.0, sight(same))), at(2.3, engine(2.3, sight(same)))
    )
    assert shown(second).cpu_cores == pytest.approx(0.5)
    assert shown(second).received_bytes_per_s == pytest.approx(300)
    assert shown(third) == shown(second)


def test_counters_that_are_not_there_make_no_rates() -> None:
    last = rounds(
        at(1.0, engine(1.0, sight(usage(1.0, received=None, sent=None)))),
        at(2.0, engine(2.0, sight(usage(2.0, 10**9, received=None, sent=None)))),
    )[-1]
    assert (shown(last).cpu_cores, shown(last).received_bytes_per_s, shown(last).sent_bytes_per_s) == (1.0, None, None)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 10), st.integers(0, 10**12), st.booleans()),
        min_size=2,
        max_size=12,
    )
)
def test_a_restart_never_counts_what_did_not_happen(steps: list[tuple[float, int, bool]]) -> None:
    """Any run of samples, at any of which the container may have restarted, so that its counters begin at 0."""
    mono, counter, before = 0.0, 0, None
    derivation: Derivation | None = None
    for span_s, gained, restarted in steps:
        mono += span_s
        counter = gained if restarted else counter + gained
        derivation = derive(derivation, at(mono, engine(mono, sight(usage(mono, counter, counter, counter)))))
        container = shown(derivation)
        if before is None:
            assert container.received_bytes_per_s is None
        else:
            assert container.received_bytes_per_s is not None
            counted = gained / span_s
            assert 0 <= container.received_bytes_per_s <= counted * (1 + 1e-6) + 1e-6
            if not restarted:
                assert container.received_bytes_per_s == pytest.approx(counted, rel=1e-5, abs=1e-5)
        before = counter


def test_a_lost_engine_keeps_its_last_values_with_their_age() -> None:
    last = rounds(
        at(1.0, engine(1.0, sight(usage(1.0)))),
        at(2.0, engine(2.0, sight(usage(2.0, 10**9)))),
        at(9.0, engine(2.0, sight(usage(2.0, 10**9)), fault=True)),
    )[-1]
    assert shown(last).cpu_cores == pytest.approx(1.0)
    found = last.snapshot.engine
    assert found is not None
    assert (found.state, found.age_s) == (SourceState.FAULT, 7.0)
    assert found.fault == FAULT


def test_without_an_engine_there_is_neither_source_nor_container() -> None:
    (only,) = rounds(at(1.0, None))
    assert only.snapshot.engine is None
    assert only.snapshot.servers[0].container is None


def launched(container_id: str) -> ServerRound:
    launch = Launch("docker", "READY", container_id=container_id)
    return ServerRound("one", "127.0.0.1:9001", sources=(source("runtime", LaunchReading(1e9, 1.0, launch)),))


@pytest.mark.parametrize(
    ("server", "found"),
    [
        (launched(OTHER), OTHER),
        (launched(""), None),
        (ServerRound("one", "", container_id=OTHER), OTHER),
        (ServerRound("one", "127.0.0.1:9001"), ID),
        (ServerRound("one", "localhost:9001"), ID),
        (ServerRound("one", "127.0.0.1:9002"), None),
        (ServerRound("one", "gpu-box:9001"), None),
    ],
    ids=["by its runtime", "not started yet", "by the session", "by address", "localhost", "another", "elsewhere"],
)
def test_which_container_a_server_is(server: ServerRound, found: str | None) -> None:
    other = ContainerSight(Container(OTHER, "other", "triton", "exited"))
    container = rounds(at(1.0, engine(1.0, sight(), other), server))[0].snapshot.servers[0].container
    assert (container.id if container is not None else None) == found


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"status": "exited", "exit_code": 0}, ServerState.STOPPED),
        ({"status": "exited", "exit_code": 139, "crashed": True}, ServerState.CRASHED),
        ({"status": "created"}, ServerState.STOPPED),
        ({"status": "restarting"}, ServerState.CRASHED),
        ({"status": "paused"}, ServerState.UNRESPONSIVE),
        ({"status": "running"}, ServerState.UNREACHABLE),
    ],
)
def test_the_state_of_a_container_without_an_endpoint(fields: dict[str, Any], state: ServerState) -> None:
    server = ServerRound("one", "", container_id=ID)
    assert rounds(at(1.0, engine(1.0, sight(**fields)), server))[0].snapshot.servers[0].state is state


def test_what_does_not_run_any_more_has_no_models() -> None:
    answers = source("api", api(1.0, index=(IndexEntry("m", "1", "READY", ""),)))
    up = ServerRound("one", "127.0.0.1:9001", sources=(answers,), container_id=ID)
    down = ServerRound("one", "127.0.0.1:9001", container_id=ID)
    first, last = rounds(
        at(1.0, engine(1.0, sight()), up), at(2.0, engine(2.0, sight(status="exited", exit_code=0)), down)
    )
    assert [model.name for model in first.snapshot.servers[0].models] == ["m"]
    assert last.snapshot.servers[0].models == ()
    assert last.snapshot.servers[0].state is ServerState.STOPPED


def test_a_recording_holds_the_engine(tmp_path: Path) -> None:
    one = at(2.0, engine(2.0, sight(usage(2.0, 10**9), ports=((8001, "127.0.0.1:9001"),))))
    path = tmp_path / "r.jsonl"
    with Recorder(path) as recorder:
        recorder.write(one)
    (back,) = read_recording(path)
    assert back.engine is not None
    assert isinstance(back.engine.reading, EngineReading)
    assert one.engine is not None
    assert isinstance(one.engine.reading, EngineReading)
    assert back.engine.reading.containers == one.engine.reading.containers


def test_a_crash_and_the_restart_by_supervision_are_events_with_their_reason() -> None:
    def hosted(mono: float, state: str, restarts: int = 0, why: str = "") -> Round:
        launch = Launch("docker", state, restarts=restarts, explanation=why, container_id=ID)
        runtime = source("runtime", LaunchReading(mono + 1e9, mono, launch))
        return at(mono, None, ServerRound("one", "127.0.0.1:9001", sources=(runtime, source("api", api(mono)))))

    found = rounds(
        hosted(1.0, "READY"),
        hosted(2.0, "BACKOFF", why="It aborted (SIGABRT)."),
        hosted(3.0, "BACKOFF", why="It aborted (SIGABRT)."),
        hosted(4.0, "STARTING", 1),
        hosted(5.0, "READY", 1),
    )[-1].snapshot.events
    kinds = [(event.kind, event.text) for event in found if event.kind in (CRASHED, RESTARTED)]
    assert kinds == [(CRASHED, "It aborted (SIGABRT)."), (RESTARTED, "")]


def test_a_container_that_crashes_is_an_event_and_one_that_is_found_crashed_is_none() -> None:
    up = ServerRound("one", "127.0.0.1:9001", sources=(source("api", api(1.0)),), container_id=ID)
    down = ServerRound("one", "127.0.0.1:9001", container_id=ID)
    ended = sight(status="exited", exit_code=139, crashed=True, explanation="It crashed.")
    found = rounds(at(1.0, engine(1.0, sight()), up), at(2.0, engine(2.0, ended), down))[-1].snapshot.events
    assert [(event.kind, event.text) for event in found if event.kind is CRASHED] == [(CRASHED, "It crashed.")]
    assert rounds(at(1.0, engine(1.0, ended), down))[-1].snapshot.events == ()
