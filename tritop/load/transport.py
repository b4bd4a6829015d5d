"""The gRPC side of traffic: reads what a model wants, and sends requests that are already bytes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import NoReturn

from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, NotTriton, OperationFailed, ReadError, TimedOut, TritopError, Unreachable
from tritop.load.latencies import error_kind
from tritop.load.requests import ModelInputs
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_SETUP_TIMEOUT_S = 5.0


class GrpcTransport:
    """Sends to one server over a few connections; implements `engine.Transport`.

    Requests go out, and answers come back, as bytes: what an answer holds is of no interest, and
    taking it apart would cost more than sending the request did.

    Args:
        endpoint: where to.
        connections: taken in turn by the requests.
        timeout_s: deadline of one request.

    Raises:
        UsageError: a certificate or a header cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, connections: int = 1, timeout_s: float = 60.0) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._metadata = request_metadata(endpoint)
        self._channels = [open_channel(endpoint) for _ in range(connections)]
        self._infer: Iterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = itertools.cycle(
            [channel.unary_unary(_INFER) for channel in self._channels]
        )

    async def infer(self, body: bytes) -> str:
        """Send a serialised `ModelInferRequest`; "" if it succeeded, or the kind of error."""
        call = next(self._infer)(body, timeout=self._timeout_s, metadata=self._metadata)
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
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channels[0])
        about = {"timeout": _SETUP_TIMEOUT_S, "metadata": self._metadata}
        try:
            config = await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model, version=version), **about)
            metadata = await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model, version=version), **about)
        except grpc.aio.AioRpcError as error:
            self._raise_typed(error, model)
        return ModelInputs(metadata, config.config, version=version)

    async def close(self) -> None:
        """Close the connections: an open one would delay the server when it is told to stop."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _raise_typed(self, error: grpc.aio.AioRpcError, model: str) -> NoReturn:
        raise typed_error(error, self._endpoint, model) from error


def typed_error(error: grpc.aio.AioRpcError, endpoint: Endpoint, model: str) -> TritopError:
    """What an answer to a question about a model means for the one who wants to send traffic."""
    code, details = error.code(), (error.details() or "").strip()
    said = error_kind(code.name, details)
    where = endpoint.grpc_address
    if "restricted" in details or code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return AccessDenied(f"{where} does not let us in: {said}.", "Give the header it expects with --header.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut(f"{where} did not answer within {_SETUP_TIMEOUT_S:g} s.", "Is it the gRPC port of a Triton?")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return NotTriton(f"{where} speaks gRPC and is not a Triton: {said}.")
    if code is grpc.StatusCode.UNAVAILABLE and model not in details:
        return Unreachable(f"nobody answers at {where}: {said}.", "Is the server running, and is this its gRPC port?")
    if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE):
        return OperationFailed(f"{where} has no model {model} to send traffic to: {said}.", "Is it loaded?")
    return ReadError(f"{where} did not say what model {model} wants: {said}.")
