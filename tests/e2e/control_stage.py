"""A real Triton, a Control of it and closed-loop clients: what the tests of changes stand on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.e2e.triton_calls import call, until
from tests.running_triton import RunningTriton
from tritop.change import ConfigEdit, Outcome, Preview
from tritop.control.control import Control
from tritop.control.server import Config
from tritop.control.server_log import ServerLog, not_readable
from tritop.endpoint import Endpoint
from tritop.operation import EditConfig, ModelChange, PreviewChange
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc
from tritop.runtimes.log_place import FilePlace

ROWS = 4


class Stage:
    """One server of a test.

    Attributes:
        triton: the server.
        control: changes it, and reads its log.
        log: of the server.
    """

    def __init__(self, triton: RunningTriton) -> None:
        self.triton = triton
        self._log_since = FilePlace(triton.log_path).log_since
        self.log = ServerLog(self._log_since)
        self.control = self.new_control()

    @property
    def endpoint(self) -> Endpoint:
        return self.triton.endpoint

    @property
    def repository(self) -> Path:
        return self.triton.repository

    def new_control(self, *, reads_log: bool = True, **options: Any) -> Control:
        since = self._log_since if reads_log else not_readable
        return Control(self.endpoint, log_since=since, **options)

    async def perform(self, change: ModelChange) -> Outcome:
        return await self.control.perform(change, lambda text: None)

    async def edit(self, model: str, **fields: Any) -> Outcome:
        losses = fields.pop("losses", ())
        return await self.perform(EditConfig("s", model, ConfigEdit(**fields), confirmed_losses=losses))

    async def preview(self, change: ModelChange) -> Preview:
        return await self.control.preview(PreviewChange(change))

    async def current(self, model: str) -> Config:
        situation = await self.control.look(model)
        assert situation.current is not None
        return situation.current

    async def with_parameters(self, model: str, **values: str) -> EditConfig:
        """The edit that sets parameters of a test model, such as initialize_s="2"."""
        return EditConfig("s", model, ConfigEdit(pbtxt=config_text(await self.current(model), **values)))

    async def ready(self, model: str) -> tuple[int, ...]:
        return (await self.control.look(model)).ready

    async def successes(self, model: str) -> dict[str, int]:
        """Successful requests since the object of each version was made: 0 again after a full reload."""
        answer = await call(self.endpoint, "ModelStatistics", service_pb2.ModelStatisticsRequest(name=model))
        return {one.version: one.inference_stats.success.count for one in answer.model_stats}

    async def infer(self, model: str, times: int = 1, *, version: str = "", rows: int = 1) -> None:
        for _ in range(times):
            await call(self.endpoint, "ModelInfer", infer_request(model, version=version, rows=rows))

    @asynccontextmanager
    async def clients(self, model: str, count: int = 8, *, version: str = "") -> AsyncIterator[Clients]:
        """Closed-loop clients for as long as the block runs; each has answers before it begins."""
        clients = Clients(self.endpoint, model, count, version=version)
        await clients.start()
        try:
            yield clients
        finally:
            await clients.stop()


def config_text(config: Config, **parameters: str) -> str:
    """A configuration with parameters of a test model set, as JSON."""
    for name, value in parameters.items():
        config.parameters[name].string_value = value
    return json_format.MessageToJson(config)


def infer_request(model: str, *, version: str = "", rows: int = 1) -> Any:
    request = service_pb2.ModelInferRequest(
        model_name=model, model_version=version, raw_input_contents=[bytes(4 * ROWS * rows)]
    )
    shape = [ROWS] if model == "stream" else [rows, ROWS]
    request.inputs.add(name="ROWS", datatype="FP32", shape=shape)
    return request


class Clients:
    """Clients that send the next request when the last one is answered.

    Attributes:
        answers: requests that were answered.
        errors: what the others met, counted by text.
    """

    def __init__(self, endpoint: Endpoint, model: str, count: int, *, version: str) -> None:
        self.answers = 0
        self.errors: Counter[str] = Counter()
        self._endpoint = endpoint
        self._request = infer_request(model, version=version)
        self._count = count
        self._channel = open_channel(endpoint)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def __len__(self) -> int:
        return self._count

    async def start(self) -> None:
        first = [asyncio.Event() for _ in range(self._count)]
        self._tasks = [asyncio.create_task(self._send(event)) for event in first]
        async with asyncio.timeout(30):
            await asyncio.gather(*(event.wait() for event in first))

    async def _send(self, answered: asyncio.Event) -> None:
        while not self._stopping:
            try:
                await self._stub.ModelInfer(self._request, metadata=request_metadata(self._endpoint))
                self.answers += 1
            except grpc.aio.AioRpcError as error:
                self.errors[f"{error.code().name}: {error.details()}"] += 1
                await asyncio.sleep(0.01)
            answered.set()

    async def some(self, answers: int = 20) -> None:
        """Wait for so many more answers."""
        wanted = self.answers + answers

        async def enough() -> bool:
            return self.answers >= wanted

        await until(enough)

    async def stop(self) -> None:
        """Let what is in flight come back: Triton 2.51 can crash where a request is cancelled as it is answered."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._channel.close()
