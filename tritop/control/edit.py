"""From a configuration and an edit to the configuration that is wanted. Pure."""

from __future__ import annotations

from typing import TypeAlias

from google.protobuf import json_format, text_format

from tritop.change import ConfigEdit, QueuePolicyEdit, VersionChoice
from tritop.errors import UsageError
from tritop.model import InstanceGroup
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig
INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1


def apply_edit(current: Config, edit: ConfigEdit) -> Config:
    """Return a new configuration with the edit applied; `current` is left alone.

    Raises:
        UsageError: a value does not fit its field, or the edit contradicts itself. Whether the
            server can load the result is `problems_of`'s business.
    """
    if edit.pbtxt is not None:
        if edit != ConfigEdit(pbtxt=edit.pbtxt):
            raise UsageError("a whole configuration and single fields cannot be set in one edit.")
        return parse_config(edit.pbtxt)
    wanted = Config()
    wanted.CopyFrom(current)
    if edit.max_batch_size is not None:
        wanted.max_batch_size = _within("max batch size", edit.max_batch_size, INT32_MAX)
        _let_go_of_filled_in_sizes(wanted, current.max_batch_size)
    _apply_batching(wanted, edit)
    if edit.instance_groups is not None:
        _apply_instance_groups(wanted, edit.instance_groups)
    if edit.instance_count is not None:
        for group in wanted.instance_group:
            group.count = _within("instance count", edit.instance_count, INT32_MAX, lowest=1)
        if not wanted.instance_group:
            wanted.instance_group.add(count=_within("instance count", edit.instance_count, INT32_MAX, lowest=1))
    if edit.response_cache is not None:
        wanted.response_cache.enable = edit.response_cache
    if edit.versions is not None:
        _apply_versions(wanted, edit.versions)
    return wanted


def parse_config(text: str) -> Config:
    """Read a configuration as `config.pbtxt` holds it, or as the JSON that Triton's API takes.

    Text format has no outer braces, so a text that begins with one is JSON.

    Raises:
        UsageError: with the place in the text and the parser's own words.
    """
    config = Config()
    try:
        if text.lstrip().startswith("["):
            raise json_format.ParseError("a list stands where an object is expected")
        if text.lstrip().startswith("{"):
            json_format.Parse(text, config)
        else:
            text_format.Parse(text, config)
    except (text_format.ParseError, json_format.ParseError) as error:
        said = " ".join(str(error).partition("Available Fields")[0].split()).rstrip(".")
        raise UsageError(f"the configuration cannot be read: {said}.", "Correct it there; nothing was sent.") from error
    return config


def as_pbtxt(config: Config) -> str:
    """A configuration as text, always the same one for equal configurations."""
    return text_format.MessageToString(config, as_utf8=True)


def as_json(config: Config) -> str:
    """A configuration as the JSON that Triton's load API takes."""
    return json_format.MessageToJson(config, preserving_proto_field_name=True)


def _within(what: str, value: int, highest: int, *, lowest: int = 0) -> int:
    if not lowest <= value <= highest:
        raise UsageError(f"{what} {value} is out of range: {lowest} to {highest}.")
    return value


def _let_go_of_filled_in_sizes(wanted: Config, largest_before: int) -> None:
    """Where no sizes were preferred the server filled in the largest batch, which is another one now."""
    for scheduler in (wanted.dynamic_batching, wanted.sequence_batching.oldest):
        if list(scheduler.preferred_batch_size) == [largest_before]:
            del scheduler.preferred_batch_size[:]


