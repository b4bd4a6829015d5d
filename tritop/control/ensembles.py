"""Who depends on a model, and what a change of it does to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


def problems_of_ensemble(
    wanted: Config, ensemble: str, ready: Mapping[str, tuple[int, ...]], configs: Configs
) -> Iterator[Problem]:
    """Why an ensemble would not come up with this configuration.

    It matters more than for other models: the server does not keep the former ensemble where the
    new one cannot be loaded (seen on 2.51).

    Args:
        wanted: configuration of the ensemble.
        ensemble: its name.
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
    for reason in misfits(ensemble, {**configs, ensemble: wanted}):
        yield Problem("ensemble_scheduling", reason)


def misfits(ensemble: str, configs: Configs) -> Iterator[str]:
    """Where the tensors and batch sizes of an ensemble and its steps do not go together."""
    whole = configs[ensemble]
    seen: dict[str, _Tensor] = {}
    for tensor in (*whole.input, *whole.output):
        seen[tensor.name] = _tensor(tensor, ensemble, whole)
    for step in whole.ensemble_scheduling.step:
        config = configs.get(step.model_name)
        if config is None:
            continue
        # A step that takes no batches is exempt.
        if 0 < config.max_batch_size < whole.max_batch_size:
            yield f"takes batches of {whole.max_batch_size}, and its step {step.model_name} of {config.max_batch_size}."
        for mapping, tensors in ((step.input_map, config.input), (step.output_map, config.output)):
            by_name = {tensor.name: tensor for tensor in tensors}
            for name, shared in mapping.items():
                if name not in by_name:
                    yield f"its step {step.model_name} has no tensor {name!r}."
                    continue
                here = _tensor(by_name[name], step.model_name, config)
                there = seen.setdefault(shared, here)
                if there.data_type != here.data_type or not _compatible(there, here):
                    yield f"tensor {shared!r} is {there} and {here}."


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as core's `TensorNode` sees it."""

    model: str
    data_type: int
    dims: tuple[int, ...]
    batches: bool

    @property
    def full_dims(self) -> tuple[int, ...]:
        """With the batch dimension."""
        return (_ANY_SIZE, *self.dims) if self.batches else self.dims

    def __str__(self) -> str:
        name = model_config_pb2.DataType.Name(self.data_type).removeprefix("TYPE_")
        return f"{name} {list(self.full_dims)} for {self.model}"


def _tensor(tensor: Any, model: str, config: Config) -> _Tensor:
    return _Tensor(model, tensor.data_type, tuple(tensor.dims), config.max_batch_size > 0)


def _compatible(one: _Tensor, other: _Tensor) -> bool:
    """Either way of looking at them will do (core, `ValidateTensorConsistency`)."""
    return _match(one.dims, other.dims) or _match(one.full_dims, other.full_dims)


def _match(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        first == second or _ANY_SIZE in {first, second} for first, second in zip(one, other, strict=True)
    )
