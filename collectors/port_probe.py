"""Who listens at a port where gRPC gets no connection: looked up in plain HTTP/1.1 and in TLS.

gRPC only says "Socket closed" when it is pointed at Triton's HTTP or metrics port, at a server
that wants TLS or a client certificate, or at a forwarder with nothing behind it. One harmless
request tells them apart, so that the operator reads which of these mistakes it is.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from collectors.grpc_faults import GIVE_GRPC_PORT, LostConnection, quoted
from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, NotTriton, ReadError, Unreachable

MAX_PROBE_BYTES = 4096
_ANSWER_S = 0.3
"""How long one answer is waited for; what came by then is looked at."""
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""Record types alert and handshake, then the major version (RFC 8446 section 5.1)."""
_HTTP2_SETTINGS = 4
"""Type octet of the frame with which an HTTP/2 server begins (RFC 9113 section 6.5)."""


async def who_listens(endpoint: Endpoint, timeout_s: float) -> ReadError:
    """What is wrong with a connection that was closed without a word.

    Nothing of the endpoint's credentials is sent.

    Args:
        endpoint: where gRPC found nobody to talk to.
        timeout_s: bound on the whole look.
    """
    address = endpoint.grpc_address
    inconclusive = LostConnection(f"{address} closed the connection.")
    try:
        async with asyncio.timeout(timeout_s):
            seen = await _look(endpoint)
    except TimeoutError:
        return inconclusive
    except OSError as error:
        return Unreachable(
            f"{address} cannot be reached: {quoted(error.strerror or str(error) or type(error).__name__)}."
        )
    return seen or inconclusive


async def _look(endpoint: Endpoint) -> ReadError | None:
    """The first explanation that fits, `None` where the port does speak HTTP/2."""
    if endpoint.tls is not None:
        return await _look_through_tls(endpoint)
    answer = await _ask(endpoint, "/v2")
    if answer:
        return await _from_plain_answer(endpoint, answer)
    opened = await _open_tls(endpoint)
    if opened is None:
        return _closes_at_once(endpoint)
    opened[1].transport.abort()
    return _wants_tls(endpoint)


async def _from_plain_answer(endpoint: Endpoint, answer: bytes) -> ReadError | None:
    address = endpoint.grpc_address
    if answer.startswith(_TLS_RECORDS):
        return _wants_tls(endpoint)
    if answer.startswith(b"HTTP/"):
        if b'"extensions"' in answer and b'"version"' in answer:
            return NotTriton(f"{address} is Triton's HTTP endpoint.", GIVE_GRPC_PORT)
        if b"# HELP nv_" in await _ask(endpoint, "/metrics"):
            return NotTriton(f"{address} is Triton's metrics endpoint.", GIVE_GRPC_PORT)
        return NotTriton(f"{address} is a web server, not Triton's gRPC endpoint.", "Check host and port.")
    if len(answer) > _HTTP2_SETTINGS and answer[3] == _HTTP2_SETTINGS:
        return None
    said = quoted(answer[:60].decode("ascii", errors="replace"))
    return NotTriton(f"{address} does not speak gRPC; it says {said!r}.", "Check host and port.")


async def _look_through_tls(endpoint: Endpoint) -> ReadError | None:
    opened = await _open_tls(endpoint)
    if opened is None:
        answer = await _ask(endpoint, "/v2")
        if not answer:
            return _closes_at_once(endpoint)
        return await _from_plain_answer(endpoint, answer) or AccessDenied(
            f"{endpoint.grpc_address} does not use TLS.",
            "Leave TLS out, or give the port of a server that was started with --grpc-use-ssl.",
        )
    reader, writer = opened
    try:
        # TLS 1.3: the refusal of a client certificate arrives after the client's own handshake is done.
        refused = not await reader.read(MAX_PROBE_BYTES)
    except (ssl.SSLError, ConnectionError):
        refused = True
    finally:
        writer.transport.abort()
    return _certificate_refused(endpoint) if refused else None


async def _open_tls(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A TLS connection that trusts everybody, `None` where the handshake fails.

    Raises:
        OSError: nobody listens.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        return await asyncio.open_connection(endpoint.host, endpoint.grpc_port, ssl=context)
    except ConnectionRefusedError:
        raise
    except (ssl.SSLError, ConnectionError):
        return None


def _closes_at_once(endpoint: Endpoint) -> Unreachable:
    return Unreachable(
        f"{endpoint.grpc_address} accepts connections and closes them at once.",
        "A port forwarder (a container engine's, ssh -L) does that while nothing listens behind it.",
    )


def _certificate_refused(endpoint: Endpoint) -> AccessDenied:
    if endpoint.tls is not None and endpoint.tls.certificate_path:
        return AccessDenied(
            f"{endpoint.grpc_address} does not accept the client certificate {endpoint.tls.certificate_path}.",
            "Use one issued by the authority that the server was given with --grpc-root-cert.",
        )
    return AccessDenied(
        f"{endpoint.grpc_address} wants a client certificate.", "Give one with --tls-cert and its key with --tls-key."
    )


def _wants_tls(endpoint: Endpoint) -> AccessDenied:
    return AccessDenied(f"{endpoint.grpc_address} uses TLS.", "Give --tls, and --tls-ca with the authority's file.")


async def _ask(endpoint: Endpoint, path: str) -> bytes:
    """The first bytes of the answer to one HTTP/1.1 request; empty where the connection was just closed."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.grpc_port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {endpoint.grpc_address}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_ANSWER_S):
                while len(answer) < MAX_PROBE_BYTES and (chunk := await reader.read(MAX_PROBE_BYTES)):
                    answer += chunk
        return answer
    finally:
        writer.transport.abort()
