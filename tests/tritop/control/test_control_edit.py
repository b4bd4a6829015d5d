"""From a configuration and an edit to the wanted configuration, and what differs between the two."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, text_format
from hypothesis import given
from hypothesis import strategies as st

from tritop.change import ChangeClass, ConfigEdit, QueuePolicyEdit, VersionChoice
from tritop.control.compare import change_class, completed, diff, lost_fields, normalised
from tritop.control.edit import apply_edit, as_pbtxt, parse_config
from tritop.errors import UsageError
from tritop.model import InstanceGroup
from tritop.protocol import model_config_pb2

GROUP = 'instance_group { name: "m_0" count: 1 kind: KIND_CPU rate_limiter { priority: 3 } }'
BATCHING = "dynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 100 }"
TEXT = f"""
name: "m"
backend: "python"
default_model_filename: "model.py"
max_batch_size: 8
version_policy {{ latest {{ num_versions: 1 }} }}
input {{ name: "X" data_type: TYPE_FP32 dims: 4 }}
output {{ name: "Y" data_type: TYPE_FP32 dims: 4 }}
{GROUP}
{BATCHING}
optimization {{ input_pinned_memory {{ enable: true }} output_pinned_memory {{ enable: true }} }}
"""


def config(text: str = TEXT) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def edited(**fields: Any) -> Any:
    before = config()
    after = apply_edit(before, ConfigEdit(**fields))
    assert before == config(), "the present configuration was touched"
    return after


def test_single_fields_are_set_and_all_others_kept() -> None:
    policy = QueuePolicyEdit("DELAY", 500, True, 64)
    after = edited(
        max_queue_delay_us=7,
        preferred_batch_sizes=(2, 4),
        preserve_ordering=True,
        queue_policy=policy,
        response_cache=True,
    )
    batching = after.dynamic_batching
    assert batching.max_queue_delay_microseconds == 7
    assert list(batching.preferred_batch_size) == [2, 4]
    assert batching.preserve_ordering
    queue = batching.default_queue_policy
    assert (queue.timeout_action, queue.default_timeout_microseconds) == (model_config_pb2.ModelQueuePolicy.DELAY, 500)
    assert (queue.allow_timeout_override, queue.max_queue_size) == (True, 64)
    assert after.response_cache.enable
    for field in ("dynamic_batching", "response_cache"):
        after.ClearField(field)
    unchanged = config()
    unchanged.ClearField("dynamic_batching")
    assert after == unchanged


def test_a_largest_batch_that_was_filled_in_as_preferred_follows_the_new_one() -> None:
    assert list(edited(max_batch_size=4).dynamic_batching.preferred_batch_size) == []
    assert list(edited(max_batch_size=16, preferred_batch_sizes=(8,)).dynamic_batching.preferred_batch_size) == [8]
    chosen = config(TEXT.replace("preferred_batch_size: 8", "preferred_batch_size: 4"))
    assert list(apply_edit(chosen, ConfigEdit(max_batch_size=16)).dynamic_batching.preferred_batch_size) == [4]


def test_instance_groups_keep_what_the_edit_does_not_know() -> None:
    for name in ("m_0", ""):
        (group,) = edited(instance_groups=(InstanceGroup(name, "KIND_GPU", 2, (0, 1)),)).instance_group
        assert (group.name, group.count, list(group.gpus), group.rate_limiter.priority) == ("m_0", 2, [0, 1], 3)
    first, second = edited(
        instance_groups=(InstanceGroup("new", "KIND_CPU", 1), InstanceGroup("m_0", "KIND_CPU", 3))
    ).instance_group
    assert (first.name, first.rate_limiter.priority, second.count, second.rate_limiter.priority) == ("new", 0, 3, 3)
    bare = config(TEXT.replace(GROUP, ""))
    assert [group.count for group in apply_edit(bare, ConfigEdit(instance_count=5)).instance_group] == [5]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_batch_size": -1}, "out of range"),
        ({"max_batch_size": 2**31}, "out of range"),
        ({"preferred_batch_sizes": (0,)}, "out of range"),
        ({"max_queue_delay_us": -5}, "out of range"),
        ({"max_queue_delay_us": 2**64}, "out of range"),
        ({"instance_count": 0}, "out of range"),
        ({"instance_groups": (InstanceGroup("", "KIND_FOO", 1),)}, "KIND_FOO"),
        ({"queue_policy": QueuePolicyEdit(timeout_action="WAIT")}, "WAIT"),
        ({"queue_policy": QueuePolicyEdit(max_queue_size=2**32)}, "out of range"),
        ({"batching": False, "max_queue_delay_us": 5}, "off and configured"),
        ({"versions": VersionChoice()}, "no version was named"),
        ({"pbtxt": "", "max_batch_size": 3}, "one edit"),
        ({"pbtxt": "max_batch_size: x"}, "1:17"),
        ({"pbtxt": "[]"}, "a list"),
        ({"pbtxt": '{"nosuch": 1}'}, "nosuch"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        edited(**fields)


def test_settings_of_a_batcher_that_is_off_are_refused() -> None:
    off = edited(batching=False)
    assert not off.HasField("dynamic_batching")
    with pytest.raises(UsageError, match="is off"):
        apply_edit(off, ConfigEdit(max_queue_delay_us=5))
    assert apply_edit(off, ConfigEdit(batching=True)).HasField("dynamic_batching")


@pytest.mark.parametrize("scheduler", ["sequence_batching { }", 'ensemble_scheduling { step { model_name: "a" } }'])
def test_another_scheduler_is_never_dropped_silently(scheduler: str) -> None:
    other = config(TEXT.replace(BATCHING, scheduler))
    with pytest.raises(UsageError):
        apply_edit(other, ConfigEdit(batching=True))


sizes = st.integers(1, 2**31 - 1)
edits = st.builds(
    ConfigEdit,
    max_batch_size=st.none() | st.integers(0, 2**31 - 1),
    preferred_batch_sizes=st.none() | st.lists(sizes, max_size=4).map(tuple),
    max_queue_delay_us=st.none() | st.integers(0, 2**64 - 1),
    preserve_ordering=st.none() | st.booleans(),
    instance_count=st.none() | sizes,
    response_cache=st.none() | st.booleans(),
    versions=st.none()
    | st.integers(1, 9).map(lambda number: VersionChoice(latest=number))
    | st.sets(st.integers(1, 9), min_size=1).map(lambda chosen: VersionChoice(specific=tuple(chosen)))
    | st.just(VersionChoice(all=True)),
)


@given(edits)
def test_an_edit_applied_twice_is_applied_once(edit: ConfigEdit) -> None:
    once = apply_edit(config(), edit)
    assert change_class(once, apply_edit(once, edit)) is ChangeClass.NOTHING


@given(edits)
def test_text_and_json_say_the_same_as_the_edit(edit: ConfigEdit) -> None:
    wanted = apply_edit(config(), edit)
    for text in (as_pbtxt(wanted), json_format.MessageToJson(wanted)):
        assert parse_config(text) == wanted


@given(edits)
def test_class_and_diff_agree(edit: ConfigEdit) -> None:
    before, after = normalised(config()), completed(apply_edit(config(), edit), config())
    kind, paths = change_class(before, after), [change.path for change in diff(before, after)]
    assert (kind is ChangeClass.NOTHING) == (not paths)
    if kind is ChangeClass.IN_PLACE:
        assert all(path.startswith(("instance_group", "version_policy")) for path in paths)
    if kind is ChangeClass.FULL_RELOAD:
        assert not all(path.startswith(("instance_group", "version_policy")) for path in paths)


@given(edits)
def test_what_the_server_fills_in_changes_nothing(edit: ConfigEdit) -> None:
    wanted = apply_edit(config(), edit)
    assert change_class(wanted, completed(wanted, config())) is ChangeClass.NOTHING
    assert normalised(normalised(wanted)) == normalised(wanted)


def test_the_diff_names_fields_by_path_and_elements_by_name() -> None:
    changes = diff(config(), edited(max_queue_delay_us=7, instance_count=2, response_cache=True))
    assert [str(change) for change in changes] == [
        "instance_group[m_0].count: 1 -> 2",
        "dynamic_batching.max_queue_delay_microseconds: 100 -> 7",
        "response_cache.enable: (not set) -> true",
    ]


def test_lost_is_what_would_really_be_gone() -> None:
    before = config()
    hand_written = 'backend: "python" max_batch_size: 8 input { name: "X" data_type: TYPE_FP32 dims: 4 }'
    assert lost_fields(before, config(hand_written)) == ("output", "instance_group", "dynamic_batching")
    plain = config(TEXT.replace(" rate_limiter { priority: 3 }", ""))
    assert "instance_group" not in lost_fields(plain, config(hand_written)), "the server makes the same one again"
    assert "version_policy" in lost_fields(edited(versions=VersionChoice(all=True)), config(hand_written))
    assert set(lost_fields(before, config(""))) == {
        "backend",
        "default_model_filename",
        "max_batch_size",
        "input",
        "output",
        "instance_group",
        "dynamic_batching",
    }
    assert lost_fields(before, config(TEXT.replace('name: "X"', 'name: "Z"'))) == ("input[X]",)
    assert lost_fields(before, edited(batching=False), meant=("dynamic_batching",)) == ()
