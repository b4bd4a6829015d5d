"""The gRPC side of traffic: reads what a model wants, and sends requests that are already bytes."""

from __future__ import annotations

import asyncio

from collectors.grpc_faults import quoted, read_error
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, TritopError
from tritop.load.latencies import error_kind
from tritop.load.requests import ModelInputs
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc

_INFER = "/inference.GRPCInferenceService/ModelInfer"

SETUP_TIMEOUT_S = 5.0
"""For each question about the model before the first request."""


class GrpcTransport:
    """Sends to one server over one connection; implements `engine.Transport`.

    One is enough: two and four connections gave 7 to 23 % fewer requests/s of 1 KiB and 16 KiB, and
    within 10 % as many of 64 KiB, at concurrency 8 to 64 (medians of 7 rounds in turn, loopback).

    Requests go out, and answers come back, as bytes: what an answer holds is of no interest, and
    taking it apart would cost more than sending the request did.

    Args:
        endpoint: where to.
        timeout_s: deadline of one request.

    Raises:
        UsageError: a certificate or a header cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = 60.0) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._metadata = request_metadata(endpoint)
        self._channel = open_channel(endpoint)
        self._infer: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_INFER)

    async def infer(self, body: bytes) -> str:
        """Send a serialised `ModelInferRequest`; "" if it succeeded, or the kind of error."""
        call = self._infer(body, timeout=self._timeout_s, metadata=self._metadata)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error_kind(error.code().name, error.details() or "")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error_kind("CANCELLED", "")  # by the other side: grpc.aio raises the same for both
        return ""

    async def read_inputs(self, model: str, version: str) -> ModelInputs:
        """Ask the server what the model wants to be given.

        Raises:
            ReadError: the server cannot be reached or does not answer as Triton does.
            OperationFailed: it does not have the model, or the model cannot be sent traffic to.
        """
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        about = {"timeout": SETUP_TIMEOUT_S, "metadata": self._metadata}
        try:
            config = await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model, version=version), **about)
            metadata = await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model, version=version), **about)
        except grpc.aio.AioRpcError as error:
            raise _typed_error(error, self._endpoint, model) from error
        return ModelInputs(metadata, config.config, version=version)

    async def close(self) -> None:
        """Close the connection; what is still in flight on it is cancelled."""
        await self._channel.close()


def _typed_error(error: grpc.aio.AioRpcError, endpoint: Endpoint, model: str) -> TritopError:
    """What a refused question about a model means for the one who wants to send traffic to it."""
    details = error.details() or ""
    about_the_model = error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT) or (
        error.code() is grpc.StatusCode.UNAVAILABLE and f"'{model}'" in details
    )
    if about_the_model:
        return OperationFailed(
            f"{endpoint.grpc_address} has no model {quoted(model)} to send traffic to: {quoted(details)}.",
            "Look at its name and its state with `tritop models`.",
        )
    return read_error(error, endpoint.grpc_address, SETUP_TIMEOUT_S)
