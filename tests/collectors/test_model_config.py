"""Model configurations as Triton sends them, reduced."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from collectors.model_config import model_config, version_policy
from tritop.model import InstanceGroup, ModelConfig, Scheduling, TensorSpec
from tritop.protocol import model_config_pb2


def parsed(pbtxt: str) -> ModelConfig:
    return model_config(text_format.Parse(pbtxt, model_config_pb2.ModelConfig()))


BATCHED = """
name: "resnet50"
backend: "python"
max_batch_size: 32
input { name: "IN" data_type: TYPE_FP32 dims: 3 dims: -1 }
input { name: "TEXT" data_type: TYPE_STRING dims: 1 }
output { name: "OUT" data_type: TYPE_INT64 dims: 1000 }
instance_group { name: "resnet50_0" kind: KIND_GPU count: 2 gpus: 0 gpus: 1 }
instance_group { name: "resnet50_1" kind: KIND_CPU count: 1 }
dynamic_batching {
  preferred_batch_size: 4
  preferred_batch_size: 8
  max_queue_delay_microseconds: 1500
  default_queue_policy { max_queue_size: 100 }
}
response_cache { enable: true }
version_policy { specific { versions: 1 versions: 3 } }
parameters { key: "z" value { string_value: "1" } }
parameters { key: "a" value { string_value: "2" } }
"""


def test_a_batching_model() -> None:
    config = parsed(BATCHED)
    assert config == ModelConfig(
        backend="python",
        max_batch_size=32,
        scheduling=Scheduling.DYNAMIC_BATCHING,
        preferred_batch_sizes=(4, 8),
        max_queue_delay_us=1500,
        max_queue_size=100,
        instance_groups=(
            InstanceGroup("resnet50_0", "KIND_GPU", 2, (0, 1)),
            InstanceGroup("resnet50_1", "KIND_CPU", 1),
        ),
        response_cache=True,
        version_policy="specific: 1,3",
        inputs=(TensorSpec("IN", "FP32", (-1, 3, -1)), TensorSpec("TEXT", "BYTES", (-1, 1))),
        outputs=(TensorSpec("OUT", "INT64", (-1, 1000)),),
        pbtxt=config.pbtxt,
    )
    assert config.instances == 5


def test_the_text_is_the_whole_configuration_in_a_fixed_order() -> None:
    config = parsed(BATCHED)
    message = text_format.Parse(config.pbtxt, model_config_pb2.ModelConfig())
    assert message == text_format.Parse(BATCHED, model_config_pb2.ModelConfig())
    assert config.pbtxt.index('key: "a"') < config.pbtxt.index('key: "z"')


def test_an_ensemble_has_steps_and_no_instances() -> None:
    config = parsed(
        """platform: "ensemble"
        ensemble_scheduling { step { model_name: "a" model_version: -1 } step { model_name: "b" model_version: 2 } }"""
    )
    assert config.scheduling is Scheduling.ENSEMBLE
    assert config.ensemble_steps == ("a", "b")
    assert config.instances is None


def test_sequences_batch_by_their_own_strategy() -> None:
    oldest = parsed(
        "sequence_batching { oldest { preferred_batch_size: 4 max_queue_delay_microseconds: 7 } } max_batch_size: 8"
    )
    assert (oldest.scheduling, oldest.preferred_batch_sizes) == (Scheduling.SEQUENCE_BATCHING, (4,))
    assert oldest.max_queue_delay_us == 7
    direct = parsed("sequence_batching { direct { max_queue_delay_microseconds: 9 } }")
    assert (direct.preferred_batch_sizes, direct.max_queue_delay_us) == ((), 9)
    plain = parsed("sequence_batching { }")
    assert (plain.scheduling, plain.max_queue_delay_us) == (Scheduling.SEQUENCE_BATCHING, 0)


def test_a_plain_decoupled_model() -> None:
    config = parsed(
        """model_transaction_policy { decoupled: true } instance_group { kind: KIND_MODEL count: 1 }
        input { name: "IN" data_type: TYPE_BF16 dims: -1 }"""
    )
    assert (config.decoupled, config.scheduling, config.max_batch_size) == (True, Scheduling.NONE, 0)
    assert config.instance_groups[0].kind == "KIND_MODEL"
    assert config.inputs == (TensorSpec("IN", "BF16", (-1,)),)


def test_version_policies() -> None:
    policy = model_config_pb2.ModelVersionPolicy
    assert version_policy(policy()) == "latest: 1"
    assert version_policy(policy(latest=policy.Latest(num_versions=3))) == "latest: 3"
    assert version_policy(policy(latest=policy.Latest())) == "latest: 1"
    assert version_policy(policy(all=policy.All())) == "all"
    assert version_policy(policy(specific=policy.Specific(versions=[2]))) == "specific: 2"


def test_enum_values_of_a_newer_server_are_kept_as_numbers() -> None:
    message = model_config_pb2.ModelConfig()
    message.instance_group.add(kind=77)
    message.input.add(name="IN", data_type=99)
    config = model_config(message)
    assert config.instance_groups[0].kind == "77"
    assert config.inputs[0].datatype == "99"


INT32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    """Configurations that no server would accept and any peer could send."""
    message = model_config_pb2.ModelConfig(name=draw(TEXT), platform=draw(TEXT), max_batch_size=draw(INT32))
    for _ in range(draw(st.integers(0, 3))):
        message.input.add(name=draw(TEXT), data_type=draw(st.integers(0, 99)), dims=draw(st.lists(INT32, max_size=4)))
        message.instance_group.add(name=draw(TEXT), kind=draw(st.integers(0, 9)), count=draw(INT32))
        message.parameters[draw(TEXT)].string_value = draw(TEXT)
    scheduling = draw(st.sampled_from(["", "dynamic_batching", "sequence_batching", "ensemble_scheduling"]))
    if scheduling:
        getattr(message, scheduling).SetInParent()
    return message


@given(messages())
def test_the_text_gives_the_message_back_whatever_it_holds(message: Any) -> None:
    assert text_format.Parse(model_config(message).pbtxt, model_config_pb2.ModelConfig()) == message
