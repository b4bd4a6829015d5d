"""The calls to a server that changes of its models are made of."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from google.protobuf import json_format

from collectors.grpc_faults import LoadRefused, quoted, read_error
from tritop.endpoint import Endpoint
from tritop.errors import AccessDenied, OperationFailed
from tritop.protocol import grpc, model_config_pb2, open_channel, request_metadata, service_pb2, service_pb2_grpc
from tritop.reading import IndexEntry

Config: TypeAlias = model_config_pb2.ModelConfig

ANSWER_TIMEOUT_S = 5.0
"""Bound on calls that only ask; loading has none, because it takes as long as the model does."""
_VERBOSE_LEVEL = "log_verbose_level"
_UNKNOWN_MODEL = ("Request for unknown model", "is not found", "no available versions")


class Refused(OperationFailed):
    """The server answered a call with an error of its own.

    Attributes:
        details: its words, verbatim: untrusted, may hold many lines.
        poll_failed: it did not say why, because the reason is only in its log.
    """

    def __init__(self, address: str, details: str) -> None:
        # A Python traceback follows the message of an exception; the log has it.
        said = details.partition("\n\nAt:")[0].rstrip("; \n")
        super().__init__(f"{address} refused: {quoted(said)}.")
        self.details = details
        self.poll_failed = "failed to poll from model repository" in details


class TritonServer:
    """One server's gRPC API, as far as changes need it. Belongs to one event loop.

    Raises:
        UsageError: certificates or headers of the endpoint cannot be used.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.address = endpoint.grpc_address
        self._metadata = request_metadata(endpoint)
        self._channel = open_channel(endpoint)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def _call(self, method: str, request: Any, timeout_s: float | None = ANSWER_TIMEOUT_S) -> Any:
        """One call.

        Raises:
            Refused: the server answered with an error.
            ReadError: no answer, or none from Triton.
        """
        try:
            return await getattr(self._stub, method)(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            details = error.details() or error.code().name
            codes = (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
            if error.code() in codes or any(text in details for text in _UNKNOWN_MODEL):
                raise Refused(self.address, details) from error
            raise read_error(error, self.address, timeout_s or 0.0) from error

    async def index(self) -> tuple[IndexEntry, ...]:
        """The repository index, verbatim."""
        answer = await self._call("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        return tuple(IndexEntry(row.name, row.version, row.state, row.reason) for row in answer.models)

    async def statistics(self) -> tuple[Any, ...]:
        """`ModelStatistics` messages of every loaded version; the only list that names models without a folder."""
        return tuple((await self._call("ModelStatistics", service_pb2.ModelStatisticsRequest())).model_stats)

    async def config(self, model: str, version: int | None = None) -> Config | None:
        """The configuration of a loaded version, `None` where there is none.

        Raises:
            Refused: the server knows the model and does not say, such as for an ambiguous name.
        """
        request = service_pb2.ModelConfigRequest(name=model, version="" if version is None else str(version))
        try:
            return (await self._call("ModelConfig", request)).config
        except Refused as refused:
            if any(text in refused.details for text in _UNKNOWN_MODEL):
                return None
            raise

    async def load(self, model: str, config: Config | None, timeout_s: float | None) -> None:
        """Load, and return once it is done; without a configuration the repository's is taken.

        Raises:
            Refused: it was not loaded.
            TimedOut: `timeout_s` passed. The server goes on loading.
            LostConnection: the connection broke. Whether it was loaded is not known.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        if config is not None:
            text = json_format.MessageToJson(config, preserving_proto_field_name=True, indent=None)
            request.parameters["config"].string_param = text
        await self._call("RepositoryModelLoad", request, timeout_s)

    async def unload(self, model: str) -> None:
        """Begin to unload; returns at once, and says nothing about models that do not exist."""
        await self._call("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=model))

    async def is_live(self) -> bool:
        """Whether it answers.

        Raises:
            ReadError: it does not.
        """
        return bool((await self._call("ServerLive", service_pb2.ServerLiveRequest())).live)

    @asynccontextmanager
    async def verbose(self) -> AsyncIterator[None]:
        """Have every request in the log for as long as the block runs; the level is given back after it.

        Raises:
            ReadError: it does not answer, or restricts its logging protocol.
        """
        answer = await self._call("LogSettings", service_pb2.LogSettingsRequest())
        if answer.settings[_VERBOSE_LEVEL].uint32_param:
            yield
            return
        await self._set_verbose_level(1)
        try:
            yield
        finally:
            # Also where whoever waits for it is cancelled: nobody else would give it back.
            await asyncio.shield(self._set_verbose_level(0))

    async def _set_verbose_level(self, level: int) -> None:
        request = service_pb2.LogSettingsRequest()
        request.settings[_VERBOSE_LEVEL].uint32_param = level
        await self._call("LogSettings", request)

    async def refusal(self) -> LoadRefused | AccessDenied | None:
        """Why it takes no changes of models at all, `None` where it does.

        Found out by unloading a model that cannot exist, which changes nothing.
        """
        try:
            await self.unload(f"tritop-probe-{secrets.token_hex(8)}")
        except (LoadRefused, AccessDenied) as error:
            return error
        return None

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()
