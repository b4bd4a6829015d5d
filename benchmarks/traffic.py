"""tritop's traffic generator against the field's C++ one, perf_analyzer, on the demo's matrix model.

Both are run as their users run them, one right after the other over the same server with batching
on; the values are medians over many such pairs, so that a slow moment of the machine meets both.
perf_analyzer comes out of the wheel tritonclient 2.50.0, the newest one whose binary runs with
glibc 2.36; it needs libb64 (`libb64-0d` of Debian) and the CUDA run-time library of another wheel.
Both wheels are downloaded once into `.cache/`. The last line on stdout is a list of JSON objects.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format

from tritop.demo.repository import load_models, write_repository
from tritop.endpoint import Endpoint
from tritop.protocol import open_channel, service_pb2, service_pb2_grpc
from tritop.runtimes.local import LocalServer

BUDGET_PERCENT = 5.0
WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12>=12,<13")
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "perf_analyzer"
MODEL = "matrix"
MAX_QUEUE_DELAY_US = 2000
WINDOWS = 3
"""perf_analyzer reports the last three windows together."""


@dataclass(frozen=True)
class Figures:
    """What one run of one generator says."""

    requests_per_s: float
    p50_us: float
    p99_us: float


class PerfAnalyzer:
    """The binary out of its wheel.

    Raises:
        SystemExit: it cannot be had or does not run here; the reason is on stderr.
    """

    def __init__(self) -> None:
        if not CACHE.is_dir():
            _download()
        self._binary = _found("perf_analyzer")
        self._binary.chmod(0o755)
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(_found("libcudart.so.12").parent)}
        started = subprocess.run(
            [self._binary, "--version"], env=self._environment, capture_output=True, text=True, check=False
        )
        if started.returncode:
            sys.exit(f"perf_analyzer does not run here (libb64.so.0d is Debian's libb64-0d): {started.stderr.strip()}")

    def measure(self, endpoint: Endpoint, concurrency: int, seconds: float) -> Figures:
        """One closed loop, `WINDOWS` windows of a third of the time each, whether they agree or not."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.csv"
            # Its rule for stable windows is switched off: both sides are to measure for the same time.
            command = [
                *(str(self._binary), "-m", MODEL, "-i", "grpc", "-u", endpoint.grpc_address),
                *("--concurrency-range", str(concurrency), "-p", str(round(seconds * 1000 / WINDOWS))),
                *("-s", "100000", "-f", str(report)),
            ]
            ended = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
            if ended.returncode or not report.exists():
                sys.exit(f"perf_analyzer failed: {ended.stderr.strip() or ended.stdout.strip()}")
            with report.open(newline="") as file:
                (row,) = csv.DictReader(file)
        return Figures(float(row["Inferences/Second"]), float(row["p50 latency"]), float(row["p99 latency"]))


def _download() -> None:
    CACHE.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q", "-d", str(CACHE)]
    ended = subprocess.run([*command, *WHEELS], capture_output=True, text=True, check=False)
    wheels = list(CACHE.glob("*.whl"))
    if ended.returncode or len(wheels) != len(WHEELS):
        for wheel in wheels:
            wheel.unlink()
        CACHE.rmdir()
        sys.exit(f"perf_analyzer cannot be had, so there is nothing to compare with: {ended.stderr.strip()}")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(CACHE)
        wheel.unlink()


def _found(name: str) -> Path:
    path = next((path for path in CACHE.rglob(name) if path.is_file()), None)
    if path is None:
        sys.exit(f"{CACHE} holds no {name}: remove that folder and run this again.")
    return path


def measure_tritop(endpoint: Endpoint, concurrency: int, seconds: float) -> Figures:
    """`tritop traffic`, as a user runs it."""
    command = [
        *(sys.executable, "-m", "tritop", "traffic", MODEL, "-u", f"grpc://{endpoint.grpc_address}", "--json"),
        *("--concurrency", str(concurrency), "--duration", str(seconds)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"tritop traffic failed: {ended.stderr.strip() or ended.stdout.strip()}")
    document = json.loads(ended.stdout)
    latency_us = document["latency_us"]
    return Figures(document["inferences_per_s"], latency_us["p50"], latency_us["p99"])


async def turn_batching_on(endpoint: Endpoint) -> None:
    """Add a dynamic_batching block to the running configuration."""
    async with open_channel(endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        config = (await stub.ModelConfig(service_pb2.ModelConfigRequest(name=MODEL))).config
        config.dynamic_batching.max_queue_delay_microseconds = MAX_QUEUE_DELAY_US
        request = service_pb2.RepositoryModelLoadRequest(model_name=MODEL)
        request.parameters["config"].string_param = json_format.MessageToJson(config, preserving_proto_field_name=True)
        await stub.RepositoryModelLoad(request)


async def run(
    perf_analyzer: PerfAnalyzer, concurrencies: Sequence[int], rounds: int, seconds: float
) -> Mapping[tuple[str, int], list[Figures]]:
    """Start a server, let both generators measure in turn, stop it."""
    runs: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tritop-traffic-") as folder:
        demo = write_repository(Path(folder) / "models")
        server = LocalServer(demo.folder)
        try:
            await server.start()
            await server.wait_live()
            await load_models(server.endpoint, demo, lambda done, total, model: None)
            await turn_batching_on(server.endpoint)
            for turn in range(rounds):
                for concurrency in concurrencies:
                    sides = {"perf_analyzer": perf_analyzer.measure, "tritop": measure_tritop}
                    # Whoever goes first finds the machine as the other one left it: take turns in that too.
                    for name in sorted(sides, reverse=bool(turn % 2)):
                        figures = await asyncio.to_thread(sides[name], server.endpoint, concurrency, seconds)
                        runs[name, concurrency].append(figures)
                        print(f"round {turn + 1}, concurrency {concurrency:2}, {name:13} {figures}", file=sys.stderr)
            await server.stop()
        finally:
            server.kill()
    return runs


def differences_percent(runs: Mapping[tuple[str, int], list[Figures]], concurrency: int, field: str) -> list[float]:
    """By how much tritop's figure differs from that of perf_analyzer, in each round."""
    ours, theirs = (
        [float(getattr(figures, field)) for figures in runs[name, concurrency]] for name in ("tritop", "perf_analyzer")
    )
    medians = f"tritop {statistics.median(ours):10.1f}  perf_analyzer {statistics.median(theirs):10.1f}"
    print(f"concurrency {concurrency:2}  {field:14}  {medians}")
    return [(our - their) / their * 100 for our, their in zip(ours, theirs, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="2 or more")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[4, 8, 16, 32])
    arguments = parser.parse_args()
    runs = asyncio.run(run(PerfAnalyzer(), arguments.concurrency, max(2, arguments.rounds), arguments.seconds))
    results = []
    for concurrency in arguments.concurrency:
        for field, what in (("requests_per_s", "throughput"), ("p99_us", "p99")):
            differences = differences_percent(runs, concurrency, field)
            value = statistics.median(differences)
            results.append(
                {
                    "benchmark": f"traffic, {what} at concurrency {concurrency}",
                    "value": round(value, 2),
                    "unit": "% difference to perf_analyzer",
                    "budget": BUDGET_PERCENT,
                    "met": abs(value) <= BUDGET_PERCENT,
                    # Far apart on a machine that others use too: then the value says little.
                    "quartiles": [round(cut, 2) for cut in statistics.quantiles(differences, n=4)[::2]],
                }
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
