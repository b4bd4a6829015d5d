"""The rules that Triton applies only when it loads a configuration, applied before it is sent. Pure.

A server answers every breach with the same `failed to poll from model repository` and keeps the
reason in its log, which tritop cannot read everywhere. The rules are those of Triton's core,
`model_config_utils.cc`: `ValidateModelConfig`, `ValidateInstanceGroup` and `ValidateIOShape`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from tritop.change import Problem
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig
_DELAY = model_config_pb2.ModelQueuePolicy.DELAY
_ENSEMBLE = "ensemble"
_TENSORRT = "tensorrt_plan"


def problems_of(wanted: Config, *, model: str, gpus: int | None = None) -> tuple[Problem, ...]:
    """Everything in a configuration that would make the server refuse it.

    Args:
        wanted: the whole configuration.
        model: name of the model that it is for.
        gpus: GPUs that the server sees, `None` if that is not known.
    """
    return (
        *_name(wanted, model),
        *_dynamic_batching(wanted),
        *_sequence_batching(wanted),
        *_ensemble(wanted),
        *_instances(wanted, gpus),
        *_response_cache(wanted),
        *_versions(wanted),
        *_tensors(wanted),
    )


def _name(wanted: Config, model: str) -> Iterator[Problem]:
    if wanted.name and wanted.name != model:
        yield Problem("name", f"is {wanted.name!r}, and the model's folder is named {model!r}; they must be the same.")
    if wanted.platform == _ENSEMBLE and wanted.backend:
        yield Problem("backend", f"is {wanted.backend!r}, and an ensemble has none.")


def _dynamic_batching(wanted: Config) -> Iterator[Problem]:
    largest = wanted.max_batch_size
    if largest < 0:
        yield Problem("max_batch_size", f"is {largest}; it must be 0 (no batching) or more.")
    if not wanted.HasField("dynamic_batching"):
        return
    batching = wanted.dynamic_batching
    yield from _preferred_sizes("dynamic_batching", batching.preferred_batch_size, largest)
    levels, default = batching.priority_levels, batching.default_priority_level
    if levels and not 1 <= default <= levels:
        yield Problem("dynamic_batching.default_priority_level", f"is {default}; it must be 1 to {levels}.")
    for level in batching.priority_queue_policy if levels else ():
        if not 1 <= level <= levels:
            yield Problem("dynamic_batching.priority_queue_policy", f"there is no level {level}, only 1 to {levels}.")
    if batching.preserve_ordering:
        yield from _preserved_order(batching)


def _preferred_sizes(scheduler: str, sizes: Any, largest: int) -> Iterator[Problem]:
    for size in sizes:
        if size <= 0:
            yield Problem(f"{scheduler}.preferred_batch_size", f"{size} is not above 0.")
        elif size > largest:
            yield Problem(f"{scheduler}.preferred_batch_size", f"{size} is above max_batch_size {largest}.")


def _preserved_order(batching: Any) -> Iterator[Problem]:
    if batching.priority_levels > 1:
        yield Problem(
            "dynamic_batching.priority_levels", "above 1 reorders requests, and preserve_ordering forbids that."
        )
    policies = [("default_queue_policy", batching.default_queue_policy)]
    policies += [
        (f"priority_queue_policy[{level}]", policy) for level, policy in batching.priority_queue_policy.items()
    ]
    for name, policy in policies:
        # Without a time-out nothing is ever delayed, and the server accepts it.
        if policy.timeout_action == _DELAY and policy.default_timeout_microseconds:
            yield Problem(
                f"dynamic_batching.{name}.timeout_action",
                "DELAY reorders requests, and preserve_ordering forbids that.",
            )


def _sequence_batching(wanted: Config) -> Iterator[Problem]:
    if not wanted.HasField("sequence_batching"):
        return
    sequences = wanted.sequence_batching
    if sequences.HasField("oldest"):
        sizes = sequences.oldest.preferred_batch_size
        yield from _preferred_sizes("sequence_batching.oldest", sizes, wanted.max_batch_size)
    if sequences.HasField("direct") and not 0.0 <= sequences.direct.minimum_slot_utilization <= 1.0:
        share = sequences.direct.minimum_slot_utilization
        yield Problem("sequence_batching.direct.minimum_slot_utilization", f"is {share:g}; it must be 0 to 1.")


def _ensemble(wanted: Config) -> Iterator[Problem]:
    if not wanted.HasField("ensemble_scheduling"):
        if wanted.platform == _ENSEMBLE:
            yield Problem("ensemble_scheduling", "is not set, and the platform is ensemble.")
        return
    if wanted.instance_group:
        yield Problem("instance_group", "an ensemble has no instances of its own; set them on its steps.")
    if wanted.platform != _ENSEMBLE:
        yield Problem("platform", f"is {wanted.platform!r}; that of an ensemble is {_ENSEMBLE!r}.")
    if not wanted.ensemble_scheduling.step:
        yield Problem("ensemble_scheduling.step", "an ensemble needs at least one step.")


def _instances(wanted: Config, gpus: int | None) -> Iterator[Problem]:
    kinds = model_config_pb2.ModelInstanceGroup
    for place, group in enumerate(wanted.instance_group):
        path = f"instance_group[{group.name or place}]"
        if group.kind == kinds.KIND_GPU and gpus == 0:
            yield Problem(f"{path}.kind", "is KIND_GPU, and the server sees no GPU.")
        if group.kind in {kinds.KIND_CPU, kinds.KIND_MODEL} and group.gpus:
            yield Problem(f"{path}.gpus", f"GPUs are named, and the kind is {kinds.Kind.Name(group.kind)}.")
        for gpu in group.gpus if group.kind == kinds.KIND_GPU and gpus else ():
            if gpus is not None and gpu >= gpus:
                yield Problem(f"{path}.gpus", f"there is no GPU {gpu}; the server sees {gpus}.")
        if group.profile and wanted.platform != _TENSORRT:
            yield Problem(f"{path}.profile", "profiles are for TensorRT models only.")


def _response_cache(wanted: Config) -> Iterator[Problem]:
    if not wanted.response_cache.enable:
        return
    if wanted.HasField("sequence_batching"):
        yield Problem("response_cache", "does not go with sequence batching.")
    if wanted.model_transaction_policy.decoupled:
        yield Problem("response_cache", "does not go with a decoupled model.")


def _versions(wanted: Config) -> Iterator[Problem]:
    policy = wanted.version_policy
    match policy.WhichOneof("policy_choice"):
        case "latest" if policy.latest.num_versions == 0:
            yield Problem("version_policy.latest.num_versions", "is 0, so there would be no version to serve.")
        case "specific" if not policy.specific.versions:
            yield Problem("version_policy.specific.versions", "is empty, so there would be no version to serve.")


def _tensors(wanted: Config) -> Iterator[Problem]:
    for kind in ("input", "output"):
        for place, tensor in enumerate(getattr(wanted, kind)):
            path = f"{kind}[{tensor.name or place}]"
            if not tensor.name:
                yield Problem(path, "has no name.")
            if not tensor.data_type:
                yield Problem(f"{path}.data_type", "is not set.")
            if not tensor.dims:
                yield Problem(f"{path}.dims", "is not set.")
            for size in tensor.dims:
                if size < 1 and size != -1:
                    yield Problem(f"{path}.dims", f"{size} is neither 1 or more nor -1, which is any size.")
