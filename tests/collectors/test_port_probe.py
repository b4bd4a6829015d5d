"""A port where gRPC finds nobody: the operator is told who is there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from collectors.triton_api import TritonApi
from tritop.endpoint import Endpoint, Tls
from tritop.errors import AccessDenied, NotTriton, ReadError, TimedOut, Unreachable

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TRITON_HTTP = b'{"name":"triton","version":"2.51.0","extensions":["classification"]}'


@asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that treats each connection with `talk`; yields its port."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()


def http(pages: dict[bytes, bytes]) -> Talk:
    """An HTTP/1.1 server that, as Triton's does, just closes when it does not understand."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        if not request.startswith(b"GET "):
            return
        body = pages.get(request.split()[1], b"")
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (200 if body else 404, len(body), body))
        await writer.drain()

    return talk


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a port forwarder does while nothing listens behind it."""


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.read()


async def waits_then_talks_rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A protocol in which the client speaks first, and a wrong first word ends the talk."""
    if (await reader.read(3)) == b"GET":
        writer.write(b"-ERR \x1b[31munknown command\r\n")


async def raised_by(talk: Talk, *, tls: Tls | None = None, context: ssl.SSLContext | None = None) -> ReadError:
    async with listening(talk, context) as port:
        api = TritonApi(Endpoint("x", "127.0.0.1", port, tls=tls), timeout_s=1.0)
        with pytest.raises(ReadError) as raised:
            await api.read()
        await api.aclose()
        return raised.value


@pytest.mark.parametrize(
    ("talk", "kind", "told"),
    [
        (http({b"/v2": TRITON_HTTP}), NotTriton, "is Triton's HTTP endpoint"),
        (http({b"/metrics": b"# HELP nv_inference_count x\n"}), NotTriton, "is Triton's metrics endpoint"),
        (http({b"/": b"<html>"}), NotTriton, "is a web server"),
        (closes_at_once, Unreachable, "closes them at once"),
        (says_nothing, TimedOut, "no answer"),
        (greets, NotTriton, "does not speak gRPC"),
        (waits_then_talks_rubbish, NotTriton, "-ERR [31munknown command"),
    ],
)
def test_who_answers_in_place_of_grpc(talk: Talk, kind: type[ReadError], told: str) -> None:
    error = asyncio.run(raised_by(talk))
    assert type(error) is kind
    assert told in error.sentence
    assert error.sentence.isprintable()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, str]:
    """An authority of this test, and the file with its certificate."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ca, str(tmp_path / "ca.pem")


def server_context(ca: trustme.CA, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def test_tls_where_none_was_given(authority: tuple[trustme.CA, str]) -> None:
    error = asyncio.run(raised_by(says_nothing, context=server_context(authority[0], "h2")))
    assert type(error) is AccessDenied
    assert "uses TLS" in error.sentence


def test_tls_without_grpc_in_it(authority: tuple[trustme.CA, str]) -> None:
    ca, path = authority
    error = asyncio.run(raised_by(http({}), tls=Tls(path), context=server_context(ca, "http/1.1")))
    assert type(error) is NotTriton


@pytest.mark.parametrize(
    ("talk", "kind"),
    [(http({b"/v2": TRITON_HTTP}), NotTriton), (closes_at_once, Unreachable), (says_nothing, TimedOut)],
)
def test_no_tls_where_it_was_given(talk: Talk, kind: type[ReadError], authority: tuple[trustme.CA, str]) -> None:
    assert type(asyncio.run(raised_by(talk, tls=Tls(authority[1])))) is kind
