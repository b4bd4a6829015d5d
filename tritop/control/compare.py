"""What differs between two configurations, and how the server will carry the difference out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf import json_format

from tritop.change import ChangeClass, FieldChange
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig


def change_class(before: Config, after: Config) -> ChangeClass:
    """Predict what `ConfigChangeRequiresReload` of Triton's core will decide.

    In place means: equal but for `instance_group` and `version_policy` (core since 24.08; older
    servers reload every version). Changed files on disk make it a full reload all the same, and
    so does the first override of an auto-completed model.
    """
    before, after = normalised(before), normalised(after)
    if before == after:
        return ChangeClass.NOTHING
    for config in (before, after):
        config.ClearField("instance_group")
        config.ClearField("version_policy")
    return ChangeClass.IN_PLACE if before == after else ChangeClass.FULL_RELOAD


def normalised(config: Config) -> Config:
    """A copy in the shape that the server gives a configuration when it loads it.

    No policy is `latest: 1`, a count below 1 is 1, and without preferred sizes the largest batch
    is preferred (facts found on 2.51; core, `NormalizeModelConfig`).
    """
    copy = Config()
    copy.CopyFrom(config)
    if not copy.version_policy.WhichOneof("policy_choice"):
        copy.version_policy.latest.num_versions = 1
    for group in copy.instance_group:
        group.count = max(1, group.count)
    if copy.HasField("dynamic_batching") and not copy.dynamic_batching.preferred_batch_size and copy.max_batch_size > 0:
        copy.dynamic_batching.preferred_batch_size.append(copy.max_batch_size)
    return copy


def diff(before: Config, after: Config) -> tuple[FieldChange, ...]:
    """Every field that differs, in the order of `model_config.proto`, absent as ""."""
    old, new = dict(_flat(_as_mapping(before), "")), dict(_flat(_as_mapping(after), ""))
    paths = list(old) + [path for path in new if path not in old]
    return tuple(
        FieldChange(path, old.get(path, ""), new.get(path, "")) for path in paths if old.get(path) != new.get(path)
    )


def lost_fields(before: Config, after: Config, *, meant: Sequence[str] = ()) -> tuple[str, ...]:
    """Top-level fields that are set before and absent after, less those that the edit `meant` to drop."""
    old = {field.name for field, _ in before.ListFields()}
    new = {field.name for field, _ in after.ListFields()}
    return tuple(field.name for field, _ in before.ListFields() if field.name in old - new and field.name not in meant)


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
