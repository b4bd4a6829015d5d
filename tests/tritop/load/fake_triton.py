"""A gRPC server with Triton's service and one model, for what a real one cannot be made to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.tritop.load.models import config_of, metadata_of
from tritop.endpoint import Endpoint
from tritop.protocol import grpc, service_pb2, service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated, without types
    """Answers at once, unless told to refuse or to hang."""

    def __init__(self) -> None:
        self.shape = [-1, 4]
        self.max_batch_size = 8
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.hangs = False
        self.hanging = 0
        self.required_header: tuple[str, str] | None = None
        self.batches: set[int] = set()
        self.infers = 0
        self.address = ""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("fake", "127.0.0.1", int(self.address.rpartition(":")[2]))

    async def ModelConfig(self, request: Any, context: Context) -> Any:  # noqa: N802  the service's name
        await self._admit(context)
        if request.name != "m":
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
        return service_pb2.ModelConfigResponse(config=config_of(max_batch_size=self.max_batch_size))

    async def ModelMetadata(self, request: Any, context: Context) -> Any:  # noqa: N802  the service's name
        await self._admit(context)
        return metadata_of([("x", "FP32", self.shape)])

    async def ModelInfer(self, request: Any, context: Context) -> Any:  # noqa: N802  the service's name
        self.infers += 1
        await self._admit(context)
        if self.refusal is not None:
            await context.abort(*self.refusal)
        shape = list(request.inputs[0].shape)
        if shape[1:] != self.shape[1:]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'")
        self.batches.add(shape[0])
        return service_pb2.ModelInferResponse(model_name="m")

    async def _admit(self, context: Context) -> None:
        if self.hangs:
            self.hanging += 1
            await asyncio.Event().wait()
        header = self.required_header
        if header is not None and header not in tuple(context.invocation_metadata() or ()):
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, f"This protocol is restricted, expecting header '{header[0]}'"
            )


@asynccontextmanager
async def fake_triton(address: str = "127.0.0.1:0") -> AsyncIterator[FakeTriton]:
    fake = FakeTriton()
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port(address)}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)


async def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for something that is certain to happen, and say what did not."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  the conditions are of other processes, which set no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"did not happen within {timeout_s:g} s: {what}") from None
