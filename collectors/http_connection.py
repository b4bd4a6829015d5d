"""One HTTP/1.1 connection that is kept between requests, bounded in time and size.

Proxies of the environment are not used and redirects are not followed: the address that was
given is the one that is asked. Every failure becomes a `ReadError` that names the address.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import h11

from tritop.errors import AccessDenied, Garbled, NotTriton, ReadError, TimedOut, Unreachable, UsageError

_CHUNK_BYTES = 256 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_ZONE = re.compile(r"%[^\]]*")
"""The zone of an IPv6 address, which means nothing to others (RFC 6874)."""
_CLOSE_S = 0.5
"""Bound on waiting for a socket that was aborted."""
_REQUEST_TIMEOUT = 408
"""What a proxy sends by itself on a connection that was idle for too long."""
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""How a TLS alert and a TLS handshake begin (RFC 8446, 5.1)."""
METRICS_PORT_ADVICE = (
    "Triton serves metrics at /metrics on a port of their own: 8002, unless --metrics-port says otherwise."
)
"""What to do where something else than metrics is met."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP response."""

    status: int
    content_type: str
    """Media type in lower case without parameters, "" where the server names none."""
    location: str
    body: bytes
    at: float
    """Wall time [s since the epoch] at which the head arrived."""
    mono: float
    """Monotonic time [s] at which the head arrived."""


