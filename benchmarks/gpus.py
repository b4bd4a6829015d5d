"""What reading the GPUs costs: CPU of the NVML process and of its collector, two GPUs once a second.

The driver's library is the stand-in of the tests, since its calls cost nearly nothing: the figure is
our own share, ctypes, /proc and JSON. On a real driver the calls themselves come on top. CPU time is
the kernel's (schedstat, in ns) over a window that begins when the start-up is over.
The last line on stdout is a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collectors.nvml import NvmlGpus
from tests.nvml.fake_nvml import GIB, FakeNvml, build

WINDOW_S = 30
INTERVAL_S = 1.0
PROCESSES = 4
"""On each GPU."""
CHILD_BUDGET = 0.3
"""Percent of one core."""


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


async def measure() -> tuple[float, float]:
    """(percent of a core of the child, ms of CPU that one read costs tritop itself)."""
    gpus = NvmlGpus()
    try:
        for _ in range(3):
            await gpus.read()
        assert gpus.pid is not None
        child_ns, own_s, started = cpu_ns(gpus.pid), time.process_time(), time.monotonic()
        for number in range(WINDOW_S):
            await asyncio.sleep(max(0.0, started + number * INTERVAL_S - time.monotonic()))
            await gpus.read()
        span_s = time.monotonic() - started + INTERVAL_S
        return (cpu_ns(gpus.pid) - child_ns) / 1e7 / span_s, (time.process_time() - own_s) * 1e3 / WINDOW_S
    finally:
        await gpus.aclose()


def main() -> int:
    """Measure once and print."""
    with tempfile.TemporaryDirectory() as folder:
        fake = FakeNvml(build(Path(folder)), Path(folder) / "gpus.conf")
        sleepers = [subprocess.Popen(["sleep", "3600"]) for _ in range(PROCESSES)]
        try:
            processes = [f"compute {one.pid} {GIB}" for one in sleepers]
            fake.add_h100(proc=list(processes))
            fake.add_h100(proc=list(processes))
            fake.write()
            os.environ.update(fake.environ)
            child, own_ms = asyncio.run(measure())
        finally:
            for one in sleepers:
                one.kill()
                one.wait()
    entries = [
        {
            "benchmark": "gpus: NVML process, 2 GPUs at 1 Hz",
            "value": round(child, 3),
            "unit": "% of a core",
            "budget": CHILD_BUDGET,
            "met": child <= CHILD_BUDGET,
        },
        {
            "benchmark": "gpus: tritop's own share of a read",
            "value": round(own_ms, 2),
            "unit": "ms of CPU",
            "budget": 2.0,
            "met": own_ms <= 2.0,
        },
    ]
    print(json.dumps(entries))
    return 0 if all(entry["met"] for entry in entries) else 1


if __name__ == "__main__":
    sys.exit(main())
