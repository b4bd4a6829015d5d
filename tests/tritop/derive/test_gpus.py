"""GPUs by NVML and by Triton's gauges as one list, and whose their processes are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tritop.derive.readings import Exposition, source
from tritop.derive import Derivation, Round, ServerRound, SourceRound, derive
from tritop.model import EventKind, Fault, Gpu, GpuProcess, Launch, SourceState, Xid
from tritop.reading import GpuReading, HostProcess, LaunchReading
from tritop.record import Recorder, read_recording

FULL = Gpu("GPU-a", "NVIDIA H200", "nvml", 0, utilization_ratio=0.5, used_bytes=10, total_bytes=100, power_w=300.0)
CONTAINER = "ab" * 32
FAULT = Fault("no answer", "NVML has said nothing for 6 s.", "", 0.0)


def reading(mono: float, *gpus: Gpu, processes: tuple[HostProcess, ...] = ()) -> GpuReading:
    return GpuReading(mono + 1e9, mono, "570.1", gpus, processes)


def at(mono: float, nvml: SourceRound | None, *servers: ServerRound) -> Round:
    return Round(mono + 1e9, mono, 1.0, servers, gpus=nvml)


def gpus_of(mono: float, nvml: SourceRound | None, *servers: ServerRound) -> tuple[Gpu, ...]:
    return derive(None, at(mono, nvml, *servers)).snapshot.gpus


def gauges(mono: float, uuid: str, used: float = 77.0) -> SourceRound:
    exposition = Exposition()
    exposition.set("nv_gpu_utilization", 0.9, "gauge", gpu_uuid=uuid)
    exposition.set("nv_gpu_memory_used_bytes", used, "gauge", gpu_uuid=uuid)
    exposition.set("nv_gpu_power_limit", 700.0, "gauge", gpu_uuid=uuid)
    return source("metrics", exposition.at(mono))


def launched(name: str, **launch: object) -> ServerRound:
    made = Launch("docker", "READY", **launch)  # type: ignore[arg-type]  # fields by name, as given
    return ServerRound(name, "", sources=(source("runtime", LaunchReading(1e9, 1.0, made)),))


def test_nvml_wins_and_triton_fills_in() -> None:
    nvml = source("nvml", reading(1.0, FULL))
    server = ServerRound("one", "10.0.0.1:8001", sources=(gauges(1.0, "GPU-a"),))
    (gpu,) = gpus_of(1.0, nvml, server)
    assert (gpu.origin, gpu.used_bytes, gpu.utilization_ratio, gpu.power_limit_w) == ("nvml", 10, 0.5, 700.0)
    assert gpu.servers == ("one",)


def test_the_gpus_of_other_hosts_come_after_ours_and_say_whose_words_they_are() -> None:
    nvml = source("nvml", reading(1.0, replace(FULL, uuid="GPU-z", index=1), FULL))
    server = ServerRound("one", "10.0.0.1:8001", sources=(gauges(1.0, "GPU-b"),))
    found = gpus_of(1.0, nvml, server)
    assert [(gpu.uuid, gpu.origin) for gpu in found] == [("GPU-a", "nvml"), ("GPU-z", "nvml"), ("GPU-b", "triton")]


@pytest.mark.parametrize(
    ("process", "server", "expected"),
    [
        (HostProcess(7, "tritonserver"), launched("one", pid=7), "one"),
        (HostProcess(9, "stub", ancestors=(8, 7)), launched("one", pid=7), "one"),
        (HostProcess(9, "stub", container=CONTAINER), launched("one", container_id=CONTAINER), "one"),
        (HostProcess(9, "stub", ports=(8000, 8001)), ServerRound("one", "127.0.0.1:8001"), "one"),
        (HostProcess(9, "stub", ports=(8001,)), ServerRound("one", "[::1]:8001"), "one"),
        (HostProcess(9, "stub", ports=(8001,)), ServerRound("one", "localhost:8001"), "one"),
        (HostProcess(9, "stub", ports=(8001,)), ServerRound("one", "gpu-box:8001"), None),
        (HostProcess(9, "stub", ports=(8002,)), ServerRound("one", "127.0.0.1:8001"), None),
        (HostProcess(9, "other", container="cd" * 32), launched("one", container_id=CONTAINER), None),
        (HostProcess(9, "other"), launched("one"), None),
        (HostProcess(9, "other"), ServerRound("one", ""), None),
    ],
)
def test_whose_a_process_is(process: HostProcess, server: ServerRound, expected: str | None) -> None:
    gpu = replace(FULL, processes=(GpuProcess(process.pid, 5, kind="compute"),))
    (found,) = gpus_of(1.0, source("nvml", reading(1.0, gpu, processes=(process,))), server)
    (joined,) = found.processes
    assert (joined.server, joined.name, joined.container) == (expected, process.name, process.container)
    assert (joined.used_bytes, joined.kind) == (5, "compute")
    assert found.servers == ((expected,) if expected else ())


def test_a_process_that_the_host_does_not_know_stays_a_number() -> None:
    gpu = replace(FULL, processes=(GpuProcess(7, 5),))
    (found,) = gpus_of(1.0, source("nvml", reading(1.0, gpu)), launched("one", pid=7))
    assert found.processes == gpu.processes


def test_a_row_that_did_not_change_is_the_same_object() -> None:
    first = derive(None, at(1.0, source("nvml", reading(1.0, FULL))))
    second = derive(first, at(2.0, source("nvml", reading(2.0, replace(FULL)))))
    assert second.snapshot.gpus[0] is first.snapshot.gpus[0]


def test_numbers_of_a_silent_nvml_are_kept_for_three_periods_and_then_unknown() -> None:
    old = reading(1.0, FULL)
    (kept,) = gpus_of(3.5, source("nvml", old, FAULT))
    assert (kept.used_bytes, kept.fault) == (10, "")
    derivation = derive(None, at(9.0, source("nvml", old, FAULT)))
    (gone,) = derivation.snapshot.gpus
    assert (gone.uuid, gone.name, gone.index, gone.total_bytes) == ("GPU-a", "NVIDIA H200", 0, 100)
    assert (gone.used_bytes, gone.utilization_ratio, gone.fault) == (None, None, FAULT.sentence)
    assert derivation.snapshot.gpu_source is not None
    assert derivation.snapshot.gpu_source.state is SourceState.FAULT
    assert derivation.snapshot.gpu_driver == "570.1"
    assert derivation.snapshot.events == ()


def test_no_driver_and_no_server_here_are_told_apart() -> None:
    off = derive(None, at(1.0, source("nvml", None, FAULT, off=True))).snapshot
    assert off.gpus == ()
    assert off.gpu_source is not None
    assert off.gpu_source.state is SourceState.OFF
    assert derive(None, at(1.0, None)).snapshot.gpu_source is None


def texts(derivation: Derivation) -> list[str]:
    assert all(event.kind is EventKind.GPU_ERROR for event in derivation.snapshot.events)
    return [event.text for event in derivation.snapshot.events]


def test_critical_errors_and_lost_gpus_are_events_once() -> None:
    state = derive(None, at(1.0, source("nvml", reading(1.0, FULL))))
    hit = replace(FULL, xids=(Xid(5.0, 31),))
    state = derive(state, at(2.0, source("nvml", reading(2.0, hit))))
    state = derive(state, at(3.0, source("nvml", reading(3.0, hit))))
    assert texts(state) == ["GPU0 NVIDIA H200: XID 31"]
    assert state.snapshot.events[0].at == 5.0
    lost = Gpu("GPU-a", "NVIDIA H200", "nvml", 0, xids=(*hit.xids, Xid(6.0, 79)), fault="the GPU is lost")
    for mono in (4.0, 5.0):
        state = derive(state, at(mono, source("nvml", reading(mono, lost))))
    assert texts(state)[1:] == ["GPU0 NVIDIA H200: XID 79", "GPU0 NVIDIA H200: the GPU is lost"]


def test_a_recording_keeps_the_gpus(tmp_path: Path) -> None:
    process = HostProcess(7, "tritonserver", "root", CONTAINER, (3, 2), (8001,))
    gpu = replace(FULL, processes=(GpuProcess(7, 5),), xids=(Xid(5.0, 31),), field_faults=(("power_w", "no"),))
    rounds = [
        at(1.0, source("nvml", reading(1.0, gpu, processes=(process,))), launched("one", pid=7)),
        at(2.0, source("nvml", None, FAULT, off=True)),
        at(3.0, None),
    ]
    path = tmp_path / "gpus.jsonl.gz"
    with Recorder(path) as recorder:
        for one in rounds:
            recorder.write(one)
    replayed = list(read_recording(path))
    assert [derive(None, one).snapshot.gpus for one in replayed] == [derive(None, one).snapshot.gpus for one in rounds]
    assert replayed[0].gpus is not None
    assert isinstance(replayed[0].gpus.reading, GpuReading)
    assert replayed[0].gpus.reading.processes == (process,)
