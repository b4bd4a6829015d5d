"""How soon tritop answers: --version, --once --json beyond its sampling window, the first real number.

Against a real embedded server with the demo's models and a little traffic, on this machine's
cores. Wall time of whole processes, from before they are started; medians. Bytecode is kept from one
run to the next, as an installed tritop keeps it: compiling anew each time costs 0.09 s (measured). The
last line on stdout is a JSON list.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

from tritop.demo.repository import load_models, write_repository
from tritop.endpoint import Endpoint
from tritop.load.control import TrafficProcess
from tritop.runtimes.local import LocalServer

VERSION_BUDGET_S, ONCE_BUDGET_S, FIRST_NUMBER_BUDGET_S = 0.06, 0.30, 0.80
INTERVAL_S = 1.0
TRAFFIC_PER_S = 50.0
MODEL = "tiny"
"""The model that traffic goes to, and whose rate is waited for."""
ROWS, COLUMNS = 36, 120
FRAME_TIMEOUT_S = 20.0

_TRITOP = str(Path(sys.executable).parent / "tritop")
_RATE = re.compile(MODEL + r"\s+1\s+\S*\s*READY\s+(\d[\d.]*k?)")


def seconds_of(command: Sequence[str], expected: set[int]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode not in expected:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.decode()}")
    return seconds


def first_number_seconds(target: str) -> float:
    """From starting tritop in a terminal of its own until the model's rate stands on its screen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "TRITOP_", "TEXTUAL"))}
    started = time.perf_counter()
    process = subprocess.Popen(
        [_TRITOP, target],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(slave)
    try:
        return _seconds_until_rate(master, started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(FRAME_TIMEOUT_S)
        os.close(master)


def _seconds_until_rate(master: int, started: float) -> float:
    """Feed a terminal in memory with what is written until the rate is there; seconds since `started`."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    while (left_s := started + FRAME_TIMEOUT_S - time.perf_counter()) > 0:
        readable, _, _ = select.select([master], [], [], left_s)
        if not readable:
            break
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux says EIO once tritop is gone
            break
        at = time.perf_counter()
        stream.feed(chunk)
        if any(_RATE.search(line) for line in screen.display):
            return at - started
    shown = "\n".join(line.rstrip() for line in screen.display)
    raise RuntimeError(f"no rate of {MODEL} was shown in {time.perf_counter() - started:.1f} s:\n{shown}")


def measure(name: str, budget: float, repeat: int, once: Callable[[], float]) -> dict[str, object]:
    """Median of several runs after one that warms the caches of the file system."""
    once()
    seconds = [once() for _ in range(repeat)]
    value = statistics.median(seconds)
    spread = f"{min(seconds):.3f} .. {max(seconds):.3f}"
    print(f"{name:<28} {value:.3f} s ({spread}), budget {budget:.2f} s", file=sys.stderr)
    return {"benchmark": name, "value": round(value, 4), "unit": "s", "budget": budget, "met": value <= budget}


def measure_all(endpoint: Endpoint, repeat: int) -> list[dict[str, object]]:
    """Every figure, one after the other."""
    target = f"{endpoint.grpc_address}?metrics={endpoint.metrics_url}"
    once = [_TRITOP, "--once", "--json", "-d", str(INTERVAL_S), target]
    return [
        measure("startup: --version", VERSION_BUDGET_S, 4 * repeat, lambda: seconds_of([_TRITOP, "--version"], {0})),
        # Exit code 1: one of the demo's models fails to load, which makes its server unhealthy.
        measure("startup: --once --json", ONCE_BUDGET_S, repeat, lambda: seconds_of(once, {1}) - INTERVAL_S),
        measure("startup: first real number", FIRST_NUMBER_BUDGET_S, repeat, lambda: first_number_seconds(target)),
    ]


async def run(repeat: int) -> list[dict[str, object]]:
    """Bring a server up, send it a little traffic, measure, and take everything away again."""
    with tempfile.TemporaryDirectory() as folder:
        demo = write_repository(Path(folder) / "models")
        server = LocalServer(demo.folder)
        try:
            await server.start()
            await server.wait_live(60.0)
            await load_models(server.endpoint, demo, lambda done, total, model: None)
            traffic = TrafficProcess(server.endpoint, model=MODEL)
            try:
                await traffic.start()
                await traffic.set(rate_per_s=TRAFFIC_PER_S)
                return await asyncio.to_thread(measure_all, server.endpoint, repeat)
            finally:
                await traffic.stop()
        finally:
            await server.stop()


def main() -> int:
    """Print the figures; 0 when every budget is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7, help="runs of each; default 7")
    repeat = parser.parse_args().repeat
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    results = asyncio.run(run(repeat))
    print(json.dumps(results))
    return 0 if all(result["met"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
