"""How much throughput a server loses while tritop watches it at 1 Hz.

A real server with batching on, 32 clients in a closed loop from one traffic process that runs
throughout. Windows with and without a watching tritop (all collectors, no screen, in a process of
its own) alternate; each watched window is compared with the mean of its two neighbours, so that
a drift of the machine cancels, and the median of these losses is the value. The server's own
count of inferences is read at both ends of a window. What the watcher itself needs of the two cores
is part of the loss, as it is where it runs beside the server. The last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.batching import executions, set_batching
from tritop.demo.repository import load_models, write_repository
from tritop.load.control import TrafficProcess
from tritop.protocol import open_channel, service_pb2_grpc
from tritop.runtimes.local import LocalServer

BUDGET_PERCENT = 1.0
SETTLE_S = 1.5

_TRITOP = str(Path(sys.executable).parent / "tritop")


@contextlib.asynccontextmanager
async def watching(target: str, watched: bool) -> AsyncIterator[None]:
    """Watch with all collectors at 1 Hz, or do not; returns to the caller once the start is over."""
    if not watched:
        await asyncio.sleep(SETTLE_S)
        yield
        return
    process = await asyncio.create_subprocess_exec(
        _TRITOP, "--ndjson", target, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(SETTLE_S)
        yield
        if process.returncode is not None:
            raise RuntimeError(f"tritop ended by itself with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def run(pairs: int, seconds: float) -> list[float]:
    """Throughput of every window [inferences/s], unwatched first and last, alternating."""
    folder = Path(tempfile.mkdtemp(prefix="tritop-perturbation-"))
    demo = write_repository(folder / "models")
    server = LocalServer(demo.folder, remove_at_end=(folder,))
    rates = []
    try:
        await server.start()
        await server.wait_live()
        await load_models(server.endpoint, demo, lambda done, total, model: None)
        endpoint = server.endpoint
        target = f"grpc://{endpoint.grpc_address}?metrics={endpoint.metrics_url.split(':')[2].split('/')[0]}"
        async with open_channel(endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await set_batching(stub, demo.traffic_model, True)
            traffic = TrafficProcess(endpoint, model=demo.traffic_model)
            await traffic.start()
            await traffic.set(concurrency=demo.concurrency)
            for window in range(2 * pairs + 1):
                async with watching(target, bool(window % 2)):
                    began, (before, _) = time.monotonic(), await executions(stub, demo.traffic_model)
                    await asyncio.sleep(seconds)
                    after, _ = await executions(stub, demo.traffic_model)
                    rates.append((after - before) / (time.monotonic() - began))
                print(f"{'watched' if window % 2 else 'alone  '} {rates[-1]:.0f} inferences/s", file=sys.stderr)
            await traffic.stop()
        await server.stop()
    finally:
        server.kill()
    return rates


def losses_percent(rates: list[float]) -> list[float]:
    """Loss of each watched window against the mean of its neighbours."""
    return [
        100 * (1 - rates[watched] / statistics.mean((rates[watched - 1], rates[watched + 1])))
        for watched in range(1, len(rates), 2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what watching costs the server.")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    losses = losses_percent(asyncio.run(run(options.pairs, options.seconds)))
    value = statistics.median(losses)
    print(
        json.dumps(
            {
                "benchmark": "perturbation",
                "value": round(value, 2),
                "unit": "% of throughput lost",
                "budget": BUDGET_PERCENT,
                "met": value <= BUDGET_PERCENT,
                "quartiles": [round(quartile, 2) for quartile in statistics.quantiles(losses, n=4)],
            }
        )
    )


if __name__ == "__main__":
    main()
