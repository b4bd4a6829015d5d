"""Loading a model anew whose Python-backend stub has died, without a restart of the server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from google.protobuf import json_format

from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc

_UNLOADED_TIMEOUT_S = 5.0
"""A model whose stub died while it executed stays UNLOADING for ever (2.51), and loads all the same."""
_POLL_S = 0.1
_CALL_TIMEOUT_S = 120.0


async def reload_model(endpoint: Endpoint, model: str) -> None:
    """Unload a model and load it with the configuration that it has now.

    A plain load does nothing, since no file changed; its configuration is sent along so that a change
    made to the running server outlives the healing.

    Raises:
        OperationFailed: the server refuses, as it does outside of explicit control mode, or the model
            does not load any more.
    """
    metadata = request_metadata(endpoint)
    async with open_channel(endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            config = (await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), metadata=metadata)).config
            await stub.RepositoryModelUnload(
                service_pb2.RepositoryModelUnloadRequest(model_name=model), timeout=_CALL_TIMEOUT_S, metadata=metadata
            )
            await _unloaded(stub, metadata, model)
            request = service_pb2.RepositoryModelLoadRequest(model_name=model)
            text = json_format.MessageToJson(config, preserving_proto_field_name=True)
            request.parameters["config"].string_param = text
            await stub.RepositoryModelLoad(request, timeout=_CALL_TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise OperationFailed(
                f"{model} could not be loaded anew: {error.details()}.", "Restart the server."
            ) from error


async def _unloaded(stub: service_pb2_grpc.GRPCInferenceServiceStub, metadata: Any, model: str) -> None:
    """Wait a while until every version is gone, because unloading returns before it is done."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_UNLOADED_TIMEOUT_S):
            while True:
                index = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), metadata=metadata)
                if all(one.name != model or one.state in ("UNAVAILABLE", "") for one in index.models):
                    return
                await asyncio.sleep(_POLL_S)
