"""nvitop and tritop read the same NVML and must say the same, field by field."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collectors.nvml import NvmlGpus
from tests.nvml.fake_nvml import GIB, FakeNvml
from tests.nvml.hosting import fake_nvml
from tritop.errors import Unavailable
from tritop.model import Gpu
from tritop.reading import GpuReading

NVITOP = """
import json
from nvitop import Device, MigDevice
def processes(device):
    listed = device.processes().values()
    return sorted([one.pid, int(one.gpu_memory()), one.name(), one.username()] for one in listed)
def number(value):
    return value if isinstance(value, (int, float)) else None
print(json.dumps([
    {
        "uuid": device.uuid(),
        "name": device.name(),
        "index": device.index,
        "bus_id": device.bus_id(),
        "utilization_percent": number(device.gpu_utilization()),
        "memory_percent": number(device.memory_utilization()),
        "used_bytes": number(device.memory_used()),
        "total_bytes": number(device.memory_total()),
        "power_mw": number(device.power_usage()),
        "power_limit_mw": number(device.power_limit()),
        "temperature_c": number(device.temperature()),
        "sm_clock_mhz": number(device.sm_clock()),
        "memory_clock_mhz": number(device.memory_clock()),
        "max_sm_clock_mhz": number(device.max_sm_clock()),
        "fan_percent": number(device.fan_speed()),
        "performance_state": device.performance_state(),
        "ecc_uncorrected": number(device.total_volatile_uncorrected_ecc_errors()),
        "mig": device.is_mig_mode_enabled(),
        "persistence": device.persistence_mode(),
        "driver": device.driver_version(),
        "pcie_sent": number(device.pcie_tx_throughput()),
        "processes": processes(device),
    }
    for device in Device.all()
]))
"""
"""What nvitop's own API says, read in a process of its own."""


@pytest.fixture
def nvml(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    return fake_nvml(tmp_path, tmp_path_factory, monkeypatch)


def by_nvitop() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", NVITOP], check=True, capture_output=True, text=True, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def by_tritop() -> GpuReading:
    async def run() -> GpuReading:
        gpus = NvmlGpus(answer_s=30.0, silence_s=60.0)
        try:
            gpus.pcie = True
            await gpus.read()
            for _ in range(200):
                reading = await gpus.read()
                if all(gpu.pcie_sent_bytes_per_s is not None or gpu.pcie_width is None for gpu in reading.gpus):
                    break
                await asyncio.sleep(0.02)
            return reading
        finally:
            await gpus.aclose()

    return asyncio.run(run())


def scaled(value: float | None, factor: float) -> int | None:
    return None if value is None else round(value * factor)


def as_nvitop_says_it(gpu: Gpu, reading: GpuReading) -> Mapping[str, Any]:
    """Our fields by the names and in the units of NVITOP."""
    known = {process.pid: process for process in reading.processes}
    processes = [[one.pid, one.used_bytes, known[one.pid].name, known[one.pid].user] for one in gpu.processes]
    return {
        "uuid": gpu.uuid,
        "name": gpu.name,
        "index": gpu.index,
        "bus_id": gpu.bus_id,
        "utilization_percent": scaled(gpu.utilization_ratio, 100),
        "memory_percent": scaled(gpu.memory_utilization_ratio, 100),
        "used_bytes": gpu.used_bytes,
        "total_bytes": gpu.total_bytes,
        "power_mw": scaled(gpu.power_w, 1000),
        "power_limit_mw": scaled(gpu.power_limit_w, 1000),
        "temperature_c": gpu.temperature_c,
        "sm_clock_mhz": gpu.sm_clock_mhz,
        "memory_clock_mhz": gpu.memory_clock_mhz,
        "max_sm_clock_mhz": gpu.max_sm_clock_mhz,
        "fan_percent": scaled(gpu.fan_ratio, 100),
        "performance_state": f"P{gpu.performance_state}",
        "ecc_uncorrected": gpu.ecc_uncorrected,
        "mig": bool(gpu.mig),
        "persistence": {True: "Enabled", False: "Disabled", None: "N/A"}[gpu.persistence],
        "driver": reading.driver_version,
        "pcie_sent": scaled(gpu.pcie_sent_bytes_per_s, 1 / 1024),
        "processes": sorted(processes),
    }


STEADY = ("uuid", "name", "index", "bus_id", "total_bytes", "power_limit_mw", "max_sm_clock_mhz", "ecc_uncorrected",
          "mig", "persistence", "driver")  # fmt: skip
"""What a real GPU does not change between two readings."""


def test_every_field_on_gpus_of_two_kinds(nvml: FakeNvml) -> None:
    with subprocess.Popen(["sleep", "3600"]) as neighbour:
        try:
            nvml.add_h100(proc=[f"compute {os.getpid()} {GIB}", f"compute {neighbour.pid} {2 * GIB}"])
            nvml.add_geforce(pcie0=7, pcie1=9, proc=[f"graphics {neighbour.pid} 4096"])
            nvml.write()
            theirs, ours = by_nvitop(), by_tritop()
        finally:
            neighbour.kill()
    assert len(theirs) == len(ours.gpus) == 2
    for gpu, other in zip(ours.gpus, theirs, strict=True):
        mine = as_nvitop_says_it(gpu, ours)
        assert {name: mine[name] for name in other} == other


@pytest.mark.gpu
def test_every_steady_field_on_a_real_driver() -> None:
    try:
        ours = by_tritop()
    except Unavailable as absent:
        pytest.skip(str(absent))
    theirs = by_nvitop()
    assert len(theirs) == len(ours.gpus)
    for gpu, other in zip(ours.gpus, theirs, strict=True):
        mine = as_nvitop_says_it(gpu, ours)
        assert {name: mine[name] for name in STEADY} == {name: other[name] for name in STEADY}
