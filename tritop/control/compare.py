"""What differs between two configurations, and how the server will carry the difference out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf import json_format

from tritop.change import ChangeClass, FieldChange
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig

_SEQUENCE_IDLE_US = 1_000_000
"""`SEQUENCE_IDLE_DEFAULT_MICROSECONDS` of Triton's core."""
_INFERRED = ("backend", "platform", "default_model_filename")
"""Each of these is inferred from the others (core, `AutoCompleteBackendFields`)."""


def change_class(before: Config, after: Config) -> ChangeClass:
    """Predict what `ConfigChangeRequiresReload` of Triton's core will decide.

    In place means: equal but for `instance_group` and `version_policy` (core since 24.08; older
    servers reload every version). Changed files on disk make it a full reload all the same, and
    so does the first override of an auto-completed model.
    """
    before, after = normalised(before), completed(after, before)
    if before == after:
        return ChangeClass.NOTHING
    for config in (before, after):
        config.ClearField("instance_group")
        config.ClearField("version_policy")
    return ChangeClass.IN_PLACE if before == after else ChangeClass.FULL_RELOAD


def completed(wanted: Config, current: Config) -> Config:
    """What the server makes of a configuration that leaves out what it infers by itself.

    Args:
        wanted: the configuration that is sent.
        current: the one that the model has: what was inferred for it is inferred again.
    """
    copy = Config()
    copy.CopyFrom(wanted)
    copy.name = copy.name or current.name
    if any(getattr(copy, field) for field in _INFERRED):
        for field in _INFERRED:
            setattr(copy, field, getattr(copy, field) or getattr(current, field))
    if not copy.instance_group and _is_default(current.instance_group):
        copy.instance_group.extend(current.instance_group)
    for place, group in enumerate(copy.instance_group):
        group.name = group.name or f"{copy.name}_{place}"
    return normalised(copy)


def normalised(config: Config) -> Config:
    """A copy in the shape that the server gives a configuration when it loads it.

    Core, `NormalizeModelConfig` and `NormalizeInstanceGroup`: no policy is `latest: 1`, an empty one
    `all` (seen on 2.51), a count below 1 is 1, without preferred sizes the largest batch is
    preferred, pinned memory is on.
    """
    copy = Config()
    copy.CopyFrom(config)
    if not copy.HasField("version_policy"):
        copy.version_policy.latest.num_versions = 1
    elif copy.version_policy.WhichOneof("policy_choice") is None:
        copy.version_policy.all.SetInParent()
    for group in copy.instance_group:
        group.count = max(1, group.count)
    if copy.HasField("dynamic_batching"):
        _prefer_largest(copy.dynamic_batching, copy.max_batch_size)
    if copy.HasField("sequence_batching"):
        sequences = copy.sequence_batching
        sequences.max_sequence_idle_microseconds = sequences.max_sequence_idle_microseconds or _SEQUENCE_IDLE_US
        if sequences.HasField("oldest"):
            _prefer_largest(sequences.oldest, copy.max_batch_size)
    if not copy.model_transaction_policy.decoupled:
        copy.ClearField("model_transaction_policy")
    if not copy.HasField("ensemble_scheduling"):
        for memory in ("input_pinned_memory", "output_pinned_memory"):
            if not copy.optimization.HasField(memory):
                getattr(copy.optimization, memory).enable = True
    return copy


def _prefer_largest(scheduler: Any, max_batch_size: int) -> None:
    if not scheduler.preferred_batch_size and max_batch_size > 0:
        scheduler.preferred_batch_size.append(max_batch_size)


def _is_default(groups: Sequence[Any]) -> bool:
    """Whether the groups are what the server makes where none is given, as far as one can tell."""
    if len(groups) != 1:
        return False
    bare = model_config_pb2.ModelInstanceGroup(name=groups[0].name, kind=groups[0].kind, gpus=groups[0].gpus)
    bare.count = 1
    return bool(bare == groups[0])


def diff(before: Config, after: Config) -> tuple[FieldChange, ...]:
    """Every field that differs, in the order of `model_config.proto`, absent as ""."""
    old, new = dict(_flat(_as_mapping(before), "")), dict(_flat(_as_mapping(after), ""))
    paths = list(old) + [path for path in new if path not in old]
    return tuple(
        FieldChange(path, old.get(path, ""), new.get(path, "")) for path in paths if old.get(path) != new.get(path)
    )


def lost_fields(before: Config, after: Config, *, meant: Sequence[str] = ()) -> tuple[str, ...]:
    """What is set before and absent after: top-level fields, and inputs and outputs by name.

    What the server fills in again with the same value is not lost, nor is what the edit `meant`
    to drop.

    Args:
        before: the configuration of the model.
        after: the configuration that is sent, not completed.
        meant: names of top-level fields.
    """
    filled = completed(after, before)
    present = {field.name for field, _ in after.ListFields()}
    again = {field.name for field, value in before.ListFields() if getattr(filled, field.name) == value}
    lost = [
        field.name
        for field, _ in before.ListFields()
        if field.name not in present and field.name not in again and field.name not in meant
    ]
    for field_name in ("input", "output"):
        if field_name in present:
            names = {tensor.name for tensor in getattr(after, field_name)}
            lost += [f"{field_name}[{one.name}]" for one in getattr(before, field_name) if one.name not in names]
    return tuple(lost)


def _as_mapping(config: Config) -> Mapping[str, Any]:
    mapping: Mapping[str, Any] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return mapping


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if not value and path:
            yield path, "{}"
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for position, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{inner.get('name', position)}]")
    elif isinstance(value, list):
        yield path, " ".join(str(item) for item in value)
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)
