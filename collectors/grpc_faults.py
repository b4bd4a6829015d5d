"""From what gRPC says to the typed error that an operator can act on.

gRPC reports nearly everything about a connection as UNAVAILABLE with a text, so the text decides.
The texts are those of gRPC 1.85 (core) and of Triton 2.51's gRPC endpoint, seen on the wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tritop.errors import AccessDenied, Garbled, NotTriton, ReadError, Stopping, TimedOut, Unavailable, Unreachable
from tritop.protocol import grpc

MAX_QUOTED_CHARACTERS = 300
"""How much of a server's own words goes into a sentence."""

GIVE_GRPC_PORT = "Give the port of Triton's gRPC endpoint, 8001 unless --grpc-port says otherwise."

_RESTRICTED = re.compile(r"expecting header '([^']{1,200})'")
"""Triton's answer where `--grpc-restricted-protocol` keeps a part of the API for those with a key."""
_ADDRESS_PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:ipv[46]|unix):\S+: ")
"""What gRPC puts before the reason why one of the addresses of a host did not work."""


class LostConnection(Unreachable):
    """The other side closed the connection without a word; `collectors.port_probe` finds out who it is."""


class LoadRefused(Unavailable):
    """The server loads and unloads nothing on request: its control mode is none or poll."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One meaning of UNAVAILABLE: any of the texts in the details gives this error."""

    texts: tuple[str, ...]
    kind: type[ReadError]
    sentence: str
    advice: str = ""


_RULES = (
    _Rule(
        # The same text in control mode none, where nothing is polled.
        ("explicit model load / unload is not allowed",),
        LoadRefused,
        "{address} does not load or unload models on request: {reason}.",
        "Start the server with --model-control-mode=explicit or, where it polls its repository, edit config.pbtxt.",
    ),
    _Rule(
        # Triton's answers between SIGTERM and the end of the process.
        ("Server exiting", "Server is stopping", "Server not ready"),
        Stopping,
        "{address} is shutting down: {reason}.",
    ),
    _Rule(
        ("errors resolving", "DNS resolution failed"),
        Unreachable,
        "The host of {address} is unknown ({reason}).",
        "Check the spelling, or give an address.",
    ),
    _Rule(
        ("Connection refused",),
        Unreachable,
        "{address} refuses connections.",
        "No server listens there, or it is still loading its models: Triton opens its ports after that.",
    ),
    _Rule(
        ("Received http2 header with status: 50",),
        Unreachable,
        "A proxy answers for {address}: {reason}.",
        "The proxy runs; the server behind it does not, or the proxy may not reach it.",
    ),
    _Rule(
        ("CERTIFICATE_VERIFY_FAILED",),
        AccessDenied,
        "The certificate of {address} was issued by an authority that is not trusted here, or has expired.",
        "Give the authority's certificate with --tls-ca.",
    ),
    _Rule(
        ("Hostname Verification",),
        AccessDenied,
        "The certificate of {address} is for another name.",
        "Use the name in the certificate as the address, or give it with --tls-server-name.",
    ),
    _Rule(
        ("WRONG_VERSION_NUMBER",),
        AccessDenied,
        "{address} does not use TLS.",
        "Leave TLS out, or give the port of a server that was started with --grpc-use-ssl.",
    ),
    _Rule(
        ("missing selected ALPN",),
        NotTriton,
        "{address} uses TLS and does not speak gRPC.",
        GIVE_GRPC_PORT,
    ),
    _Rule(("TSI_",), AccessDenied, "No TLS connection to {address}: {reason}."),
    _Rule(
        ("Failed parsing HTTP/2", "Expected SETTINGS frame"),
        NotTriton,
        "{address} does not speak gRPC.",
        GIVE_GRPC_PORT,
    ),
    _Rule(
        ("Socket closed", "Connection reset", "Handshake read failed", "Broken pipe"),
        LostConnection,
        "{address} closed the connection.",
    ),
    _Rule(("",), Unreachable, "{address} cannot be reached: {reason}."),
)
"""In order of precedence; the last one fits every text."""


def quoted(text: str) -> str:
    """A server's words on one line: bounded, without control characters, without a final full stop."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) > MAX_QUOTED_CHARACTERS:
        line = line[: MAX_QUOTED_CHARACTERS - 1] + "…"
    return line.rstrip(".")


def read_error(error: grpc.aio.AioRpcError, address: str, timeout_s: float) -> ReadError:
    """The typed error for a call that failed.

    Args:
        error: what the call raised.
        address: host:port, for the sentence.
        timeout_s: the time the call was given, for the sentence.
    """
    details = error.details() or ""
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOut(
                f"{address} gave no answer within {timeout_s:.3g} s.",
                "The server hangs or is overloaded, or the port belongs to something that waits for its peer to speak.",
            )
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(details, address)
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return AccessDenied(
                f"{address} refuses access: {quoted(details) or error.code().name}.",
                "Give the credentials that it asks for as a request header.",
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            return NotTriton(
                f"{address} speaks gRPC and does not know Triton's service ({quoted(details)}).", GIVE_GRPC_PORT
            )
        case grpc.StatusCode.CANCELLED:
            # Not by us, for that is no error here; Triton 2.51 ends calls like that now and then as it shuts down.
            return LostConnection(f"{address} broke off the call.")
        case code:
            too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED
            said = f"The answer of {address} is too large" if too_large else f"{address} answered {code.name}"
            return Garbled(f"{said}: {quoted(details)}.")


def _unavailable(details: str, address: str) -> ReadError:
    """The meaning of UNAVAILABLE, which stands for all troubles of a connection and some of a server."""
    restricted = _RESTRICTED.search(details)
    if restricted:
        header = quoted(restricted[1])
        return AccessDenied(
            f"{address} restricts this part of its API and expects the request header {header}.",
            f"Give it with its key, as in --header {header}=env:VARIABLE.",
        )
    reason = quoted(_ADDRESS_PREFIX.sub("", details.rpartition("last error: ")[2]))
    rule = next(rule for rule in _RULES if any(text in details for text in rule.texts))
    return rule.kind(rule.sentence.format(address=address, reason=reason), rule.advice)
