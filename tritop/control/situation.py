"""What a server and one of its models are like right before a change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tritop.control.measurements import Measurements, measure
from tritop.control.sequences import LiveSequences
from tritop.control.server import Config, Refused, TritonServer
from tritop.control.versions import READY, Policy, policy_in_force, ready_versions
from tritop.endpoint import Endpoint
from tritop.reading import IndexEntry

_AT_ONCE = 32
"""Configurations asked for at the same time."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a preview is made of."""

    server: str
    model: str
    index: tuple[IndexEntry, ...]
    current: Config | None = None
    """Configuration of the model with the version policy in force, `None` while it is not loaded."""
    configs: Mapping[str, Config] = field(default_factory=dict)
    """One configuration of every loaded model."""
    obstacle: str = ""
    """Why this model cannot be changed, such as a name that two repositories share."""
    folderless: bool = False
    """The model is served and has no folder in the repository; it can only be unloaded."""
    refusal: str = ""
    """Why no model of the server can be changed."""
    by_mode: bool = False
    """Its control mode is why."""
    measurements: Measurements = field(default_factory=Measurements)
    executions: Mapping[int, int] = field(default_factory=dict)
    """Executions of each version since its object was made: a smaller number later tells a reload."""
    changed_here: bool = False
    """Whether the model was changed from here before, so that its files are known to the server as they are."""
    sequences: LiveSequences | None = None
    """The model's live sequences, where they were counted."""
    uncounted: str = ""
    """Why they could not be counted."""
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """What the model's versions take, by kind and id such as "GPU 0"; empty where it is not reported."""

    @property
    def ready(self) -> tuple[int, ...]:
        """READY versions of the model, ascending."""
        return ready_versions(self.index, self.model)

    @property
    def known(self) -> bool:
        """Whether the server has ever heard of the model."""
        return self.folderless or any(row.name == self.model for row in self.index)

    def ready_of_all(self) -> dict[str, tuple[int, ...]]:
        """READY versions of every model."""
        return {row.name: ready_versions(self.index, row.name) for row in self.index if row.state == READY}


class PolicyMemory:
    """The version policies that were set here, which the server itself does not tell.

    A policy is forgotten as soon as the answers of the versions change: somebody else set another.
    """

    def __init__(self) -> None:
        self._set: dict[str, tuple[Policy, tuple[bytes, ...]]] = {}

    async def remember(self, server: TritonServer, model: str, policy: Policy) -> None:
        """Note a policy that was just set, with what the versions answer since."""
        configs = await _configs_of_versions(server, model, await server.index())
        self._set[model] = (policy, _answers(configs))

    def recall(self, model: str, configs: Sequence[Config]) -> Policy | None:
        """The policy that was set last, if it can still be the one in force."""
        policy, answers = self._set.get(model, (None, ()))
        return policy if answers == _answers(configs) else None


def _answers(configs: Sequence[Config]) -> tuple[bytes, ...]:
    return tuple(config.version_policy.SerializeToString(deterministic=True) for config in configs)


async def look(
    server: TritonServer,
    endpoint: Endpoint,
    model: str,
    *,
    policies: PolicyMemory,
    refusal: str = "",
    by_mode: bool = False,
) -> Situation:
    """Ask a server for the situation of one model.

    Args:
        server: where to ask.
        endpoint: for the metrics.
        model: the model.
        policies: those that were set here.
        refusal: why the server takes no changes, "" where it does.
        by_mode: whether its control mode is why.

    Raises:
        TritopError: the server does not answer or does not say.
    """
    index, statistics, measurements = await asyncio.gather(server.index(), server.statistics(), measure(endpoint))
    served = any(one.name == model for one in statistics)
    folderless = served and not any(row.name == model for row in index)
    obstacle = _obstacle(model, index, folderless=folderless)
    current = None if obstacle else await _current(server, model, index, policies)
    configs = await _all_configs(server, index)
    if current is not None:
        configs[model] = current
    return Situation(
        server=endpoint.name,
        model=model,
        index=index,
        current=current,
        configs=configs,
        obstacle=obstacle,
        folderless=folderless,
        refusal=refusal,
        by_mode=by_mode,
        measurements=measurements,
        executions=executions_of(statistics, model),
        memory_bytes=_memory(statistics, model),
    )


async def current_of(server: TritonServer, model: str, policies: PolicyMemory) -> Config | None:
    """The configuration of a model with the version policy in force, `None` while it is not loaded; two quick calls.

    Raises:
        TritopError: the server does not answer or does not say.
    """
    return await _current(server, model, await server.index(), policies)


async def _current(
    server: TritonServer, model: str, index: Sequence[IndexEntry], policies: PolicyMemory
) -> Config | None:
    """The configuration of the newest version, with the policy that the index shows to be in force."""
    configs = await _configs_of_versions(server, model, index)
    if not configs:
        return None
    current = Config()
    current.CopyFrom(configs[0])
    recalled = policies.recall(model, configs)
    candidates = [config.version_policy for config in configs]
    policy = policy_in_force([recalled, *candidates] if recalled is not None else candidates, index, model)
    current.version_policy.CopyFrom(policy)
    return current


async def _configs_of_versions(server: TritonServer, model: str, index: Sequence[IndexEntry]) -> list[Config]:
    """What each READY version answers, the newest first."""
    versions = sorted(ready_versions(index, model), reverse=True)
    read = await asyncio.gather(*(server.config(model, version) for version in versions))
    return [config for config in read if config is not None]


async def _all_configs(server: TritonServer, index: Sequence[IndexEntry]) -> dict[str, Config]:
    """One configuration of each loaded model, for the ensembles among them."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(name: str) -> Config | None:
        async with limit:
            try:
                return await server.config(name)
            except Refused:
                return None  # An ambiguous name: it cannot be anybody's step either.

    names = sorted({row.name for row in index if row.state == READY})
    configs = await asyncio.gather(*(read(name) for name in names))
    return {name: config for name, config in zip(names, configs, strict=True) if config is not None}


def _obstacle(model: str, index: Sequence[IndexEntry], *, folderless: bool) -> str:
    rows = [row for row in index if row.name == model]
    for row in rows:
        if "two or more repositories" in row.reason:
            return f"{model} is in two repositories of the server, which then loads neither; remove one of them."
    if len({row.version for row in rows}) < len(rows):
        return f"{model} is in two repositories of the server, and its name does not say which one is meant."
    if folderless:
        return (
            f"{model} has no folder in the repository: it was removed, or the model was loaded from files that were "
            "sent to the server. It is served on, and cannot be changed without the files."
        )
    return ""


def executions_of(statistics: Sequence[Any], model: str) -> dict[int, int]:
    """Executions of each version of a model, from `ModelStatistics` messages."""
    return {
        int(one.version): one.execution_count for one in statistics if one.name == model and one.version.isdecimal()
    }


def _memory(statistics: Sequence[Any], model: str) -> dict[str, int]:
    memory: dict[str, int] = {}
    for one in statistics:
        for usage in one.memory_usage if one.name == model else ():
            place = f"{usage.type} {usage.id}"
            memory[place] = memory.get(place, 0) + usage.byte_size
    return memory
