"""A real Triton, its two collectors and a Recorder: what `tests/make_recordings.py` drives."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
import time
from collections.abc import Awaitable
from math import isnan
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from collectors.triton_api import TritonApi
from collectors.triton_metrics import TritonMetrics
from tritop.derive import Round, ServerRound, SourceRound
from tritop.endpoint import Endpoint
from tritop.errors import ReadError
from tritop.model import Event, EventKind, Fault
from tritop.protocol import open_channel, service_pb2, service_pb2_grpc
from tritop.reading import ApiReading, Collector, IndexEntry, Reading
from tritop.record import Recorder
from tritop.runtimes.local import LocalServer

T = TypeVar("T")
PERIOD_S = 0.4
SERVER = "recorded"
RAISE, ERROR = -1.0, 13.0
"""Inputs that the model `work` raises an exception for, and answers with an error response."""

WORK = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.seconds = float(__import__("json").loads(args["model_config"])["parameters"]["seconds"]["string_value"])

    def execute(self, requests):
        time.sleep(self.seconds)
        rows = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        if any((row < 0).any() for row in rows):
            raise ValueError("negative input")
        return [self.respond(row) for row in rows]

    def respond(self, row):
        output = pb_utils.Tensor("OUT", row * 2)
        if (row == 13).any():
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("unlucky input"))
        return pb_utils.InferenceResponse([output])
"""
BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise FileNotFoundError("weights.npz")
"""
STREAM = """
import threading
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            row = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            threading.Thread(target=self.respond, args=(request.get_response_sender(), row)).start()

    def respond(self, sender, row):
        for _ in range(5):
            time.sleep(0.4)
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", row)]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
CONFIG = """
backend: "python"
max_batch_size: {max_batch_size}
input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "seconds" value {{ string_value: "{seconds}" }} }}
"""
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
ensemble_scheduling { step [
  { model_name: "work" model_version: -1 input_map { key: "IN" value: "IN" } output_map { key: "OUT" value: "M" } },
  { model_name: "work" model_version: -1 input_map { key: "IN" value: "M" } output_map { key: "OUT" value: "OUT" } }
] }
"""


def write_models(folder: Path) -> None:
    """The models that the recordings are about; they sleep instead of computing, to hold queues still."""
    batching = "dynamic_batching { }"
    queue = "dynamic_batching { default_queue_policy { %s } }"
    _write(folder, "work", CONFIG.format(max_batch_size=8, seconds=0.01) + batching + " version_policy { all { } }", 2)
    _write(folder, "full", CONFIG.format(max_batch_size=1, seconds=0.2) + queue % "max_queue_size: 4")
    timeout = "timeout_action: REJECT default_timeout_microseconds: 20000"
    _write(folder, "timed", CONFIG.format(max_batch_size=1, seconds=0.2) + queue % timeout)
    _write(folder, "cached", CONFIG.format(max_batch_size=8, seconds=0.01) + "response_cache { enable: true }")
    _write(folder, "both", ENSEMBLE, code="")
    decoupled = "model_transaction_policy { decoupled: true }"
    _write(folder, "stream", CONFIG.format(max_batch_size=8, seconds=0) + decoupled, code=STREAM)
    _write(folder, "broken", CONFIG.format(max_batch_size=8, seconds=0), code=BROKEN)


def _write(folder: Path, model: str, config: str, versions: int = 1, code: str = WORK) -> None:
    for version in range(1, versions + 1):
        (folder / model / str(version)).mkdir(parents=True)
        if code:
            (folder / model / str(version) / "model.py").write_text(code)
    (folder / model / "config.pbtxt").write_text(config)


class Stage:
    """One server that is looked at and written down while it is used.

    Args:
        server: where it runs.
        recorder: where what is seen goes.
        repository: its folder, which is written down as `/models`.
    """

    def __init__(self, server: LocalServer, recorder: Recorder, repository: Path) -> None:
        self._server = server
        self._recorder = recorder
        self._repository = str(repository)
        self._endpoint: Endpoint = server.endpoint
        self._metrics = TritonMetrics(self._endpoint)
        self._api = TritonApi(self._endpoint)
        self._channel: grpc.aio.Channel = open_channel(self._endpoint)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._newest: dict[str, SourceRound] = {}
        self._entries: dict[int, tuple[IndexEntry, IndexEntry]] = {}

    async def close(self) -> None:
        """Close every connection to the server."""
        await asyncio.gather(self._metrics.aclose(), self._api.aclose(), self._channel.close())

    async def look(self, *said: str) -> Round:
        """Read both sources and write the round down, with what was done since the last one."""
        at = time.time()
        sources = await asyncio.gather(self._read(self._metrics), self._read(self._api))
        server = ServerRound(SERVER, "127.0.0.1:8001", "http://127.0.0.1:8002/metrics", False, tuple(sources))
        events = tuple(Event(at, EventKind.OPERATION, SERVER, text=text) for text in said)
        now = Round(time.time(), time.monotonic(), PERIOD_S, (server,), events=events)
        self._recorder.write(now)
        return now

    async def settle(self, *said: str) -> None:
        """Look once what was done has arrived in every counter, then once more a period later."""
        before: list[object] = []
        while True:
            metrics, api = await asyncio.gather(self._metrics.read(), self._api.read())
            moving = [
                value
                for series, value in zip(metrics.layout.series, metrics.values, strict=True)
                if series.family.startswith("nv_inference") and not isnan(value)
            ]
            state: list[object] = [moving, api.statistics, api.index]
            if state == before:
                break
            before = state
            await asyncio.sleep(0.1)
        await self.look(*said)

    async def watch(self, work: Awaitable[T], *said: str) -> T:
        """Look once a period until something is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait({task}, timeout=PERIOD_S)
            await self.look(*(said if task.done() else ()))
        return task.result()

    async def infer(self, model: str, value: float = 1.0, version: str = "", timeout_s: float = 30.0) -> str:
        """Send one request; returns what went wrong, "" for a good answer."""
        try:
            await self._stub.ModelInfer(_request(model, value, version), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return ""

    async def stream(self, model: str) -> int:
        """Send one request to a decoupled model; returns how many responses came."""
        call = self._stub.ModelStreamInfer()
        await call.write(_request(model, 1.0))
        await call.done_writing()
        return len([response async for response in call if response.infer_response.outputs])

    async def infer_many(self, model: str, count: int, **options: Any) -> list[str]:
        """Send `count` requests at once; returns what went wrong with each."""
        return list(await asyncio.gather(*(self.infer(model, **options) for _ in range(count))))

    async def traffic(self, model: str, stop: asyncio.Event, clients: int = 4) -> list[str]:
        """Requests back to back until `stop`; returns what went wrong with each."""

        async def client() -> list[str]:
            answers = []
            while not stop.is_set():
                answers.append(await self.infer(model))
            return answers

        return [answer for answers in await asyncio.gather(*(client() for _ in range(clients))) for answer in answers]

    async def load(self, model: str, config: str = "") -> str:
        """Load a model; returns what went wrong."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        if config:
            request.parameters["config"].string_param = config
        try:
            await self._stub.RepositoryModelLoad(request)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return ""

    async def unload(self, model: str) -> None:
        """Ask for a model to be unloaded; it goes on for a while after that."""
        await self._stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=model))

    async def config(self, model: str) -> Any:
        """The running configuration, a protobuf message."""
        return (await self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=model))).config

    async def _read(self, collector: Collector) -> SourceRound:
        last = self._newest.get(collector.name, SourceRound(collector.name, PERIOD_S))
        try:
            reading = self._cleaned(await collector.read())
        except ReadError as error:
            since, attempts = (last.fault.since, last.fault.attempts + 1) if last.fault else (time.time(), 1)
            fault = Fault(error.title, self._clean(error.sentence), self._clean(error.advice), since, attempts)
            found = dataclasses.replace(last, fault=fault)
        else:
            found = SourceRound(collector.name, PERIOD_S, reading)
        self._newest[collector.name] = found
        return found

    def _clean(self, text: str) -> str:
        address = self._endpoint
        ports = ((address.grpc_port, 8001), (address.http_port, 8000))
        for port, shown in ports:
            text = text.replace(f":{port}", f":{shown}")
        return text.replace(address.metrics_url, "http://127.0.0.1:8002/metrics").replace(self._repository, "/models")

    def _cleaned(self, reading: Reading) -> Reading:
        """The reading without this machine's paths; entries that are clean stay the same objects."""
        if not isinstance(reading, ApiReading) or reading.index is None:
            return reading
        return dataclasses.replace(reading, index=tuple(self._cleaned_entry(entry) for entry in reading.index))

    def _cleaned_entry(self, entry: IndexEntry) -> IndexEntry:
        if self._repository not in entry.reason:
            return entry
        known = self._entries.get(id(entry))
        if known is None or known[0] is not entry:
            known = (entry, dataclasses.replace(entry, reason=self._clean(entry.reason)))
            self._entries[id(entry)] = known
        return known[1]


def _request(model: str, value: float, version: str = "") -> Any:
    """One row with one number, a protobuf message."""
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="IN", datatype="FP32", shape=[1, 1])
    return service_pb2.ModelInferRequest(
        model_name=model, model_version=version, inputs=[tensor], raw_input_contents=[struct.pack("<f", value)]
    )
