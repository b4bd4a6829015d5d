"""A server with any number of models, for measuring what it costs to watch it.

It speaks Triton's gRPC protocol and serves its exposition with numbers that move as those of a
busy server do (summaries off, as is Triton's default), so that only the watching side has to be
real. Runs in a process of its own:
`python -m benchmarks.fleet MODELS ACTIVE` prints its two ports and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.parse import exposition
from tests.collectors.fake_metrics_server import FakeMetricsServer, Peer, response
from tests.collectors.fake_triton import FakeTriton, serving

_BATCH_SIZES = (1, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where a fleet listens."""

    grpc_port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """The TARGET of the command line."""
        return f"grpc://127.0.0.1:{self.grpc_port}?metrics={self.metrics_port}"


class FakeFleet(FakeTriton):
    """Every call for statistics finds the active models a little further on."""

    def __init__(self, models: int, active: int) -> None:
        super().__init__()
        self.models, self.active = models, active
        self.tick = 0
        for model in range(models):
            self.add_model(f"production_model_{model:04d}")

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        """Move on, then answer."""
        self.asked.clear()
        self.tick += 1
        for row in self.statistics.model_stats[: self.active]:
            self._move(row)
        return self.statistics

    @staticmethod
    def _move(row: Any) -> None:
        row.inference_count += 211
        row.execution_count += 40
        row.last_inference += 1000
        parts = row.inference_stats
        for part in (parts.success, parts.queue, parts.compute_input, parts.compute_infer, parts.compute_output):
            part.count += 211
            part.ns += 211 * 1_843_000
        if not row.batch_stats:
            for size in _BATCH_SIZES:
                row.batch_stats.add(batch_size=size)
        for batch in row.batch_stats:
            for part in (batch.compute_input, batch.compute_infer, batch.compute_output):
                part.count += 10
                part.ns += 10 * 900_000


async def _serve(models: int, active: int) -> None:
    fake = FakeFleet(models, active)

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(response(exposition(fake.tick, models=models, active=active, summaries=False)))

    async with serving(fake) as endpoint, FakeMetricsServer(play) as metrics:
        print(endpoint.grpc_port, metrics.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def running_fleet(models: int, active: int) -> Iterator[Fleet]:
    """A fleet in a process of its own, ended on the way out."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fleet", str(models), str(active)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports = [int(word) for word in process.stdout.readline().split()]
        yield Fleet(*ports)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
