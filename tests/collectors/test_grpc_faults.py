"""What gRPC and Triton really say, and what the operator reads. The texts were seen on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.grpc_faults import MAX_QUOTED_CHARACTERS, LoadRefused, LostConnection, quoted, read_error
from tests.collectors.fake_triton import POLLING_TEXT, restricted_text
from tritop.errors import AccessDenied, Garbled, NotTriton, ReadError, Stopping, TimedOut, Unreachable
from tritop.protocol import grpc

ALL_ADDRESSES = "failed to connect to all addresses; last error: "
TSI = "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: "


def failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("details", "kind", "told"),
    [
        (
            ALL_ADDRESSES + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
            Unreachable,
            "refuses connections",
        ),
        (
            "errors resolving gpu:8001: [field:hostname lookup error:address lookup failed for gpu:8001: "
            "Domain name not found]",
            Unreachable,
            "host of gpu:8001 is unknown",
        ),
        (
            ALL_ADDRESSES + "UNKNOWN: ipv4:10.0.0.1:8001: Failed to connect to remote host: No route to host",
            Unreachable,
            "Failed to connect to remote host: No route to host",
        ),
        (ALL_ADDRESSES + "UNAVAILABLE: ipv4:127.0.0.1:8000: Socket closed", LostConnection, "closed the connection"),
        ("recvmsg:Connection reset by peer", LostConnection, "closed the connection"),
        (
            ALL_ADDRESSES + "UNAVAILABLE: ipv4:127.0.0.1:80: Failed parsing HTTP/2 "
            "(Expected SETTINGS frame as the first frame, got frame type 79)",
            NotTriton,
            "does not speak gRPC",
        ),
        (
            ALL_ADDRESSES + f"UNKNOWN: ipv4:127.0.0.1:8001: {TSI}error:100000f7:SSL routines:"
            "OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid certificate verification context: OK",
            AccessDenied,
            "does not use TLS",
        ),
        (
            ALL_ADDRESSES + f"UNKNOWN: ipv4:127.0.0.1:8001: {TSI}error:1000007d:SSL routines:"
            "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            AccessDenied,
            "--tls-ca",
        ),
        (
            ALL_ADDRESSES + "UNKNOWN: ipv4:127.0.0.1:8001: Custom verification check failed with error: "
            "UNAUTHENTICATED: Hostname Verification Check failed.",
            AccessDenied,
            "--tls-server-name",
        ),
        (restricted_text("admin-key"), AccessDenied, "--header triton-grpc-protocol-admin-key=env:VARIABLE"),
        ("Server exiting", Stopping, "is shutting down"),
        ("Server not ready", Stopping, "is shutting down"),
        (
            "Server is stopping, scheduler for model has stopped accepting new inference requests",
            Stopping,
            "is shutting down",
        ),
        (POLLING_TEXT, LoadRefused, "--model-control-mode=explicit"),
        ("Received http2 header with status: 502", Unreachable, "A proxy answers"),
        ("Request for unknown model: 'm' version 2 is not at ready state", Unreachable, "not at ready state"),
        ("", Unreachable, "cannot be reached"),
    ],
)
def test_unavailable_has_many_meanings(details: str, kind: type[ReadError], told: str) -> None:
    error = read_error(failed(grpc.StatusCode.UNAVAILABLE, details), "gpu:8001", 2.0)
    assert type(error) is kind
    assert told in str(error)
    assert "gpu:8001" in error.sentence


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", TimedOut),
        (grpc.StatusCode.UNIMPLEMENTED, "Received http2 header with status: 404", NotTriton),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", NotTriton),
        (grpc.StatusCode.UNAUTHENTICATED, "", AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, "no", AccessDenied),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Stream removed (CLIENT: Received message larger than max (68157440 vs. 67108864))",
            Garbled,
        ),
        (grpc.StatusCode.CANCELLED, "by server", LostConnection),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'RuntimeError'>: boom", Garbled),
    ],
)
def test_other_codes_have_one_meaning(code: grpc.StatusCode, details: str, kind: type[ReadError]) -> None:
    assert type(read_error(failed(code, details), "gpu:8001", 2.0)) is kind


@given(st.sampled_from(list(grpc.StatusCode)), st.text(max_size=2000))
def test_whatever_a_server_says_fits_on_one_clean_line(code: grpc.StatusCode, details: str) -> None:
    error = read_error(failed(code, details), "gpu:8001", 2.0)
    assert isinstance(error, ReadError)
    assert str(error).isprintable()
    assert len(error.sentence) < 2 * MAX_QUOTED_CHARACTERS


def test_long_words_of_a_server_are_cut_visibly() -> None:
    assert quoted("x" * 1000) == "x" * (MAX_QUOTED_CHARACTERS - 1) + "…"
    assert quoted("a\x1b[31m\n\tb.\x9b\n") == "a [31m b"
