"""Who depends on a model, and what a change of it does to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tritop.change import Problem
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig
Configs: TypeAlias = Mapping[str, Config]
"""Configurations of loaded models by name."""
_ANY_SIZE = -1
_LATEST = -1


def dependents_of(model: str, configs: Configs) -> tuple[str, ...]:
    """Ensembles that call the model, directly or through another ensemble, sorted by name."""
    found: set[str] = set()
    frontier = {model}
    while frontier:
        frontier = {
            name
            for name, config in configs.items()
            if name not in found and frontier & {step.model_name for step in config.ensemble_scheduling.step}
        }
        found |= frontier
    return tuple(sorted(found - {model}))


def broken_by(wanted: Config, model: str, configs: Configs) -> Iterator[tuple[str, str]]:
    """Ensembles that would go down with the change, each with the reason.

    The server takes an ensemble out without an error when a step does not fit any more; only its
    log says why (core, `ValidateEnsembleConfig`; seen on 2.51).

    Args:
        wanted: configuration that the model is to have.
        model: its name.
        configs: all loaded models.
    """
    after = {**configs, model: wanted}
    for ensemble in dependents_of(model, configs):
        before = set(misfits(ensemble, configs))
        for reason in misfits(ensemble, after):
            if reason not in before:
                yield ensemble, reason


def problems_of_ensemble(wanted: Config, ready: Mapping[str, tuple[int, ...]], configs: Configs) -> Iterator[Problem]:
    """Why an ensemble would not come up with this configuration.

    It matters more than for other models: the server does not keep the former ensemble where the
    new one cannot be loaded (seen on 2.51).

    Args:
        wanted: configuration of the ensemble.
        ready: READY versions of every model.
        configs: all loaded models.
    """
    if not wanted.HasField("ensemble_scheduling"):
        return
    for place, step in enumerate(wanted.ensemble_scheduling.step):
        path = f"ensemble_scheduling.step[{place}]"
        versions = ready.get(step.model_name, ())
        if not versions:
            yield Problem(f"{path}.model_name", f"{step.model_name!r} is not loaded.")
        elif step.model_version != _LATEST and step.model_version not in versions:
            yield Problem(f"{path}.model_version", f"version {step.model_version} of {step.model_name} is not loaded.")
    for reason in misfits(wanted.name, {**configs, wanted.name: wanted}):
        yield Problem("ensemble_scheduling", reason)


def misfits(ensemble: str, configs: Configs) -> Iterator[str]:
    """Where the tensors and batch sizes of an ensemble and its steps do not go together."""
    whole = configs[ensemble]
    seen: dict[str, tuple[str, Any, tuple[int, ...]]] = {}
    for tensor in (*whole.input, *whole.output):
        seen[tensor.name] = (ensemble, tensor.data_type, _shape(tensor, whole.max_batch_size))
    for step in whole.ensemble_scheduling.step:
        config = configs.get(step.model_name)
        if config is None:
            continue
        if whole.max_batch_size > 0 and config.max_batch_size < whole.max_batch_size:
            yield f"takes batches of {whole.max_batch_size}, and its step {step.model_name} of {config.max_batch_size}."
        for mapping, tensors in ((step.input_map, config.input), (step.output_map, config.output)):
            by_name = {tensor.name: tensor for tensor in tensors}
            for name, shared in mapping.items():
                if name not in by_name:
                    yield f"its step {step.model_name} has no tensor {name!r}."
                    continue
                here = (step.model_name, by_name[name].data_type, _shape(by_name[name], config.max_batch_size))
                there = seen.setdefault(shared, here)
                if there[1] != here[1] or not _compatible(there[2], here[2]):
                    yield f"tensor {shared!r} is {_described(there)} and {_described(here)}."


def _shape(tensor: Any, max_batch_size: int) -> tuple[int, ...]:
    """The shape with the batch dimension, as core compares it."""
    return (_ANY_SIZE, *tensor.dims) if max_batch_size > 0 else tuple(tensor.dims)


def _compatible(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return len(first) == len(second) and all(
        one == other or _ANY_SIZE in {one, other} for one, other in zip(first, second, strict=True)
    )


def _described(tensor: tuple[str, Any, tuple[int, ...]]) -> str:
    model, data_type, shape = tensor
    name = model_config_pb2.DataType.Name(data_type).removeprefix("TYPE_")
    return f"{name} {list(shape)} for {model}"