def _apply_batching(wanted: Config, edit: ConfigEdit) -> None:
    settings = (
        edit.preferred_batch_sizes,
        edit.max_queue_delay_us,
        edit.preserve_ordering,
        edit.priority_levels,
        edit.default_priority_level,
        edit.queue_policy,
    )
    has_settings = any(setting is not None for setting in settings)
    if edit.batching is False:
        if has_settings:
            raise UsageError("batching cannot be turned off and configured in one edit.")
        wanted.ClearField("dynamic_batching")
        return
    if not (edit.batching or has_settings):
        return
    if edit.batching is None and not wanted.HasField("dynamic_batching"):
        raise UsageError(
            f"dynamic batching of {wanted.name} is off, so its settings have no effect.", "Turn it on in the same edit."
        )
    _refuse_another_scheduler(wanted)
    batching = wanted.dynamic_batching
    batching.SetInParent()
    if edit.preferred_batch_sizes is not None:
        del batching.preferred_batch_size[:]
        batching.preferred_batch_size.extend(
            _within("preferred batch size", size, INT32_MAX, lowest=1) for size in edit.preferred_batch_sizes
        )
    if edit.max_queue_delay_us is not None:
        batching.max_queue_delay_microseconds = _within("max queue delay", edit.max_queue_delay_us, UINT64_MAX)
    if edit.preserve_ordering is not None:
        batching.preserve_ordering = edit.preserve_ordering
    if edit.priority_levels is not None:
        batching.priority_levels = _within("priority levels", edit.priority_levels, UINT64_MAX)
    if edit.default_priority_level is not None:
        batching.default_priority_level = _within("default priority level", edit.default_priority_level, UINT64_MAX)
    if edit.queue_policy is not None:
        _apply_queue_policy(batching.default_queue_policy, edit.queue_policy)


def _refuse_another_scheduler(wanted: Config) -> None:
    """The schedulers are one `oneof`: setting dynamic batching would drop the other without a word."""
    match wanted.WhichOneof("scheduling_choice"):
        case "sequence_batching":
            raise UsageError(f"{wanted.name} batches sequences, and dynamic batching does not go with that.")
        case "ensemble_scheduling":
            raise UsageError(
                f"{wanted.name} is an ensemble and runs nothing itself.",
                "Set dynamic batching on its steps: "
                + ", ".join(step.model_name for step in wanted.ensemble_scheduling.step),
            )


def _apply_queue_policy(policy: model_config_pb2.ModelQueuePolicy, edit: QueuePolicyEdit) -> None:
    if edit.timeout_action is not None:
        actions = model_config_pb2.ModelQueuePolicy.TimeoutAction
        if edit.timeout_action not in list(actions.keys()):
            raise UsageError(f"timeout action {edit.timeout_action!r} is neither {' nor '.join(actions.keys())}.")
        policy.timeout_action = actions.Value(edit.timeout_action)
    if edit.default_timeout_us is not None:
        policy.default_timeout_microseconds = _within("default timeout", edit.default_timeout_us, UINT64_MAX)
    if edit.allow_timeout_override is not None:
        policy.allow_timeout_override = edit.allow_timeout_override
    if edit.max_queue_size is not None:
        policy.max_queue_size = _within("max queue size", edit.max_queue_size, UINT32_MAX)


def _apply_instance_groups(wanted: Config, groups: tuple[InstanceGroup, ...]) -> None:
    """Groups are matched by name, one without a name by its place: unknown fields are kept."""
    kinds = model_config_pb2.ModelInstanceGroup.Kind
    present = list(wanted.instance_group)
    kept = {group.name: group for group in present}
    made = []
    for place, group in enumerate(groups):
        message = model_config_pb2.ModelInstanceGroup()
        if group.name in kept:
            message.CopyFrom(kept[group.name])
        elif not group.name and place < len(present):
            message.CopyFrom(present[place])
        if group.kind not in list(kinds.keys()):
            raise UsageError(f"instance kind {group.kind!r} is none of {', '.join(kinds.keys())}.")
        message.name = group.name or message.name
        message.kind = kinds.Value(group.kind)
        message.count = _within("instance count", group.count, INT32_MAX, lowest=1)
        del message.gpus[:]
        message.gpus.extend(_within("GPU", gpu, INT32_MAX) for gpu in group.gpus)
        made.append(message)
    del wanted.instance_group[:]
    wanted.instance_group.extend(made)


def _apply_versions(wanted: Config, versions: VersionChoice) -> None:
    wanted.ClearField("version_policy")
    policy = wanted.version_policy
    if versions.all:
        policy.all.SetInParent()
    elif versions.specific:
        policy.specific.versions.extend(versions.specific)
    elif versions.latest is not None:
        policy.latest.num_versions = _within("number of versions", versions.latest, UINT32_MAX, lowest=1)
    else:
        raise UsageError("no version was named.", "Say latest:N, all, or the numbers, such as 1,3.")
