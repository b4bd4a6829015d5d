"""A gRPC server in this process that speaks Triton's protocol and misbehaves as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tritop.endpoint import Endpoint
from tritop.protocol import grpc, model_config_pb2, service_pb2, service_pb2_grpc

POLLING_TEXT = "explicit model load / unload is not allowed if polling is enabled"
"""Triton's refusal of load and unload in the control modes none and poll."""


def restricted_text(key: str) -> str:
    """Triton's refusal of a part that `--grpc-restricted-protocol` keeps for those with the key."""
    return f"This protocol is restricted, expecting header 'triton-grpc-protocol-{key}'"


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc] # the base has no types
    """Stands in for the servers that a real Triton cannot be made to be: huge, hanging, refusing.

    Attributes:
        asked: names of the methods that were called, in order.
        metadata: request headers of the last call.
        refusals: method -> (status code, text) that it answers with instead.
        hanging: methods that never answer.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._was_asked = asyncio.Event()
        self.metadata: dict[str, str | bytes] = {}
        self.refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.hanging: set[str] = set()
        self.server_name = "triton"
        self.ready = True
        self.index = service_pb2.RepositoryIndexResponse()
        self.statistics = service_pb2.ModelStatisticsResponse()
        self.configs: dict[tuple[str, str], Any] = {}

    def add_model(self, name: str, version: str = "1", *, state: str = "READY", listed: bool = True) -> None:
        """Add a loaded model to the index (unless not `listed`), the statistics and the configurations."""
        if listed:
            self.index.models.add(name=name, version=version, state=state)
        self.statistics.model_stats.add(name=name, version=version)
        self.configs[name, version] = model_config_pb2.ModelConfig(name=name, backend="python", max_batch_size=8)

    def take_asked(self) -> list[str]:
        """What was asked since the last time, sorted."""
        asked, self.asked = sorted(self.asked), []
        return asked

    async def until_asked(self, calls: int) -> None:
        """Wait until that many calls have come in since the last `take_asked`."""
        while len(self.asked) < calls:
            self._was_asked.clear()
            await self._was_asked.wait()

    async def _enter(self, method: str, context: Any) -> None:
        self.asked.append(method)
        self._was_asked.set()
        self.metadata = dict(context.invocation_metadata())
        if method in self.refusals:
            await context.abort(*self.refusals[method])
        if method in self.hanging:
            await asyncio.Event().wait()

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("ServerLive", context)
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("ServerReady", context)
        return service_pb2.ServerReadyResponse(ready=self.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("ServerMetadata", context)
        return service_pb2.ServerMetadataResponse(name=self.server_name, version="2.51.0", extensions=["statistics"])

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("RepositoryIndex", context)
        return self.index

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("ModelStatistics", context)
        return self.statistics

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("ModelConfig", context)
        if (request.name, request.version) not in self.configs:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
        return service_pb2.ModelConfigResponse(config=self.configs[request.name, request.version])

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802  protobuf's own name
        await self._enter("RepositoryModelUnload", context)
        assert request.model_name not in {name for name, _ in self.configs}, "a real model was unloaded"
        return service_pb2.RepositoryModelUnloadResponse()


@asynccontextmanager
async def serving(fake: FakeTriton | None, port: int = 0, **endpoint_options: Any) -> AsyncIterator[Endpoint]:
    """Serve on 127.0.0.1; `None` serves gRPC without Triton's service."""
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)])
    if fake is not None:
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    bound_port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield Endpoint("fake", "127.0.0.1", bound_port, **endpoint_options)
    finally:
        await server.stop(0)
