"""A model configuration as Triton sends it, reduced to what the screen shows."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from tritop.model import InstanceGroup, ModelConfig, Scheduling, TensorSpec
from tritop.protocol import model_config_pb2

_SCHEDULING = {
    "dynamic_batching": Scheduling.DYNAMIC_BATCHING,
    "sequence_batching": Scheduling.SEQUENCE_BATCHING,
    "ensemble_scheduling": Scheduling.ENSEMBLE,
}


def model_config(config: model_config_pb2.ModelConfig) -> ModelConfig:
    """What a `ModelConfig` message says.

    Args:
        config: the configuration that the server answers with: completed by the backend and
            normalised (an absent instance group is there, preferred batch sizes are filled in).

    Returns:
        The shapes of `inputs` and `outputs` are those of Triton's ModelMetadata, which Triton
        itself makes of the configuration: `dims`, with -1 in front where the model batches
        (core `TRITONSERVER_ServerModelMetadata`). `pbtxt` is deterministic: map entries sorted.
    """
    batching = config.dynamic_batching
    policy = batching.default_queue_policy
    scheduling = _SCHEDULING.get(config.WhichOneof("scheduling_choice") or "", Scheduling.NONE)
    return ModelConfig(
        backend=config.backend,
        platform=config.platform,
        max_batch_size=config.max_batch_size,
        scheduling=scheduling,
        preferred_batch_sizes=_preferred_batch_sizes(config),
        max_queue_delay_us=_max_queue_delay_us(config),
        max_queue_size=policy.max_queue_size,
        default_timeout_us=policy.default_timeout_microseconds,
        timeout_action=_enum_name(policy, "timeout_action"),
        allow_timeout_override=policy.allow_timeout_override,
        preserve_ordering=batching.preserve_ordering,
        priority_levels=batching.priority_levels,
        default_priority_level=batching.default_priority_level,
        instance_groups=tuple(
            InstanceGroup(group.name, _enum_name(group, "kind"), group.count, tuple(group.gpus))
            for group in config.instance_group
        ),
        response_cache=config.response_cache.enable,
        decoupled=config.model_transaction_policy.decoupled,
        ensemble_steps=tuple(step.model_name for step in config.ensemble_scheduling.step),
        version_policy=version_policy(config.version_policy),
        inputs=tuple(_tensor(tensor, config.max_batch_size) for tensor in config.input),
        outputs=tuple(_tensor(tensor, config.max_batch_size) for tensor in config.output),
        pbtxt=text_format.MessageToString(config, as_utf8=True),
    )


def version_policy(policy: model_config_pb2.ModelVersionPolicy) -> str:
    """A version policy as one line: `latest: 1`, `all` or `specific: 1,3`.

    An absent policy is Triton's default, the latest version only.
    """
    match policy.WhichOneof("policy_choice"):
        case "all":
            return "all"
        case "specific":
            return "specific: " + ",".join(str(version) for version in policy.specific.versions)
        case "latest":
            return f"latest: {policy.latest.num_versions or 1}"
        case _:
            return "latest: 1"


def _preferred_batch_sizes(config: Any) -> tuple[int, ...]:
    """Of the scheduler that is chosen: sequences batch only with the strategy `oldest`."""
    if config.HasField("sequence_batching"):
        return tuple(config.sequence_batching.oldest.preferred_batch_size)
    return tuple(config.dynamic_batching.preferred_batch_size)


def _max_queue_delay_us(config: Any) -> int:
    if not config.HasField("sequence_batching"):
        delay_us: int = config.dynamic_batching.max_queue_delay_microseconds
        return delay_us
    strategy = config.sequence_batching.WhichOneof("strategy_choice")
    return getattr(config.sequence_batching, strategy).max_queue_delay_microseconds if strategy else 0


def _tensor(tensor: Any, max_batch_size: int) -> TensorSpec:
    datatype = _enum_name(tensor, "data_type").removeprefix("TYPE_")
    batch = (-1,) if max_batch_size > 0 else ()
    # The one type whose name in the protocol differs from that in the configuration.
    return TensorSpec(tensor.name, "BYTES" if datatype == "STRING" else datatype, batch + tuple(tensor.dims))


def _enum_name(message: Any, field: str) -> str:
    """Name of an enum value; the number itself where a newer server sends one that is not known here."""
    number = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return value.name if value else str(number)
