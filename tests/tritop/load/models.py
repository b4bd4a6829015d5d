"""Models as Triton describes them, for tests that need no server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritop.load.requests import ModelInputs
from tritop.protocol import model_config_pb2, service_pb2

Tensor = tuple[str, str, list[int]]
"""(name, data type, shape as the metadata give it)."""


def metadata_of(inputs: Sequence[Tensor], name: str = "m") -> service_pb2.ModelMetadataResponse:
    metadata = service_pb2.ModelMetadataResponse(name=name, versions=["1"])
    for tensor, datatype, shape in inputs:
        metadata.inputs.add(name=tensor, datatype=datatype, shape=shape)
    return metadata


def config_of(name: str = "m", *, optional: Sequence[str] = (), **fields: Any) -> model_config_pb2.ModelConfig:
    config = model_config_pb2.ModelConfig(name=name, **fields)
    for tensor in optional:
        config.input.add(name=tensor, optional=True)
    return config


def model(*inputs: Tensor, version: str = "", optional: Sequence[str] = (), **fields: Any) -> ModelInputs:
    return ModelInputs(metadata_of(inputs), config_of(optional=optional, **fields), version=version)


def decoded(body: bytes) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest.FromString(body)
