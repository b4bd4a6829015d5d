"""Triton's gRPC service: its messages, its stub, and a channel to an Endpoint.

`tritonclient.grpc` as a whole imports numpy and its own client (0.4 s, measured); tritop needs
only the generated messages inside it, which take a quarter of the time.

Import `grpc` from here (`from tritop.protocol import grpc`): gRPC reads once, when it is first
imported, whether it may write to stderr, and stderr is the operator's screen.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tritop.bare_package import bare_package
from tritop.endpoint import Endpoint, Tls
from tritop.errors import UsageError

_VERBOSITY = "GRPC_VERBOSITY"


@contextmanager
def _quiet() -> Iterator[None]:
    """Let gRPC log nothing unless the operator asked for it; child processes keep their own setting."""
    asked_for = _VERBOSITY in os.environ
    os.environ.setdefault(_VERBOSITY, "NONE")
    try:
        yield
    finally:
        if not asked_for:
            del os.environ[_VERBOSITY]


with _quiet(), bare_package("tritonclient.grpc"):
    import grpc
    import grpc.aio
    from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

__all__ = [
    "MAX_MESSAGE_BYTES",
    "grpc",
    "model_config_pb2",
    "open_channel",
    "request_metadata",
    "service_pb2",
    "service_pb2_grpc",
]

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Bound on one gRPC message in either direction; a larger answer is RESOURCE_EXHAUSTED."""


_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
"""The names that HTTP/2 and gRPC admit (gRPC over HTTP2, Custom-Metadata)."""
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


def request_metadata(endpoint: Endpoint) -> Metadata:
    """The headers of an endpoint as gRPC wants them: lower-case names, `bytes` for `-bin` names.

    Raises:
        UsageError: a name or a value that gRPC would refuse, at every call and with an error that
            names neither. The sentence names the header and never its value.
    """
    metadata: list[tuple[str, str | bytes]] = []
    for given_name, value in endpoint.headers:
        name = given_name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise UsageError(
                f"{given_name!r} cannot be the name of a request header.",
                "Names are made of letters, digits, '-', '_' and '.'.",
            )
        if name.endswith("-bin"):
            metadata.append((name, value.encode()))
        elif _HEADER_VALUE.fullmatch(value):
            metadata.append((name, value))
        else:
            raise UsageError(
                f"The value of the request header {name} holds a line break or a character outside ASCII.",
                "Look at where the value comes from; a trailing newline in a file is the usual cause.",
            )
    return tuple(metadata)


def _read_pem(path: str, what: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {path}: {error.strerror}.", "Give the path of a PEM file that this user may read."
        ) from error


def _check_certificates(tls: Tls) -> None:
    """Refuse what gRPC would answer with an endless reconnect, or with the end of the process.

    gRPC 1.85 aborts (SIGABRT) on a certificate without its key, so the standard library looks first.
    """
    if bool(tls.certificate_path) != bool(tls.key_path):
        given, missing = ("certificate", "key") if tls.certificate_path else ("key", "certificate")
        raise UsageError(f"A client {given} is given without its {missing}.", "Give both, or neither.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_path:
            context.load_verify_locations(cafile=tls.ca_path)
    except ssl.SSLError as error:
        raise UsageError(f"The CA file {tls.ca_path} holds no certificate.", "Give a PEM file.") from error
    try:
        if tls.certificate_path:
            # A password callback keeps OpenSSL from asking at the terminal for that of an encrypted key.
            context.load_cert_chain(tls.certificate_path, tls.key_path, password=lambda: "")
    except ssl.SSLError as error:
        raise UsageError(
            f"The client certificate {tls.certificate_path} and the key {tls.key_path} cannot be used together.",
            "Give a PEM certificate and the unencrypted PEM key that belongs to it.",
        ) from error


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    authorities = _read_pem(tls.ca_path, "CA file")
    certificate = _read_pem(tls.certificate_path, "client certificate")
    key = _read_pem(tls.key_path, "client key")
    _check_certificates(tls)
    return grpc.ssl_channel_credentials(root_certificates=authorities, private_key=key, certificate_chain=certificate)


def open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """Open a channel to a server; connects lazily, so it does not fail for an absent server.

    Must be called on the event loop that will use it. The request headers of the endpoint are
    not part of the channel: pass `request_metadata(endpoint)` as `metadata` with each call.

    Raises:
        UsageError: a certificate file cannot be read or used.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    tls = endpoint.tls
    if tls is None:
        return grpc.aio.insecure_channel(endpoint.grpc_address, options=options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(endpoint.grpc_address, _credentials(tls), options=options)
