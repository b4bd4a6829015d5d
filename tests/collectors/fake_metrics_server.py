"""A server on a real socket of the loopback that says what a test tells it to say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.requests: list[str] = []

    async def request(self) -> None:
        """Wait for one whole request."""
        self.requests.append((await self._reader.readuntil(b"\r\n\r\n")).decode())

    async def send(self, data: bytes) -> None:
        """Send, waiting for a slow client."""
        self._writer.write(data)
        await self._writer.drain()

    async def closed_by_client(self) -> None:
        """Wait until the client has gone."""
        while await self._reader.read(4096):
            pass

    def reset(self) -> None:
        """Break the connection off."""
        self._writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]


class FakeMetricsServer:
    """Plays one script for each connection and closes it at the script's end."""

    def __init__(
        self, play: Play, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._play = play
        self._host = host
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = port
        self.peers: list[Peer] = []

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/metrics"

    async def __aenter__(self) -> FakeMetricsServer:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._play(peer)
        except asyncio.CancelledError:
            peer.reset()
        finally:
            self._tasks.discard(task)
            writer.close()


def response(body: bytes, *, status: str = "200 OK", headers: str = "Content-Type: text/plain; charset=utf-8") -> bytes:
    """A whole response in Triton's manner."""
    lines = [f"HTTP/1.1 {status}", *headers.splitlines(), f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def say(*answers: bytes, then_close: bool = False) -> Play:
    """Answer the requests of a connection in turn; then close it, or repeat the last answer."""

    async def play(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.send(answer)
        while not then_close:
            await peer.request()
            await peer.send(answers[-1])

    return play


def in_turn(*plays: Play) -> Play:
    """Another script for each connection, in the order in which they are made."""
    remaining = list(plays)

    async def play(peer: Peer) -> None:
        await remaining.pop(0)(peer)

    return play
