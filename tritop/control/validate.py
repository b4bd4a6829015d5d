"""The rules that Triton applies only when it loads a configuration, applied before it is sent.

A server answers every breach with the same `failed to poll from model repository` and keeps the
reason in its log, which tritop cannot read everywhere. Each rule names its place in the sources
of Triton's core (`model_config_utils.cc: ValidateModelConfig`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tritop.change import Problem
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig
_DELAY = model_config_pb2.ModelQueuePolicy.DELAY


def problems_of(
    wanted: Config,
    *,
    model: str,
    versions_on_disk: Sequence[int] | None = None,
    gpus: int | None = None,
    server_has_cache: bool | None = None,
) -> tuple[Problem, ...]:
    """Everything that would make the server refuse the configuration.

    Args:
        wanted: the whole configuration.
        model: name of the model that it is for.
        versions_on_disk: version numbers in the repository, `None` if they are not known.
        gpus: GPUs that the server sees, `None` if that is not known.
        server_has_cache: whether the server runs with a response cache, `None` if not known.
    """
    return (
        *_name(wanted, model),
        *_batching(wanted),
        *_exclusive_scheduling(wanted),
        *_instances(wanted, gpus),
        *_cache(wanted, server_has_cache),
        *_versions(wanted, versions_on_disk),
    )


def _name(wanted: Config, model: str) -> Iterator[Problem]:
    if wanted.name and wanted.name != model:
        yield Problem("name", f"is {wanted.name!r}, and the model's folder is named {model!r}; they must be the same.")
    if not wanted.backend and not wanted.platform:
        yield Problem("backend", "is not set, and neither is platform: the server cannot tell what runs the model.")


def _batching(wanted: Config) -> Iterator[Problem]:
    largest = wanted.max_batch_size
    if largest < 0:
        yield Problem("max_batch_size", f"is {largest}; it must be 0 (no batching) or more.")
    if not wanted.HasField("dynamic_batching"):
        return
    batching = wanted.dynamic_batching
    if largest <= 0 and batching.preferred_batch_size:
        yield Problem("max_batch_size", "is 0, so the model takes no batches and preferred sizes make no sense.")
    for size in batching.preferred_batch_size:
        if size <= 0:
            yield Problem("dynamic_batching.preferred_batch_size", f"{size} is not above 0.")
        elif 0 < largest < size:
            yield Problem("dynamic_batching.preferred_batch_size", f"{size} is above max_batch_size {largest}.")
    yield from _priorities(batching)
    yield from _queue_policies(batching)


def _priorities(batching: model_config_pb2.ModelDynamicBatching) -> Iterator[Problem]:
    levels, default = batching.priority_levels, batching.default_priority_level
    if levels and not 1 <= default <= levels:
        yield Problem("dynamic_batching.default_priority_level", f"is {default}; it must be 1 to {levels}.")
    for level in batching.priority_queue_policy:
        if not 1 <= level <= levels:
            yield Problem(
                "dynamic_batching.priority_queue_policy", f"level {level} does not exist; there are {levels}."
            )


def _queue_policies(batching: model_config_pb2.ModelDynamicBatching) -> Iterator[Problem]:
    if not batching.preserve_ordering:
        return
    policies = [("default_queue_policy", batching.default_queue_policy)]
    policies += [
        (f"priority_queue_policy[{level}]", policy) for level, policy in batching.priority_queue_policy.items()
    ]
    for name, policy in policies:
        if policy.timeout_action == _DELAY:
            yield Problem(
                f"dynamic_batching.{name}.timeout_action",
                "DELAY reorders requests, and preserve_ordering forbids that.",
            )
    if batching.priority_levels > 1:
        yield Problem(
            "dynamic_batching.priority_levels", "above 1 reorders requests, and preserve_ordering forbids that."
        )


def _exclusive_scheduling(wanted: Config) -> Iterator[Problem]:
    if wanted.HasField("ensemble_scheduling") and wanted.instance_group:
        yield Problem("instance_group", "an ensemble has no instances of its own; set them on its steps.")
    decoupled = wanted.model_transaction_policy.decoupled
    if decoupled and wanted.dynamic_batching.preserve_ordering:
        yield Problem("dynamic_batching.preserve_ordering", "a decoupled model cannot keep the order of its responses.")


def _instances(wanted: Config, gpus: int | None) -> Iterator[Problem]:
    groups = model_config_pb2.ModelInstanceGroup
    for position, group in enumerate(wanted.instance_group):
        path = f"instance_group[{group.name or position}]"
        if group.kind == groups.KIND_GPU and gpus == 0:
            yield Problem(f"{path}.kind", "is KIND_GPU, and the server sees no GPU.")
        if group.kind == groups.KIND_CPU and group.gpus:
            yield Problem(f"{path}.gpus", "GPUs are named, and the kind is KIND_CPU.")
        for gpu in group.gpus:
            if gpus is not None and group.kind != groups.KIND_CPU and gpu >= gpus:
                yield Problem(f"{path}.gpus", f"there is no GPU {gpu}; the server sees {gpus}.")


def _cache(wanted: Config, server_has_cache: bool | None) -> Iterator[Problem]:
    if not wanted.response_cache.enable:
        return
    if wanted.HasField("sequence_batching"):
        yield Problem("response_cache", "does not go with sequence batching.")
    if wanted.model_transaction_policy.decoupled:
        yield Problem("response_cache", "does not go with a decoupled model.")
    if server_has_cache is False:
        yield Problem(
            "response_cache", "the server runs without a cache; start it with --cache-config local,size=BYTES."
        )


def _versions(wanted: Config, on_disk: Sequence[int] | None) -> Iterator[Problem]:
    chosen = wanted.version_policy.specific.versions
    if on_disk is not None and chosen and not set(chosen) & set(on_disk):
        there = ", ".join(str(version) for version in sorted(on_disk)) or "none"
        yield Problem("version_policy", f"none of the versions {list(chosen)} is in the repository ({there}).")
