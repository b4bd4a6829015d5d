"""The GPUs of a host through the real nvidia-ml-py and our child process, on a stand-in for the driver's library."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from collectors.nvml import ABSENT_PERIOD_S, MAX_BACK_OFF_S, NvmlGpus
from tests.nvml.fake_nvml import GIB, FakeNvml, Value
from tests.nvml.hosting import fake_nvml
from tests.processes import is_running, wait_until
from tritop.errors import AccessDenied, Garbled, ReadError, TimedOut, Unavailable
from tritop.model import Gpu, GpuProcess, MigDevice
from tritop.reading import GpuReading

GONE_PID = 2**22 + 1
"""Beyond the largest pid that Linux gives."""
STRANGE = '{"driver": "1", "processes": [], "gpus": [{"colour": 1}]}'
HURRIED = "import collectors.nvml_child as child, collectors.nvml_device as device; {}; child.main()"
"""The child with other periods."""


@pytest.fixture
def nvml(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    return fake_nvml(tmp_path, tmp_path_factory, monkeypatch)


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def hurried(changes: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", HURRIED.format(changes))


def script(text: str) -> tuple[str, ...]:
    """A child that is not ours."""
    return (sys.executable, "-c", textwrap.dedent(text))


@contextlib.asynccontextmanager
async def opened(**options: object) -> AsyncIterator[NvmlGpus]:
    gpus = NvmlGpus(**{"answer_s": 20.0, "silence_s": 60.0, **options})  # type: ignore[arg-type]  # passed through
    try:
        yield gpus
    finally:
        await gpus.aclose()
        assert gpus.pid is None


def run(steps: Callable[[NvmlGpus], Awaitable[None]], **options: object) -> None:
    async def body() -> None:
        async with opened(**options) as gpus:
            await steps(gpus)

    asyncio.run(body())


def read(**options: object) -> GpuReading:
    found: list[GpuReading] = []

    async def steps(gpus: NvmlGpus) -> None:
        found.append(await gpus.read())

    run(steps, **options)
    return found[0]


async def until(gpus: NvmlGpus, condition: Callable[[GpuReading], bool], limit: int = 400) -> GpuReading:
    """Read until a reading meets a condition."""
    for _ in range(limit):
        reading = await gpus.read()
        if condition(reading):
            return reading
        await asyncio.sleep(0.02)
    raise AssertionError(f"{limit} readings in vain, the last was {reading}")


def test_every_field_of_a_gpu_that_offers_all_but_a_fan(nvml: FakeNvml) -> None:
    keys = nvml.add_h100()
    nvml.write()
    reading = read(clock=lambda: 5.0, monotonic=lambda: 7.0)
    assert (reading.at, reading.mono, reading.driver_version) == (5.0, 7.0, "570.86.15")
    assert reading.gpus == (
        Gpu(
            uuid=str(keys["uuid"]),
            name="NVIDIA H100 80GB HBM3",
            origin="nvml",
            index=0,
            bus_id="00000000:19:00.0",
            utilization_ratio=0.73,
            memory_utilization_ratio=0.41,
            used_bytes=23 * GIB,
            reserved_bytes=GIB // 2,
            total_bytes=80 * GIB,
            power_w=412.345,
            power_limit_w=700.0,
            energy_j=123456.789,
            temperature_c=61,
            slowdown_c=90,
            memory_temperature_c=74,
            sm_clock_mhz=1755,
            max_sm_clock_mhz=1980,
            memory_clock_mhz=2619,
            max_memory_clock_mhz=2619,
            performance_state=0,
            persistence=True,
            throttle_reasons=("power cap",),
            ecc_corrected=2,
            ecc_uncorrected=0,
            remapped_rows=3,
            remap_pending=False,
            remap_failed=False,
            pcie_generation=5,
            pcie_width=16,
            mig=False,
            unsupported=("fan_ratio",),
        ),
    )


def test_what_a_gpu_does_not_offer_is_unknown_and_named(nvml: FakeNvml) -> None:
    nvml.add_geforce()
    nvml.write()
    (gpu,) = read().gpus
    absent = {"ecc_corrected", "ecc_uncorrected", "energy_j", "memory_temperature_c", "mig", "slowdown_c"}
    assert set(gpu.unsupported) == absent | {"remapped_rows", "remap_pending", "remap_failed"}
    assert all(getattr(gpu, name) is None for name in gpu.unsupported)
    assert (gpu.fan_ratio, gpu.persistence, gpu.throttle_reasons, gpu.field_faults) == (0.3, False, (), ())


@pytest.mark.parametrize(
    ("key", "lost"),
    [
        ("utilization", {"utilization_ratio", "memory_utilization_ratio"}),
        ("memory", {"used_bytes", "reserved_bytes", "total_bytes"}),
        ("power", {"power_w"}),
        ("temperature", {"temperature_c"}),
        ("throttle", {"throttle_reasons"}),
        ("fan", {"fan_ratio"}),
        ("field82", {"memory_temperature_c"}),
        ("remapped", {"remapped_rows", "remap_pending", "remap_failed"}),
        ("procs", {"processes"}),
    ],
)
def test_a_field_that_fails_costs_its_own_cells_only(nvml: FakeNvml, key: str, lost: set[str]) -> None:
    nvml.add_h100(fan=30)
    broken_keys: dict[str, Value] = {"fan": 30, key: "!999"}
    nvml.add_h100(**broken_keys)
    nvml.write()
    whole, broken = read().gpus
    assert {field for field, _ in broken.field_faults} == lost
    assert all("unknown error" in why for _, why in broken.field_faults)
    same = set(Gpu.__slots__) - lost - {"uuid", "index", "bus_id", "field_faults"}
    assert {name: getattr(broken, name) for name in same} == {name: getattr(whole, name) for name in same}
    assert not broken.fault


def test_throttling_is_named_but_not_what_is_normal(nvml: FakeNvml) -> None:
    for bits in (0x1, 0x2 | 0x10 | 0x100, 0x8 | 0x20 | 0x40 | 0x80):
        nvml.add_h100(throttle=bits)
    nvml.write()
    idle, chosen, hot = read().gpus
    assert idle.throttle_reasons == chosen.throttle_reasons == ()
    assert hot.throttle_reasons == ("hardware slowdown", "thermal", "hardware thermal", "power brake")


@pytest.mark.parametrize("error", [15, 16])
def test_a_lost_gpu_keeps_its_row_and_the_others_their_numbers(nvml: FakeNvml, error: int) -> None:
    lost, _ = nvml.add_h100(), nvml.add_geforce()
    nvml.write()

    async def steps(gpus: NvmlGpus) -> None:
        before = await gpus.read()
        lost.update(all=f"!{error}", handle=f"!{error}")
        nvml.write()
        gone, other = (await gpus.read()).gpus
        assert (gone.uuid, gone.name, gone.index) == (before.gpus[0].uuid, before.gpus[0].name, 0)
        assert gone.fault
        assert gone.utilization_ratio is None
        assert other == before.gpus[1]
        del lost["all"], lost["handle"]
        nvml.write()
        back = await until(gpus, lambda reading: not reading.gpus[0].fault)
        assert back.gpus == before.gpus

    run(steps, command=hurried("child.LOST_RETRY_S = 0"))


def test_a_gpu_that_is_lost_at_the_start_has_a_row_without_a_name(nvml: FakeNvml) -> None:
    nvml.add_h100(handle="!15")
    nvml.add_geforce()
    nvml.write()
    gone, other = read().gpus
    assert (gone.uuid, gone.index, bool(gone.fault)) == ("unknown-0", 0, True)
    assert other.utilization_ratio == 0.0


def test_a_gpu_of_which_nothing_can_be_read_is_faulty_as_a_whole(nvml: FakeNvml) -> None:
    nvml.add_h100(all="!999", uuid="GPU-1")
    nvml.write()
    (gpu,) = read().gpus
    assert "unknown error" in gpu.fault


def test_critical_errors_are_heard_once_each(nvml: FakeNvml) -> None:
    gpu, _ = nvml.add_h100(), nvml.add_h100()
    nvml.write()

    async def steps(gpus: NvmlGpus) -> None:
        assert (await gpus.read()).gpus[0].xids == ()
        for number, code in enumerate((31, 79), start=1):
            gpu["xid"] = f"{number} {code}"
            nvml.write()
            await until(gpus, lambda reading, number=number: len(reading.gpus[0].xids) == number)  # type: ignore[misc]  # a default binds the loop's value
        gpu["power"] = 1000
        nvml.write()
        reading = await until(gpus, lambda reading: reading.gpus[0].power_w == 1.0)
        assert [xid.code for xid in reading.gpus[0].xids] == [31, 79]
        assert reading.gpus[1].xids == ()

    run(steps)


def test_pcie_is_read_only_on_demand(nvml: FakeNvml) -> None:
    nvml.add_h100()
    nvml.write()

    async def steps(gpus: NvmlGpus) -> None:
        assert (await gpus.read()).gpus[0].pcie_sent_bytes_per_s is None
        gpus.pcie = True
        reading = await until(gpus, lambda reading: reading.gpus[0].pcie_sent_bytes_per_s is not None)
        assert reading.gpus[0].pcie_sent_bytes_per_s == 84000 * 1024
        assert reading.gpus[0].pcie_received_bytes_per_s == 1250000 * 1024
        gpus.pcie = False
        assert (await gpus.read()).gpus[0].pcie_sent_bytes_per_s is None

    run(steps)


def test_mig_devices_and_who_runs_on_them(nvml: FakeNvml) -> None:
    pid = os.getpid()
    nvml.add_h100(mig="1 1", utilization="!3")
    nvml.slices[0] = [
        {"uuid": "MIG-a", "gpu_instance": 1, "compute_instance": 0, "memory": f"{20 * GIB} {GIB} 0"},
        {"uuid": "MIG-b", "gpu_instance": 5, "compute_instance": 0, "proc": f"compute {pid} {GIB} 5 0"},
    ]
    nvml.write()
    (gpu,) = read().gpus
    assert (gpu.mig, gpu.utilization_ratio) == (True, None)
    assert gpu.mig_devices == (MigDevice("MIG-a", 1, 0, GIB, 20 * GIB), MigDevice("MIG-b", 5, 0, None, None))
    assert gpu.processes == (GpuProcess(pid, GIB, kind="compute", gpu_instance=5),)


def test_processes_with_what_the_host_knows_of_them(nvml: FakeNvml) -> None:
    pid, unknown = os.getpid(), 2**64 - 1
    nvml.add_h100(proc=[f"compute {pid} {GIB}", f"graphics {pid} {GIB}", f"mps 1 {unknown}", f"compute {GONE_PID} 5"])
    nvml.add_h100(proc=[f"compute {pid} 7"])
    nvml.write()
    reading = read()
    first, second = reading.gpus
    assert first.processes == (GpuProcess(pid, GIB, kind="compute+graphics"), GpuProcess(1, None, kind="mps"))
    assert first.unseen_processes == 1
    assert second.processes == (GpuProcess(pid, 7, kind="compute"),)
    assert sorted(process.pid for process in reading.processes) == [1, pid]
    me = next(process for process in reading.processes if process.pid == pid)
    assert me.ancestors[:1] == (os.getppid(),)
    assert me.name


@pytest.mark.parametrize(
    ("init", "kind", "word"),
    [
        ("!9", Unavailable, "kernel module is not loaded"),
        ("!18", ReadError, "was changed"),
        ("!4", AccessDenied, "may not use"),
        ("!999", ReadError, "does not start"),
    ],
)
def test_a_driver_that_does_not_start_says_why(nvml: FakeNvml, init: str, kind: type[ReadError], word: str) -> None:
    nvml.system["init"] = init
    nvml.write()
    with pytest.raises(kind, match=word) as caught:
        read()
    assert type(caught.value) is kind
    assert caught.value.advice


def test_no_driver_is_asked_for_seldom_and_found_when_it_comes(nvml: FakeNvml) -> None:
    nvml.system["init"] = "!9"
    nvml.write()

    async def steps(gpus: NvmlGpus) -> None:
        periods = [gpus.period_s]
        with pytest.raises(Unavailable):
            await gpus.read()
        periods.append(gpus.period_s)
        assert gpus.pid is None
        del nvml.system["init"]
        nvml.write()
        assert (await gpus.read()).gpus == ()
        assert [*periods, gpus.period_s] == [None, ABSENT_PERIOD_S, None]

    run(steps)


def test_a_host_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    if subprocess.run([sys.executable, "-c", "import ctypes; ctypes.CDLL('libnvidia-ml.so.1')"], check=False,
                      capture_output=True).returncode == 0:  # fmt: skip
        pytest.skip("this host has an NVIDIA driver")
    with pytest.raises(Unavailable, match="no NVIDIA driver"):
        read()


def test_nvml_that_hangs_is_killed_and_started_again(nvml: FakeNvml) -> None:
    keys = nvml.add_h100(power="@3600000 0")
    nvml.write()
    clock = Clock()

    async def steps(gpus: NvmlGpus) -> None:
        with pytest.raises(TimedOut, match="said nothing") as first:
            await gpus.read()
        assert "killed" not in str(first.value)
        pid = gpus.pid
        assert pid is not None
        clock.now_s += 6.0
        with pytest.raises(TimedOut, match="nothing for 6 s, and its process was killed"):
            await gpus.read()
        assert not is_running(pid)
        keys["power"] = 1000
        nvml.write()
        with pytest.raises(TimedOut):  # not yet
            await gpus.read()
        assert gpus.pid is None
        clock.now_s += 2.0
        reading = await recovered(gpus)
        assert reading.gpus[0].power_w == 1.0

    run(steps, answer_s=0.3, silence_s=5.0, monotonic=clock)


async def recovered(gpus: NvmlGpus) -> GpuReading:
    """Read again for as long as the answer is only late."""
    for _ in range(100):
        with contextlib.suppress(TimedOut):
            return await gpus.read()
    raise AssertionError("no answer after a hundred reads")


def test_an_answer_that_comes_late_is_taken_by_a_later_read(nvml: FakeNvml) -> None:
    nvml.add_h100(power="@1500 1000")
    nvml.write()

    async def steps(gpus: NvmlGpus) -> None:
        with pytest.raises(TimedOut):
            await gpus.read()
        pid = gpus.pid
        assert (await recovered(gpus)).gpus[0].power_w == 1.0
        assert gpus.pid == pid

    run(steps, answer_s=0.2)


def test_a_crash_of_nvml_is_survived_and_tried_ever_more_seldom(nvml: FakeNvml) -> None:
    keys = nvml.add_h100(power="!segv")
    nvml.write()
    clock = Clock()

    async def steps(gpus: NvmlGpus) -> None:
        back_off_s = 1.0
        for _ in range(8):
            with pytest.raises(ReadError, match="was ended by SIGSEGV"):
                await gpus.read()
            assert gpus.pid is None
            keys["power"] = 1000  # it would work again, and nobody asks before its time
            clock.now_s += 0.9 * min(back_off_s, MAX_BACK_OFF_S)
            with pytest.raises(ReadError, match="was ended by SIGSEGV"):
                await gpus.read()
            assert gpus.pid is None
            clock.now_s += 0.2 * min(back_off_s, MAX_BACK_OFF_S)
            back_off_s *= 2
        nvml.write()
        assert (await gpus.read()).gpus[0].power_w == 1.0

    run(steps, monotonic=clock)


def test_a_driver_that_is_unloaded_is_found_again(nvml: FakeNvml) -> None:
    nvml.add_h100()
    nvml.write()
    clock = Clock()

    async def steps(gpus: NvmlGpus) -> None:
        await gpus.read()
        nvml.system["driver"] = "!1"
        nvml.write()
        with pytest.raises(ReadError, match="went away"):
            await gpus.read()
        nvml.system["driver"] = "580.1"
        nvml.write()
        clock.now_s += 2.0
        assert (await gpus.read()).driver_version == "580.1"

    run(steps, monotonic=clock)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("input(); print('nonsense', flush=True); input()", "nonsense"),
        ("input(); print('[1]', flush=True); input()", "nonsense"),
        (f"input(); print({STRANGE!r}, flush=True); input()", "colour"),
        ("input(); print('x' * 9_000_000, flush=True); input()", "nonsense"),
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense(text: str, word: str) -> None:
    with pytest.raises(Garbled, match=word):
        read(command=script(text))


def test_a_child_that_ends_by_itself_is_quoted() -> None:
    with pytest.raises(ReadError, match=r"exit code 3\. It said: broken install") as caught:
        read(command=script("import sys; input(); print('broken install', file=sys.stderr); sys.exit(3)"))
    assert type(caught.value) is ReadError


def test_a_child_that_cannot_be_started() -> None:
    with pytest.raises(ReadError, match="cannot be started: No such file"):
        read(command=("/nonexistent/python",))


def test_the_package_that_hides_ours_is_named(nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pynvml").mkdir()
    (tmp_path / "pynvml/__init__.py").write_text("nvmlMemory_v2 = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ReadError, match="hides nvidia-ml-py") as caught:
        read()
    assert "pip uninstall pynvml" in caught.value.advice


def test_a_library_that_prints_does_not_garble_the_answers(nvml: FakeNvml) -> None:
    nvml.write()
    noisy = "import os; load = child.load_nvml; child.load_nvml = lambda: (os.write(1, b'noise'), load())[1]"
    assert read(command=hurried(noisy)).driver_version == "570.86.15"


@pytest.mark.parametrize("power", ["1000", "@3600000 0"], ids=["idle", "hanging"])
def test_the_child_does_not_outlive_its_parent(nvml: FakeNvml, power: str) -> None:
    nvml.add_h100(power=power)
    nvml.write()
    parent = subprocess.Popen(
        script(
            """
            import asyncio, contextlib
            from collectors.nvml import NvmlGpus
            from tritop.errors import TimedOut
            async def main():
                gpus = NvmlGpus(answer_s=0.5)
                with contextlib.suppress(TimedOut):
                    await gpus.read()
                print(gpus.pid, flush=True)
                await asyncio.sleep(3600)
            asyncio.run(main())
            """
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    wait_until(lambda: not is_running(child), "the child has ended with its parent")


def test_closing_ends_a_child_that_hangs(nvml: FakeNvml) -> None:
    nvml.add_h100(power="@3600000 0")
    nvml.write()
    pids: list[int] = []

    async def steps(gpus: NvmlGpus) -> None:
        with pytest.raises(TimedOut):
            await gpus.read()
        assert gpus.pid is not None
        pids.append(gpus.pid)

    run(steps, answer_s=0.5)
    assert not is_running(pids[0])


@pytest.mark.gpu
def test_a_real_driver_gives_believable_numbers() -> None:
    try:
        reading = read()
    except Unavailable as absent:
        pytest.skip(str(absent))
    assert reading.gpus
    for gpu in reading.gpus:
        assert not gpu.fault
        assert gpu.uuid.startswith("GPU-")
        assert gpu.name
        assert gpu.total_bytes is None or 0 <= (gpu.used_bytes or 0) <= gpu.total_bytes
        assert gpu.utilization_ratio is None or 0 <= gpu.utilization_ratio <= 1
        assert gpu.temperature_c is None or 0 < gpu.temperature_c < 120
        assert gpu.field_faults == ()