class HttpConnection:
    """GET of one URL, again and again. Belongs to the event loop that reads; one `get` at a time.

    Args:
        url: http or https; user information in it is not sent.
        ca_path: PEM file of the authorities that an https server is checked against, "" for the
            system's.
        max_body_bytes: bound on the body of an answer.
        clock: gives wall time [s since the epoch].
        monotonic: gives monotonic time [s].

    Raises:
        UsageError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_path: str = "",
        max_body_bytes: int,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._parts, self._port = _parse(url)
        self._ca_path = ca_path
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._monotonic = monotonic
        self._tls: ssl.SSLContext | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._http = h11.Connection(h11.CLIENT)
        self._beginning = b""
        self._received_bytes = 0
        self._head: h11.Response | None = None

    @property
    def address(self) -> str:
        """The URL as sentences show it: without user information and query."""
        return f"{self._parts.scheme}://{_host_and_port(self._parts)}{self._parts.path or '/'}"

    async def get(self, timeout_s: float) -> Answer:
        """Send one GET and wait for the whole answer.

        A connection that the server closed while it was idle is replaced silently, once.

        Args:
            timeout_s: bound on everything together: name resolution, TLS, request and answer.

        Raises:
            Unreachable: nobody answers at the address, or the connection is closed at once.
            TimedOut: the connection stands and the answer was not complete in time.
            NotTriton: what answers does not speak HTTP.
            AccessDenied: TLS is in the way.
            Garbled: the answer is cut off, too large, compressed or wrongly framed.
        """
        self._begin()
        finished = False
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._ask_again_if_stale()
            finished = True
            return answer
        except TimeoutError as error:
            raise self._too_late(timeout_s) from error
        except ssl.SSLError as error:
            raise self._tls_trouble(error) from error
        except (OSError, UnicodeError) as error:
            raise self._broken(error) from error
        except h11.RemoteProtocolError as error:
            raise self._wrong_protocol(error) from error
        finally:
            if not finished:
                self._abort()

    async def aclose(self) -> None:
        """Close the connection; never raises."""
        writer = self._writer
        self._abort()
        if writer is not None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await writer.wait_closed()

    def _begin(self) -> None:
        self._beginning = b""
        self._received_bytes = 0
        self._head = None

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _ask_again_if_stale(self) -> Answer:
        kept = self._writer is not None
        try:
            answer = await self._exchange()
            if not kept or answer.status != _REQUEST_TIMEOUT:
                return answer
        except (OSError, h11.RemoteProtocolError):
            if not kept or self._received_bytes:
                raise
        self._abort()
        self._begin()
        return await self._exchange()

    async def _exchange(self) -> Answer:
        reader, writer = await self._connected()
        writer.write(self._request())
        await writer.drain()
        at, mono, parts, size = 0.0, 0.0, [], 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._feed(await reader.read(_CHUNK_BYTES))
            elif isinstance(event, h11.Response):
                at, mono = self._clock(), self._monotonic()
                self._head = event
                self._refuse_head(event)
            elif isinstance(event, h11.Data):
                parts.append(event.data)
                size += len(event.data)
                self._refuse_size(size, "at least ")
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError(f"unexpected {event!r}")
        head = self._head
        if head is None:
            raise h11.RemoteProtocolError("an end without a beginning")
        self._keep_or_close()
        media_type = _header(head, b"content-type").partition(";")[0].strip().lower()
        return Answer(head.status_code, media_type, _header(head, b"location"), b"".join(parts), at, mono)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None:
            return self._reader, self._writer
        host = self._parts.hostname or ""
        if self._parts.scheme == "https" and self._tls is None:
            self._tls = self._tls_context()
        reader, writer = await asyncio.open_connection(host, self._port, ssl=self._tls, limit=_CHUNK_BYTES)
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        return reader, writer

    def _tls_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_path or None)
        except OSError as error:  # ssl.SSLError is one
            raise AccessDenied(
                f"cannot use the CA file {self._ca_path!r}: {error.strerror}.",
                "Give a PEM file that this user may read.",
            ) from error

    def _request(self) -> bytes:
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        request = h11.Request(
            method="GET",
            target=target,
            headers=[
                ("Host", _ZONE.sub("", _host_and_port(self._parts))),
                ("User-Agent", "tritop"),
                ("Accept", "text/plain;version=0.0.4,text/plain;q=0.9,*/*;q=0.1"),
                ("Accept-Encoding", "identity"),
            ],
        )
        return (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def _feed(self, data: bytes) -> None:
        if not data and not self._received_bytes:
            raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")
        self._beginning = self._beginning or data[:16]
        self._received_bytes += len(data)
        self._http.receive_data(data)

    def _refuse_head(self, head: h11.Response) -> None:
        encoding = _header(head, b"content-encoding")
        if encoding not in ("", "identity"):
            raise Garbled(f"{self.address} answered in the encoding {encoding!r}, which was not asked for.")
        self._refuse_size(int(_header(head, b"content-length") or 0), "")

    def _refuse_size(self, size: int, about: str) -> None:
        if size > self._max_body_bytes:
            raise Garbled(
                f"{self.address} answered with {about}{size:,} bytes, which is more than {self._max_body_bytes:,}.",
                METRICS_PORT_ADVICE,
            )

    def _keep_or_close(self) -> None:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        else:
            self._abort()

    def _too_late(self, timeout_s: float) -> ReadError:
        if self._received_bytes:
            return TimedOut(
                f"{self.address} sent {self._received_bytes:,} bytes in {timeout_s:g} s and did not come to an end.",
                "The server or the network is overloaded, or this is no metrics port.",
            )
        if self._writer is None and self._parts.scheme == "http":
            return Unreachable(
                f"{self.address} did not accept a connection within {timeout_s:g} s.",
                "Check the address, and that no firewall drops the packets.",
            )
        return TimedOut(
            f"{self.address} accepted the connection and sent nothing within {timeout_s:g} s.",
            "The server hangs, or something else listens there.",
        )

    def _tls_trouble(self, error: ssl.SSLError) -> ReadError:
        if self._head is not None:
            return Garbled(f"{self.address} broke off its answer ({error.reason}).")
        if isinstance(error, ssl.SSLCertVerificationError):
            return AccessDenied(
                f"the certificate of {self.address} is not trusted: {error.verify_message}.",
                "Give the certificate of its authority, or the name that the certificate is for.",
            )
        return AccessDenied(
            f"{self.address} cannot be spoken to over TLS ({error.reason}).",
            "Triton has no TLS on its metrics port: use http:// unless a proxy stands before it.",
        )

    def _broken(self, error: OSError | UnicodeError) -> ReadError:
        """Sort what the operating system said."""
        if isinstance(error, socket.gaierror | UnicodeError):
            return Unreachable(
                f"the host of {self.address} is not known.", "Check its name, or give its address in numbers."
            )
        if self._head is not None:
            return Garbled(f"{self.address} broke off its answer after {self._received_bytes:,} bytes.")
        if self._writer is not None:
            return Unreachable(
                f"{self.address} closed the connection without an answer.",
                "The server may be starting, the port of a container may lead nowhere, or it expects TLS (https://).",
            )
        if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
            return Unreachable(
                f"nobody listens at {self.address}.",
                "Check that Triton runs, its --metrics-port, and that it was not started with --allow-metrics=false.",
            )
        return Unreachable(f"cannot connect to {self.address}: {error.strerror or error}.", "Check the address.")

    def _wrong_protocol(self, error: h11.RemoteProtocolError) -> ReadError:
        if self._head is not None:
            return Garbled(f"{self.address} broke off its answer after {self._received_bytes:,} bytes.")
        if self._beginning.startswith(b"HTTP/1."):
            return Garbled(f"{self.address} answered with a broken HTTP head ({str(error)[:80]!r}).")
        if self._beginning.startswith(_TLS_RECORDS):
            return AccessDenied(f"{self.address} speaks TLS.", "Use https:// for it.")
        if self._beginning[3:5] == b"\x04\x00":
            return NotTriton(f"{self.address} speaks HTTP/2, so it is rather a gRPC port.", METRICS_PORT_ADVICE)
        return NotTriton(f"{self.address} does not speak HTTP: it began with {self._beginning!r}.", METRICS_PORT_ADVICE)


def _parse(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
        # Anything that h11 would refuse in a request is refused here, where the URL can be named.
        h11.Request(method="GET", target=f"{parts.path}?{parts.query}", headers=[("Host", _host_and_port(parts))])
    except (ValueError, h11.LocalProtocolError) as error:
        raise _unusable(url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise _unusable(url)
    return parts, port or (443 if parts.scheme == "https" else 80)


def _unusable(url: str) -> UsageError:
    shown = re.sub(r"//[^/]*@", "//", url)
    return UsageError(f"{shown!r} is no metrics URL.", "Write it as http://host:8002/metrics.")


def _host_and_port(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _header(head: h11.Response, name: bytes) -> str:
    """The value of a header, "" where the server did not send it; untrusted text."""
    return next((value.decode("latin-1") for key, value in head.headers if key == name), "")
