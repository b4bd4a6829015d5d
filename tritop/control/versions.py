"""Which versions a model serves, and by which policy. Pure.

A configuration is per version, and its policy goes stale: a version that a change of the policy
left alone goes on naming the old one (seen on 2.51). The repository index knows what is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from tritop.change import VersionChoice
from tritop.protocol import model_config_pb2
from tritop.reading import IndexEntry

Policy: TypeAlias = model_config_pb2.ModelVersionPolicy

READY = "READY"
UNLOADING = "UNLOADING"
UNLOADED_REASON = "unloaded"


def ready_versions(index: Iterable[IndexEntry], model: str) -> tuple[int, ...]:
    """Versions of a model that take requests, ascending."""
    return tuple(sorted(set(_numbers(row for row in index if row.name == model and row.state == READY))))


def _numbers(rows: Iterable[IndexEntry]) -> Iterator[int]:
    """Version numbers of rows; a model that was never loaded has none."""
    return (int(row.version) for row in rows if row.version.isdecimal())


def policy_in_force(policies: Sequence[Policy], index: Sequence[IndexEntry], model: str) -> Policy:
    """The version policy that explains what the index shows.

    Args:
        policies: those in the configurations of the versions, the likeliest first.
        index: the whole repository index.
        model: the model.

    Returns:
        The first policy that explains it or, where all of them are stale, one that names the
        READY versions: it changes nothing when it is sent back.
    """
    ready = ready_versions(index, model)
    dropped = set(_numbers(row for row in index if row.name == model and _is_dropped(row)))
    for policy in policies:
        if _explains(policy, set(ready), dropped):
            return policy
    return policy_of(VersionChoice(specific=ready))


def _is_dropped(row: IndexEntry) -> bool:
    """Whether a version was taken out, or is on its way out, rather than missing because it failed."""
    return row.state == UNLOADING or (row.state != READY and row.reason == UNLOADED_REASON)


def _explains(policy: Policy, ready: set[int], dropped: set[int]) -> bool:
    """Whether these versions would be READY, and those dropped, under the policy."""
    match policy.WhichOneof("policy_choice"):
        case "all":
            return not dropped
        case "specific":
            return ready <= set(policy.specific.versions) and not dropped & set(policy.specific.versions)
        case _:
            number = policy.latest.num_versions or 1
            newer = any(version > min(ready, default=0) for version in dropped)
            return len(ready) <= number and not newer and not (dropped and len(ready) < number)


def policy_of(choice: VersionChoice) -> Policy:
    """A choice of versions as Triton writes it."""
    policy = model_config_pb2.ModelVersionPolicy()
    if choice.all:
        policy.all.SetInParent()
    elif choice.specific:
        policy.specific.versions.extend(sorted(set(choice.specific)))
    else:
        policy.latest.num_versions = choice.latest or 1
    return policy


def versions_after(policy: Any, ready: Sequence[int]) -> tuple[int, ...] | None:
    """What is served once a policy is in force; `None` where that depends on what is in the repository."""
    if policy.WhichOneof("policy_choice") == "specific":
        return tuple(sorted(set(policy.specific.versions)))
    if policy.WhichOneof("policy_choice") == "latest" and policy.latest.num_versions <= len(ready):
        return tuple(sorted(ready)[-policy.latest.num_versions :])
    return None
