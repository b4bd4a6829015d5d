"""What somebody else changed since an operator looked, and whether both can be had. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.change import FieldChange
from tritop.control.compare import diff, normalised
from tritop.control.server import Config
from tritop.operation import EditConfig, LoadModel, ModelChange, SetVersions, UnloadModel

_NAMED = 3
"""Fields named in a sentence."""


def replaces_everything(change: ModelChange) -> bool:
    """Whether a whole configuration is sent, in which every field was meant."""
    if isinstance(change, EditConfig):
        return change.edit.pbtxt is not None or change.exactly
    return isinstance(change, LoadModel) and bool(change.pbtxt)


def seen_by(change: ModelChange) -> str:
    """The configuration that the operator saw before the change, "" where that is not known."""
    if isinstance(change, EditConfig | SetVersions | LoadModel | UnloadModel):
        return change.based_on
    return ""


def made_since(seen: Config, now: Config) -> tuple[FieldChange, ...]:
    """What was changed between two looks."""
    return diff(_as_given(seen), _as_given(now))


def _as_given(config: Config) -> Config:
    """A configuration without the preferred sizes that the server fills in: they follow the largest batch."""
    copy = normalised(config)
    for scheduler in (copy.dynamic_batching, copy.sequence_batching.oldest):
        if list(scheduler.preferred_batch_size) == [copy.max_batch_size]:
            del scheduler.preferred_batch_size[:]
    return copy


def undone_by(wanted: Config, seen: Config, others: Sequence[FieldChange]) -> tuple[FieldChange, ...]:
    """Those of the others' changes since `seen` that would not be in force any more."""
    after = {one.path: one.after for one in made_since(seen, wanted)}
    return tuple(other for other in others if after.get(other.path, other.before) != other.after)


def is_reverted(mine: Sequence[FieldChange], before: Config, now: Config) -> bool:
    """Whether somebody who had not seen a change sent the former values together with changes of other fields.

    An undo restores everything, and is meant.
    """
    since = {one.path: one.after for one in made_since(before, now)}
    return bool(mine) and bool(since) and all(one.path not in since for one in mine)


def listed(changes: Sequence[FieldChange]) -> str:
    """Changes in a sentence."""
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return "; ".join(str(one) for one in changes[:_NAMED]) + more
