"""What dynamic batching brings to the demo's matrix model: requests/s at concurrency 32, on against off.

Server and client share this machine's cores. Off and on are measured in turn, several times, over
one server, so that a slow moment of the machine meets both; the value is the ratio of the medians.
The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from tritop.demo.repository import DemoRepository, load_models, write_repository
from tritop.protocol import model_config_pb2, open_channel, service_pb2, service_pb2_grpc
from tritop.runtimes.local import LocalServer

BUDGET_RATIO = 2.5
MAX_QUEUE_DELAY_US = 2000
FEATURES = 1024


@dataclass
class Window:
    """One measured window."""

    batching: bool
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    batch_avg: float


def infer_request(model: str) -> service_pb2.ModelInferRequest:
    """One item of random features."""
    request = service_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="FEATURES", datatype="FP32", shape=[1, FEATURES])
    assert tensor.name == "FEATURES"
    features = np.random.default_rng(0).standard_normal((1, FEATURES), dtype=np.float32)
    request.raw_input_contents.append(features.tobytes())
    return request


async def set_batching(stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str, on: bool) -> None:
    """Add the dynamic_batching block to the running configuration, or take it out."""
    answer = await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model))
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(answer.config)
    config.ClearField("scheduling_choice")
    if on:
        config.dynamic_batching.max_queue_delay_microseconds = MAX_QUEUE_DELAY_US
    request = service_pb2.RepositoryModelLoadRequest(model_name=model)
    request.parameters["config"].string_param = json_format.MessageToJson(config, preserving_proto_field_name=True)
    await stub.RepositoryModelLoad(request)


async def executions(stub: service_pb2_grpc.GRPCInferenceServiceStub, model: str) -> tuple[int, int]:
    """(inferences, executions) of all versions so far."""
    answer = await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model))
    return (
        sum(row.inference_count for row in answer.model_stats),
        sum(row.execution_count for row in answer.model_stats),
    )


async def measure(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, demo: DemoRepository, batching: bool, seconds: float
) -> Window:
    """Closed loop: `demo.concurrency` requests in flight, one second of warm-up, then `seconds`."""
    request = infer_request(demo.traffic_model)
    latencies_s: list[float] = []
    start = time.perf_counter() + 1.0
    end = start + seconds

    async def client() -> None:
        while (sent := time.perf_counter()) < end:
            await stub.ModelInfer(request)
            done = time.perf_counter()
            if start <= done < end:
                latencies_s.append(done - sent)

    before = await executions(stub, demo.traffic_model)
    await asyncio.gather(*(client() for _ in range(demo.concurrency)))
    after = await executions(stub, demo.traffic_model)
    latencies_s.sort()
    return Window(
        batching=batching,
        requests_per_s=len(latencies_s) / seconds,
        p50_ms=latencies_s[len(latencies_s) // 2] * 1e3,
        p99_ms=latencies_s[len(latencies_s) * 99 // 100] * 1e3,
        batch_avg=(after[0] - before[0]) / (after[1] - before[1]),
    )


async def single_latency_ms(stub: service_pb2_grpc.GRPCInferenceServiceStub, demo: DemoRepository) -> float:
    """Median round trip of one request at a time, without batching."""
    request = infer_request(demo.traffic_model)
    took_s = []
    for _ in range(50):
        sent = time.perf_counter()
        await stub.ModelInfer(request)
        took_s.append(time.perf_counter() - sent)
    return statistics.median(took_s) * 1e3


async def run(rounds: int, seconds: float) -> tuple[float, list[Window]]:
    """Start a server, measure, stop it."""
    folder = Path(tempfile.mkdtemp(prefix="tritop-batching-"))
    demo = write_repository(folder / "models")
    server = LocalServer(demo.folder, remove_at_end=(folder,))
    try:
        await server.start()
        await server.wait_live()
        await load_models(server.endpoint, demo, lambda done, total, model: None)
        windows = []
        async with open_channel(server.endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            single_ms = await single_latency_ms(stub, demo)
            for _ in range(rounds):
                for batching in (False, True):
                    await set_batching(stub, demo.traffic_model, batching)
                    windows.append(await measure(stub, demo, batching, seconds))
                    print(windows[-1], file=sys.stderr)
        await server.stop()
    finally:
        server.kill()
    return single_ms, windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    single_ms, windows = asyncio.run(run(arguments.rounds, arguments.seconds))
    medians = {
        batching: statistics.median(window.requests_per_s for window in windows if window.batching is batching)
        for batching in (False, True)
    }
    print(f"one request at a time: {single_ms:.1f} ms")
    for batching, word in ((False, "off"), (True, "on")):
        rows = [window for window in windows if window.batching is batching]
        print(
            f"batching {word:3}: {medians[batching]:7.1f} requests/s"
            f"  p50 {statistics.median(row.p50_ms for row in rows):6.1f} ms"
            f"  p99 {statistics.median(row.p99_ms for row in rows):6.1f} ms"
            f"  batch {statistics.median(row.batch_avg for row in rows):4.1f}"
        )
    ratio = medians[True] / medians[False]
    print(
        json.dumps(
            {
                "benchmark": "batching",
                "value": round(ratio, 2),
                "unit": "x requests/s",
                "budget": BUDGET_RATIO,
                "met": ratio >= BUDGET_RATIO,
            }
        )
    )


if __name__ == "__main__":
    main()
