"""Triton's gRPC service: its messages, its stub, and a channel to an Endpoint.

`tritonclient.grpc` as a whole imports numpy and its own client (0.4 s, measured); tritop needs
only the generated messages inside it, so this module registers that package by its path
without running its `__init__`, which takes a quarter of the time.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from tritop.endpoint import Endpoint
from tritop.errors import UsageError

_PACKAGE = "tritonclient.grpc"


def _register_message_package() -> None:
    """Make `tritonclient.grpc.*_pb2` importable without the client around them."""
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec("tritonclient")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("tritonclient is not installed", name="tritonclient")
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "grpc")]
    sys.modules[_PACKAGE] = package


if not TYPE_CHECKING:
    _register_message_package()

from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc  # noqa: E402  after the registration

__all__ = ["MAX_MESSAGE_BYTES", "model_config_pb2", "open_channel", "service_pb2", "service_pb2_grpc"]

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Bound on one gRPC message in either direction; a larger answer is RESOURCE_EXHAUSTED."""


def _read_pem(path: str, what: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {path}: {error.strerror}.", "Give the path of a PEM file that this user may read."
        ) from error


def open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """Open a channel to a server; connects lazily, so it does not fail for an absent server.

    Must be called on the event loop that will use it. The request headers of the endpoint are
    not part of the channel: pass `endpoint.headers` as `metadata` with each call.

    Raises:
        UsageError: a certificate file cannot be read.
    """
    options = [
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
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read_pem(tls.ca_path, "CA file"),
        private_key=_read_pem(tls.key_path, "client key"),
        certificate_chain=_read_pem(tls.certificate_path, "client certificate"),
    )
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(endpoint.grpc_address, credentials, options=options)
