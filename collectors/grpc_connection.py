"""One gRPC connection to a Triton server: calls in, bytes or a typed error out."""

from __future__ import annotations

import asyncio
from typing import Protocol

from collectors.grpc_faults import read_error
from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, Unreachable, UsageError
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2

_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_CLOSE_S = 0.5


class Request(Protocol):
    """A message that can be sent."""

    def SerializeToString(self) -> bytes:  # noqa: N802  protobuf's own name
        """The message on the wire."""
        ...


class Connection:
    """A channel to one server; lives on one event loop and reconnects by itself after a short loss.

    Answers are handed out undecoded: equal bytes are an equal answer, which spares decoding an
    idle server's statistics, and gRPC would hide an answer that cannot be decoded as `None`.

    Raises:
        AccessDenied: the certificates or headers of the endpoint cannot be used.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._address = endpoint.grpc_address
        try:
            self._metadata = request_metadata(endpoint)
            self._channel = open_channel(endpoint)
        except UsageError as error:
            raise AccessDenied(error.sentence, error.advice) from error
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[Request, bytes]] = {}

    def is_up(self) -> bool:
        """Whether the connection made by an earlier call still stands."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def call(self, method: str, request: Request, timeout_s: float) -> bytes:
        """The answer of one method of Triton's service, undecoded.

        Args:
            method: name in the service, such as `ModelStatistics`.
            request: the message that the method takes.
            timeout_s: time for the whole call, connecting included.

        Raises:
            ReadError: every way in which a call can fail; see `collectors.grpc_faults`.
        """
        if method not in self._methods:
            self._methods[method] = self._channel.unary_unary(
                f"/{_SERVICE}/{method}", request_serializer=lambda message: message.SerializeToString()
            )
        try:
            return await self._methods[method](request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise read_error(error, self._address, timeout_s) from error
        except grpc.aio.UsageError as error:
            raise self._closed() from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # gRPC cancels the calls of a channel that is being closed, though nobody cancelled the task.
            raise self._closed() from error

    def _closed(self) -> Unreachable:
        return Unreachable(f"The connection to {self._address} was closed on this side.")

    async def close(self) -> None:
        """Cancel what is under way and close; returns within half a second."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._channel.close()
        except TimeoutError:
            return
