"""Requests that fail while a model is changed 50 times under 50 closed-loop clients: the budget is none.

20 batching edits, 20 instance changes and 10 version changes of the demo's matrix model, one after
another, carried out by `tritop.control` as the screen and the command line do. Server and clients
share this machine's cores. The worst latency and the server's memory before and after are printed
with it. The last line on stdout is one JSON list.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from benchmarks.batching import infer_request
from tritop.change import ConfigEdit, Outcome, VersionChoice
from tritop.control.control import Control
from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.endpoint import Endpoint
from tritop.operation import EditConfig, ModelChange, SetVersions
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2_grpc
from tritop.runtimes.local import LocalServer

CLIENTS = 50
BATCHING = (
    ConfigEdit(batching=True, max_queue_delay_us=2000),
    ConfigEdit(batching=False),
    ConfigEdit(batching=True, max_queue_delay_us=0),
    ConfigEdit(max_batch_size=16),
    ConfigEdit(max_batch_size=32, preferred_batch_sizes=(8, 16)),
)
"""Batching is on at the end: without it the server ends a change of instances only once no request waits."""
INSTANCES = (ConfigEdit(instance_count=2), ConfigEdit(instance_count=1))
VERSIONS = (VersionChoice(specific=(2,)), VersionChoice(all=True))


@dataclass
class Clients:
    """What the closed-loop clients met; `latencies_s` has (when it was sent, how long it took)."""

    errors: Counter[str] = field(default_factory=Counter)
    latencies_s: list[tuple[float, float]] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[float]:
        """Latencies [s] of requests that were under way in a stretch of time, sorted."""
        return sorted(took for sent, took in self.latencies_s if sent < end and sent + took > start)


@asynccontextmanager
async def clients(endpoint: Endpoint, model: str) -> AsyncIterator[Clients]:
    """Keep CLIENTS requests in flight while the block runs."""
    met = Clients()
    request = infer_request(model)
    metadata = request_metadata(endpoint)
    over = asyncio.Event()
    async with open_channel(endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        async def client() -> None:
            while not over.is_set():
                sent = time.monotonic()
                try:
                    await stub.ModelInfer(request, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    met.errors[f"{error.code().name}: {error.details()}"] += 1
                else:
                    met.latencies_s.append((sent, time.monotonic() - sent))

        tasks = [asyncio.create_task(client()) for _ in range(CLIENTS)]
        try:
            yield met
        finally:
            # None is cut off: Triton 2.51 can crash where a request is cancelled as it is answered.
            over.set()
            await asyncio.gather(*tasks)


def changes(model: str, count: int) -> dict[str, list[ModelChange]]:
    """The changes by kind; `count` of the first kind, an even number of the second, half as many of the third."""
    return {
        "batching": [EditConfig("demo", model, edit) for edit in islice(cycle(BATCHING), count)],
        "instances": [EditConfig("demo", model, edit) for edit in islice(cycle(INSTANCES), count - count % 2)],
        "versions": [SetVersions("demo", model, choice) for choice in islice(cycle(VERSIONS), count // 2)],
    }


def resident_bytes(pid: int) -> tuple[int, int]:
    """(resident bytes of a process, of it and all processes below it)."""
    parents, resident = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else None
        except OSError:
            continue
        if stat is not None:
            # proc(5): fields 4 and 24 of `stat`, the parent and the resident pages.
            parents[int(entry.name)], resident[int(entry.name)] = int(stat[1]), int(stat[21]) * 4096
    tree, frontier = {pid}, {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier} - tree
        tree |= frontier
    return resident[pid], sum(resident[one] for one in tree)


async def change_all(server: LocalServer, demo: DemoRepository, count: int) -> tuple[Clients, dict[str, list[Outcome]]]:
    """Carry every change out under traffic.

    Raises:
        OperationFailed: one was refused.
    """
    control = Control(server.endpoint)
    outcomes: dict[str, list[Outcome]] = {}
    try:
        async with clients(server.endpoint, demo.traffic_model) as met:
            await asyncio.sleep(2.0)
            for kind, wanted in changes(demo.traffic_model, count).items():
                for change in wanted:
                    start = time.monotonic()
                    outcome = await control.perform(change, lambda text: None)
                    outcomes.setdefault(kind, []).append(outcome)
                    slowest_s = met.between(start, time.monotonic())[-1:]
                    print(f"{outcome.text}; slowest {slowest_s}; failed {met.errors.total()}", file=sys.stderr)
            await asyncio.sleep(2.0)
    finally:
        await control.aclose()
    return met, outcomes


async def run(count: int) -> tuple[Clients, dict[str, list[Outcome]], tuple[int, int], tuple[int, int]]:
    """Start a server, change it, stop it; memory is read with the model in the same configuration."""
    folder = Path(tempfile.mkdtemp(prefix="tritop-live-edit-"))
    demo = write_repository(folder / "models")
    server = LocalServer(demo.folder, remove_at_end=(folder,))
    try:
        await server.start()
        await server.wait_live()
        await load_models(server.endpoint, demo, lambda done, total, model: None)
        # The first round warms the allocator up, so that the second shows what each change leaves behind. It goes
        # through every change once, so that the second one begins and ends where it ended.
        await change_all(server, demo, len(BATCHING))
        assert server.pid is not None
        before = resident_bytes(server.pid)
        met, outcomes = await change_all(server, demo, count)
        after = resident_bytes(server.pid)
        await server.stop()
    finally:
        server.kill()
    return met, outcomes, before, after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="batching edits, and instance changes; versions: half")
    arguments = parser.parse_args()
    met, outcomes, before, after = asyncio.run(run(arguments.count))
    latencies_ms = sorted(took * 1e3 for _, took in met.latencies_s)
    for kind, all_of_kind in outcomes.items():
        seconds = [outcome.duration_s for outcome in all_of_kind]
        print(f"{len(seconds):3} {kind:9}  median {statistics.median(seconds):5.2f} s, longest {max(seconds):5.2f} s")
    print(f"{len(latencies_ms)} requests, {met.errors.total()} failed {dict(met.errors) or ''}")
    median_ms, p99_ms = statistics.median(latencies_ms), latencies_ms[len(latencies_ms) * 99 // 100]
    print(f"latency: median {median_ms:.0f} ms, p99 {p99_ms:.0f} ms, worst {latencies_ms[-1]:.0f} ms")
    print(
        f"resident: tritonserver {before[0] / 2**20:.0f} -> {after[0] / 2**20:.0f} MiB, "
        f"with its model processes {before[1] / 2**20:.0f} -> {after[1] / 2**20:.0f} MiB"
    )
    failed = met.errors.total()
    print(
        json.dumps(
            [
                {
                    "benchmark": "live_edit",
                    "value": failed,
                    "unit": "failed requests",
                    "budget": 0,
                    "met": failed == 0 and bool(latencies_ms),
                }
            ]
        )
    )


if __name__ == "__main__":
    main()
