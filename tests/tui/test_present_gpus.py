"""The GPU strip and the GPU page: what they say for every state that a GPU can be in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from tests.tui.samples import HOSTILE_NAMES, FakeSession, sample_snapshot
from tests.tui.test_app import drive, text_on
from tritop.model import Fault, Gpu, GpuProcess, MigDevice, Snapshot, Source, SourceState, Xid
from tritop.operation import ReadPcie
from tui.app import TritopApp
from tui.present.gpus import gpu_lines, gpu_page
from tui.present.lines import line_width
from tui.present.look import Look
from tui.present.problems import problem_lines
from tui.present.server_page import server_lines
from tui.widgets.lines import Line

LOOK = Look()
HANGS = Fault("no answer", "NVML has said nothing for 6 s, and its process was killed.", "Does nvidia-smi answer?", 0.0)
NO_DRIVER = Fault("off", "There is no NVIDIA driver on this host.", "Install the driver.", 0.0)


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def with_gpus(*gpus: Gpu, source: Source | None = None) -> Snapshot:
    snapshot = sample_snapshot(gpus=1)
    return replace(snapshot, gpus=gpus, gpu_source=source or snapshot.gpu_source)


def one_gpu(**fields: object) -> Gpu:
    return replace(sample_snapshot(gpus=1).gpus[0], **fields)  # type: ignore[arg-type]  # fields by name, as given


def page(*gpus: Gpu, width: int = 78, source: Source | None = None, look: Look = LOOK) -> str:
    return text_of(gpu_page(with_gpus(*gpus, source=source), width, look))


def test_four_gpus_have_a_line_and_the_rest_one_together() -> None:
    gpus = [one_gpu(uuid=f"GPU-{number}", index=number, utilization_ratio=number / 10) for number in range(8)]
    gpus[6] = replace(gpus[6], throttle_reasons=("thermal",))
    gpus[7] = Gpu("GPU-7", index=7, fault="the GPU is lost")
    lines = text_of(gpu_lines(with_gpus(*gpus), 120, LOOK)).splitlines()
    assert [line.split()[0] for line in lines] == ["GPU0", "GPU1", "GPU2", "GPU3", "and"]
    assert lines[4].split("  ")[:2] == ["and 4 more GPUs", "40% to 60% busy"]
    assert "1 throttled" in lines[4]
    assert "1 not readable" in lines[4]


def test_the_strip_drops_what_matters_least() -> None:
    gpu = one_gpu(throttle_reasons=("thermal",), xids=(Xid(0.0, 79),))
    wide, narrow = (text_of(gpu_lines(with_gpus(gpu), width, LOOK)) for width in (160, 60))
    assert all(part in wide for part in ("H200", "88%", "MHz", "°C", " W", "throttled: thermal", "XID 79"))
    assert all(part in narrow for part in ("GPU0", "88%", "23.1 GiB of 139.8 GiB", "XID 79"))
    assert "MHz" not in narrow


def test_a_gpu_by_triton_is_marked() -> None:
    gpu = Gpu("GPU-a", utilization_ratio=0.5, used_bytes=2**30, total_bytes=2**31, power_w=80.0, servers=("box",))
    snapshot = with_gpus(gpu)
    assert "by Triton" in text_of(gpu_lines(snapshot, 160, LOOK))
    text = text_of(gpu_page(replace(snapshot, gpu_source=None), 78, LOOK))
    assert "no watched server is on this host" in text
    assert "by Triton" in text
    assert all(part in text for part in ("50%", "1.0 GiB of 2.0 GiB", "80 W", "box", "GPU-a"))
    assert "heat" not in text


def test_everything_that_nvml_says_is_on_the_page() -> None:
    text = page(one_gpu(fan_ratio=0.3, remapped_rows=3, remap_pending=True, persistence=False), width=100)
    for part in (
        "NVML on this host: OK, 0.3 s old", "driver 570.86.15", "GPU0  NVIDIA H200  by NVML", "88%",
        "23.1 GiB of 139.8 GiB", "600 MiB more for the driver", "513/700 W", "116.67 kWh", "61 °C", "92 °C",
        "memory 68 °C", "SM 1980/1980 MHz, memory 3201/3201 MHz, P0", "30%", "gen 5 ×16",
        "sends 296 MiB/s, receives 1.1 GiB/s", "0 uncorrected, 2 corrected, 3 rows remapped, more at the next reset",
        "each first use loads the driver", "00000000:19:00.0",
    ):  # fmt: skip
        assert part in text, part


def test_processes_of_servers_come_first_and_neighbours_have_a_name() -> None:
    processes = (
        GpuProcess(10, 9 * 2**30, "python3", None, "ab" * 32, user="ada"),
        GpuProcess(11, 2**30, "triton_python_backend_stub", "demo"),
        GpuProcess(12, 4 * 2**30, "tritonserver", "demo", kind="compute+graphics", gpu_instance=3),
        GpuProcess(13, None, "", None),
    )
    text = page(one_gpu(processes=processes, unseen_processes=2))
    pids = [int(line.split()[1]) for line in text.splitlines() if line.startswith("pid ")]
    assert pids == [12, 11, 10, 13]
    assert "4.0 GiB  tritonserver · demo · compute+graphics · MIG instance 3" in text
    assert "9.0 GiB  python3 · neighbour · by ada · container abababababab" in text
    assert "--  ? · neighbour" in text
    assert "and 2 more that this system does not show" in text


def test_the_models_on_a_gpu_are_named() -> None:
    snapshot = sample_snapshot(gpus=1)
    server = snapshot.servers[0]
    uuid = snapshot.gpus[0].uuid
    model = replace(server.models[0], gpu_requests_per_s=((uuid, 12.0), ("GPU-other", 5.0)))
    others = tuple(replace(one, gpu_requests_per_s=()) for one in server.models[1:])
    snapshot = replace(snapshot, servers=(replace(server, models=(model, *others)),))
    lines = [line for line in text_of(gpu_page(snapshot, 78, LOOK)).splitlines() if line.startswith("model ")]
    assert [line.split() for line in lines] == [["model", model.name, model.version, "12.0", "req/s"]]


def test_errors_mig_and_fields_that_failed() -> None:
    text = page(
        one_gpu(
            xids=(Xid(0.0, 79), Xid(0.0, 999)),
            mig=True,
            mig_devices=(MigDevice("MIG-a", 1, 0, 2**30, 20 * 2**30),),
            field_faults=(("power_w", "not permitted for this user"),),
        )
    )
    assert "79 at" in text
    assert "the GPU fell off the bus" in text
    assert "999 at" in text
    assert "NVML gives no load in this mode" in text
    assert "instance 1 · 1.0 GiB of 20.0 GiB · MIG-a" in text
    assert "power w: not permitted for this user" in text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "none of them reports a GPU"),
        (Source("nvml", SourceState.OK, 0.1), "The driver knows of no GPU"),
        (Source("nvml", SourceState.OFF, None, NO_DRIVER), "There is no NVIDIA driver on this host."),
        (Source("nvml", SourceState.FAULT, 6.0, HANGS), "NVML has said nothing for 6 s"),
        (Source("nvml", SourceState.WAITING), "WAITING"),
    ],
)
def test_why_there_is_no_gpu(source: Source | None, words: str) -> None:
    snapshot = replace(sample_snapshot(), gpu_source=source)
    assert words in text_of(gpu_page(snapshot, 78, LOOK)).replace("\n", " ")


def test_the_overview_tells_of_an_nvml_that_hangs_but_not_of_a_host_without_gpus() -> None:
    hanging = replace(sample_snapshot(), gpu_source=Source("nvml", SourceState.FAULT, 6.0, HANGS))
    absent = replace(sample_snapshot(), gpu_source=Source("nvml", SourceState.OFF, None, NO_DRIVER))
    assert "nvml no answer; its numbers are 6 s old. NVML has said nothing" in text_of(problem_lines(hanging, LOOK, 3))
    assert problem_lines(absent, LOOK, 3) == []


def test_the_page_of_a_server_has_its_own_gpus_only() -> None:
    snapshot = sample_snapshot(gpus=2)
    theirs, other = snapshot.gpus[0], replace(snapshot.gpus[1], servers=("other",))
    snapshot = replace(snapshot, gpus=(theirs, other))
    text = text_of(server_lines(snapshot, snapshot.servers[0], 78, LOOK))
    assert "GPU0  NVIDIA H200" in text
    assert "GPU1" not in text


@given(st.sampled_from([*HOSTILE_NAMES]), st.integers(20, 200), st.booleans())
def test_nothing_hostile_and_nothing_too_wide_is_drawn(name: str, width: int, ascii: bool) -> None:
    look = Look(ascii=ascii)
    gpu = one_gpu(
        uuid=name,
        name=name,
        bus_id=name,
        fault=name,
        field_faults=((name, name),),
        servers=(name,),
        processes=(GpuProcess(1, 1, name, name, name, user=name), GpuProcess(2, 1, name, None, name, user=name)),
        mig_devices=(MigDevice(name),),
    )
    fault = Fault("no answer", name, name, 0.0)
    snapshot = replace(with_gpus(gpu, replace(gpu, origin="triton", uuid=name + "2")), gpu_driver=name)
    snapshot = replace(snapshot, gpu_source=Source("nvml", SourceState.FAULT, 1.0, fault))
    lines = [*gpu_lines(snapshot, width, look), *gpu_page(snapshot, width, look)]
    for line in lines:
        assert all(text.isprintable() for text, _ in line)
        assert not ascii or all(text.isascii() for text, _ in line)
    assert all(line_width(line) <= width for line in gpu_page(snapshot, width, look) if width >= 60)


def test_the_view_reads_pcie_only_while_it_is_open() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("6")
        await pilot.pause()
        assert "NVML on this host" in text_on(app)
        assert session.submitted == [ReadPcie(True)]
        await pilot.press("escape")
        await pilot.pause()
        assert session.submitted == [ReadPcie(True), ReadPcie(False)]

    drive(steps, [sample_snapshot(gpus=2)])


def test_without_any_gpu_the_view_says_why_it_does_not_open() -> None:
    async def steps(pilot: Pilot[object], app: TritopApp, session: FakeSession) -> None:
        await pilot.press("6")
        await pilot.pause()
        assert session.submitted == []
        assert [note.message for note in app._notifications] == ["no server reports a GPU, and none is on this host."]

    drive(steps)
