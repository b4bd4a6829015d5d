"""Asking a server for its health, over gRPC and, where that is silent, over HTTP.

A published port accepts connections as long as its container runs, whoever listens inside, so an
open port says nothing. HTTP connections are closed at once: an idle one holds up Triton's end.
"""

from __future__ import annotations

import asyncio

from tritop.endpoint import Endpoint
from tritop.protocol import grpc, open_channel, request_metadata, service_pb2, service_pb2_grpc
from tritop.runtimes.supervisor import Health

PROBE_TIMEOUT_S = 2.0


class HealthProbe:
    """Asks one server; keeps one gRPC channel. Drive it from one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._channel: grpc.aio.Channel | None = None

    async def ask(self) -> Health:
        """What the server says now; takes up to four seconds where it says nothing. Never raises."""
        if self._channel is None:
            self._channel = open_channel(self._endpoint)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        metadata = request_metadata(self._endpoint)
        try:
            live = await stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=PROBE_TIMEOUT_S, metadata=metadata)
            ready = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=PROBE_TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError:
            return await self._ask_http()
        return Health.READY if live.live and ready.ready else Health.LIVE

    async def _ask_http(self) -> Health:
        status = await _http_status(self._endpoint.host, self._endpoint.http_port, "/v2/health/live")
        if status != 200:
            return Health.SILENT
        ready = await _http_status(self._endpoint.host, self._endpoint.http_port, "/v2/health/ready")
        return Health.READY if ready == 200 else Health.LIVE

    async def close(self) -> None:
        """Close the channel, such as before the server is stopped."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


async def _http_status(host: str, port: int, path: str) -> int | None:
    """The status of one request on a connection of its own; `None` where there is no answer."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            words = (await reader.readline()).split()
    except (OSError, TimeoutError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.close()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else None
