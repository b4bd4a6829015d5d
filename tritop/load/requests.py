"""Inference requests made from what a model says about itself, serialised once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tritop.errors import OperationFailed, UsageError
from tritop.load import tensors
from tritop.protocol import MAX_MESSAGE_BYTES, model_config_pb2, service_pb2

DYNAMIC_DIMENSION = 8
"""What a dimension of -1 becomes where no shape was given."""
VARIANTS = 8
"""Requests with different contents that are sent in turn."""
VARIANTS_BYTES = 16 * 1024 * 1024
"""All variants together; a model with a large input gets fewer of them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One serialised `ModelInferRequest`."""

    body: bytes
    inferences: int
    """What Triton counts it as: its batch size."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model as a request has to carry it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 is a dynamic dimension; the batch dimension comes first where the model batches."""
    optional: bool


class ModelInputs:
    """The inputs of a model that unary requests can be made for.

    Args:
        metadata: answer to ModelMetadata.
        config: its configuration from ModelConfig.

    Raises:
        OperationFailed: the model cannot be given independent unary requests: it is decoupled,
            wants sequences, or has an input that only a person can fill.
    """

    def __init__(
        self, metadata: service_pb2.ModelMetadataResponse, config: model_config_pb2.ModelConfig, *, version: str = ""
    ) -> None:
        self.model = metadata.name
        self.version = version
        self.max_batch_size: int = config.max_batch_size
        _refuse_unsupported(config)
        configured: Mapping[str, model_config_pb2.ModelInput] = {entry.name: entry for entry in config.input}
        self.inputs = tuple(
            Input(
                entry.name,
                entry.datatype,
                tuple(entry.shape),
                optional=entry.name in configured and configured[entry.name].optional,
            )
            for entry in metadata.inputs
        )
        self.shape_tensors = tuple(entry.name for entry in config.input if entry.is_shape_tensor)

    @property
    def batched(self) -> bool:
        """Whether the first dimension of every input is the batch."""
        return self.max_batch_size > 0

    def check_batch(self, batch: int) -> None:
        """Refuse a batch size that Triton would refuse.

        Raises:
            UsageError: it is larger than `max_batch_size`, or the model does not batch.
        """
        if batch < 1:
            raise UsageError(f"a batch of {batch} is not a batch: it must be 1 or more.")
        if batch > 1 and not self.batched:
            raise UsageError(f"model {self.model} does not batch (max_batch_size 0), so a batch of {batch} is refused.")
        if batch > max(1, self.max_batch_size):
            raise UsageError(
                f"a batch of {batch} is larger than the max_batch_size of model {self.model}, {self.max_batch_size}."
            )

    def serialised(self, contents: Sequence[tuple[Input, tuple[int, ...], bytes]]) -> Request:
        """Make one request out of (input, shape, raw contents).

        Raises:
            UsageError: the request would be larger than a gRPC message may be.
        """
        request = service_pb2.ModelInferRequest(model_name=self.model, model_version=self.version)
        for entry, shape, data in contents:
            request.inputs.add(name=entry.name, datatype=entry.datatype, shape=shape)
            request.raw_input_contents.append(data)
        body = request.SerializeToString()
        if len(body) > MAX_MESSAGE_BYTES:
            raise _too_large(self.model, len(body))
        batch = contents[0][1][0] if self.batched and contents and contents[0][1] else 1
        return Request(body, batch)


def _too_large(model: str, size_bytes: int) -> UsageError:
    return UsageError(
        f"one request to model {model} would have {size_bytes / 2**20:.0f} MiB, more than the "
        f"{MAX_MESSAGE_BYTES / 2**20:.0f} MiB that one message may have.",
        "Give a smaller --batch or --shape.",
    )


def _refuse_unsupported(config: model_config_pb2.ModelConfig) -> None:
    if config.HasField("sequence_batching"):
        raise OperationFailed(
            f"model {config.name} wants sequences (sequence_batching): its requests depend on each other, and "
            "independent ones would only measure its refusals.",
            "Send traffic to a model without sequence_batching.",
        )
    if config.model_transaction_policy.decoupled:
        raise OperationFailed(
            f"model {config.name} is decoupled: it answers one request with any number of responses, so a request "
            "has no single latency.",
            "Send traffic to a model that is not decoupled.",
        )


def made_up_requests(
    model: ModelInputs, *, batch: int = 1, shapes: Sequence[tuple[str, tuple[int, ...]]] = ()
) -> tuple[Request, ...]:
    """Make requests with harmless contents for every input that is not optional.

    Args:
        model: whose inputs.
        batch: inferences in each request.
        shapes: (input, its dimensions without the batch) for dynamic dimensions; others are
            `DYNAMIC_DIMENSION`. An optional input is sent only if it is named here.

    Raises:
        UsageError: the batch or a shape does not fit the model.
        OperationFailed: an input needs contents that cannot be made up.
    """
    model.check_batch(batch)
    given = dict(shapes)
    unknown = sorted(set(given) - {entry.name for entry in model.inputs})
    if unknown:
        names = ", ".join(entry.name for entry in model.inputs)
        raise UsageError(f"model {model.model} has no input {unknown[0]}: its inputs are {names}.")
    chosen = [
        (entry, _shape(model, entry, batch, given.get(entry.name)))
        for entry in model.inputs
        if not entry.optional or entry.name in given
    ]
    for entry, _ in chosen:
        if entry.name in model.shape_tensors:
            raise OperationFailed(
                f"input {entry.name} of model {model.model} is a shape tensor: its values must fit the other inputs.",
                "Give the whole request in a file with --input.",
            )
        if entry.datatype not in tensors.DATATYPES:
            raise OperationFailed(f"input {entry.name} of model {model.model} has an unknown type {entry.datatype}.")
    # Looked at before anything is made: a wrong shape must not fill the memory.
    size_bytes = sum(math.prod(shape) * tensors.element_bytes(entry.datatype) for entry, shape in chosen)
    if size_bytes > MAX_MESSAGE_BYTES:
        raise _too_large(model.model, size_bytes)
    variants = max(1, min(VARIANTS, VARIANTS_BYTES // max(1, size_bytes)))
    random = Random(0)  # the same contents in every run, so that two runs can be compared
    return tuple(
        model.serialised(
            [(entry, shape, tensors.made_up(entry.datatype, math.prod(shape), random)) for entry, shape in chosen]
        )
        for _ in range(variants)
    )


def _shape(model: ModelInputs, entry: Input, batch: int, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """Fill the dynamic dimensions of one input in."""
    first = (batch,) if model.batched else ()
    dims = entry.shape[len(first) :]
    if given is None:
        return first + tuple(DYNAMIC_DIMENSION if dim < 0 else dim for dim in dims)
    if len(given) != len(dims) or any(have not in (-1, want) for have, want in zip(dims, given, strict=True)):
        raise UsageError(
            f"the shape {_dims(given)} does not fit input {entry.name} of model {model.model}, which is {_dims(dims)}"
            f"{' without the batch' if model.batched else ''} (-1 is free)."
        )
    if min(given, default=1) < 1:
        raise UsageError(f"the shape {_dims(given)} of input {entry.name} has a dimension below 1.")
    return first + given


def _dims(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
