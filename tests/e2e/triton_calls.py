"""What the tests of the API collector do to a real Triton with their own hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf import json_format

from collectors.triton_api import TritonApi
from tritop.endpoint import Endpoint
from tritop.errors import Unreachable
from tritop.protocol import open_channel, request_metadata, service_pb2, service_pb2_grpc
from tritop.reading import ApiReading

ANSWER_TIMEOUT_S = 60.0


async def call(endpoint: Endpoint, method: str, request: Any) -> Any:
    """One call over a connection of its own."""
    async with open_channel(endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return await getattr(stub, method)(request, metadata=request_metadata(endpoint))


async def load(endpoint: Endpoint, model: str, config: Any = None, files: dict[str, bytes] | None = None) -> None:
    """Load a model; `config` is a ModelConfig message to load it with, `files` replace those on disk."""
    request = service_pb2.RepositoryModelLoadRequest(model_name=model)
    if config is not None:
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        request.parameters["config"].string_param = text
    for path, content in (files or {}).items():
        request.parameters[f"file:{path}"].bytes_param = content
    await call(endpoint, "RepositoryModelLoad", request)


async def config_of(endpoint: Endpoint, model: str) -> Any:
    """The ModelConfig message of a loaded model."""
    return (await call(endpoint, "ModelConfig", service_pb2.ModelConfigRequest(name=model))).config


async def infer_tiny(endpoint: Endpoint, times: int, rows: int = 2) -> None:
    """Send requests to the demo's `tiny`, one after another, each with that many rows."""
    request = service_pb2.ModelInferRequest(model_name="tiny", raw_input_contents=[bytes(4 * 256 * rows)])
    request.inputs.add(name="ROWS", datatype="FP32", shape=[rows, 256])
    for _ in range(times):
        await call(endpoint, "ModelInfer", request)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that happens on its own.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def first_reading(api: TritonApi) -> ApiReading:
    """Read until somebody listens.

    Raises:
        ReadError: somebody listens and that is not all that is wrong.
        TimeoutError: nobody does, for too long.
    """
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while True:
            try:
                return await api.read()
            except Unreachable:
                await asyncio.sleep(0.02)
