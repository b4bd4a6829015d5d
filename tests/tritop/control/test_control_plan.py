"""What is foreseen of a change, from a situation that is written down here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import text_format

from tritop.change import ChangeClass, ConfigEdit, QueuePolicyEdit, VersionChoice
from tritop.control.consequences import sequence_slots
from tritop.control.ensembles import dependents_of
from tritop.control.measurements import Measurements, measurements
from tritop.control.plan import plan
from tritop.control.sequences import LiveSequences
from tritop.control.situation import Situation
from tritop.model import InstanceGroup
from tritop.operation import EditConfig, LoadModel, ModelChange, ReloadModel, SetVersions, UnloadModel
from tritop.protocol import model_config_pb2
from tritop.reading import IndexEntry, Layout, MetricsReading, Series

TENSORS = 'input { name: "X" data_type: TYPE_FP32 dims: 4 } output { name: "Y" data_type: TYPE_FP32 dims: 4 }'
STEP = 'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }'
GIB = 2**30


def config(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


CONFIGS = {
    "m": config(
        f'name: "m" backend: "python" max_batch_size: 8 {TENSORS} version_policy {{ all {{ }} }}'
        ' instance_group { name: "m_0" count: 2 kind: KIND_GPU gpus: 0 }'
    ),
    "e": config(
        f'name: "e" platform: "ensemble" max_batch_size: 8 {TENSORS}'
        f' ensemble_scheduling {{ step {{ model_name: "m" model_version: 2 {STEP} }} }}'
    ),
    "outer": config(
        f'name: "outer" platform: "ensemble" max_batch_size: 8 {TENSORS}'
        f' ensemble_scheduling {{ step {{ model_name: "e" model_version: -1 {STEP} }} }}'
    ),
}
INDEX = (
    IndexEntry("m", "1", "READY", ""),
    IndexEntry("m", "2", "READY", ""),
    IndexEntry("e", "1", "READY", ""),
    IndexEntry("outer", "1", "READY", ""),
    IndexEntry("idle", "", "", ""),
)
SITUATION = Situation(server="s", model="m", index=INDEX, current=CONFIGS["m"], configs=CONFIGS, changed_here=True)


def preview(change: ModelChange, situation: Situation = SITUATION) -> Any:
    return plan(change, situation).preview


def edit(**fields: Any) -> EditConfig:
    return EditConfig("s", "m", ConfigEdit(**fields))


def test_dependents_are_found_through_other_ensembles() -> None:
    assert dependents_of("m", CONFIGS) == ("e", "outer")
    assert dependents_of("e", CONFIGS) == ("outer",)
    assert dependents_of("outer", CONFIGS) == ()


def test_a_full_reload_says_what_it_needs_and_what_it_resets() -> None:
    measured = Measurements(load_s={"m": 3.5}, gpu_free_bytes=2 * GIB)
    rich = replace(SITUATION, measurements=measured, memory_bytes={"GPU 0": 3 * GIB, "CPU 0": 5})
    seen = preview(edit(batching=True), rich)
    assert (seen.change, seen.expected_s) == (ChangeClass.FULL_RELOAD, 3.5)
    assert (seen.memory_needed_bytes, seen.memory_free_bytes) == (3 * GIB, 2 * GIB)
    assert "want of memory" in seen.warnings[0]
    assert seen.resets[0] == "statistics"
    assert seen.dependents == ("e", "outer")
    enough = replace(rich, measurements=replace(measured, gpu_free_bytes=4 * GIB))
    assert not any("memory" in warning for warning in preview(edit(batching=True), enough).warnings)


def test_in_place_needs_no_second_copy_and_resets_nothing() -> None:
    rich = replace(
        SITUATION, memory_bytes={"GPU 0": GIB}, measurements=Measurements(gpu_free_bytes=1, load_s={"m": 9.0})
    )
    seen = preview(edit(instance_count=3), rich)
    assert (seen.change, seen.expected_s, seen.memory_needed_bytes) == (ChangeClass.IN_PLACE, None, None)
    assert seen.resets == ()
    (warning,) = seen.warnings
    assert "only in a moment in which no request waits" in warning
    assert preview(edit(instance_count=1), rich).warnings == (), "fewer instances wait for nobody"
    batching = model_config_pb2.ModelConfig()
    batching.CopyFrom(CONFIGS["m"])
    batching.dynamic_batching.SetInParent()
    assert preview(edit(instance_count=3), replace(rich, current=batching)).warnings == ()


def test_a_version_that_an_ensemble_calls_is_not_taken_out_by_the_way() -> None:
    seen = preview(SetVersions("s", "m", VersionChoice(specific=(1,))))
    assert seen.lost_fields == ("ensemble e",)
    assert seen.warnings[0].startswith("the ensemble e goes down: it calls version 2")
    assert preview(SetVersions("s", "m", VersionChoice(specific=(2,)))).lost_fields == ()


def test_response_cache_that_the_server_does_not_have_is_said_to_have_no_effect() -> None:
    for known, warned in ((False, True), (True, False), (None, False)):
        situation = replace(SITUATION, measurements=Measurements(response_cache=known))
        texts = preview(edit(response_cache=True), situation).warnings
        assert any("no effect" in text for text in texts) is warned


def test_a_gpu_that_is_not_there_is_a_problem_where_their_number_is_known() -> None:
    change = edit(instance_groups=(InstanceGroup("m_0", "KIND_GPU", 1, (4,)),))
    known = replace(SITUATION, measurements=Measurements(gpus=2))
    assert "there is no GPU 4; the server sees 2" in preview(change, known).obstacle
    assert preview(change).obstacle == ""


def test_a_queue_bound_on_a_step_warns_of_requests_that_hang() -> None:
    seen = preview(edit(batching=True, queue_policy=QueuePolicyEdit(max_queue_size=4)))
    assert any("26.03" in warning for warning in seen.warnings)


@pytest.mark.parametrize(
    ("change", "situation", "said"),
    [
        (LoadModel("s", "m", "2"), SITUATION, "version 2 of m is served already"),
        (UnloadModel("s", "m", "9"), SITUATION, "version 9 of m is not served"),
        (UnloadModel("s", "idle"), replace(SITUATION, model="idle", current=None), "idle is not loaded"),
        (edit(instance_count=2), SITUATION, "m is configured like that already"),
    ],
)
def test_nothing_to_do_is_said(change: ModelChange, situation: Situation, said: str) -> None:
    planned = plan(change, situation)
    assert (planned.nothing, planned.preview.change, planned.preview.sendable) == (said, ChangeClass.NOTHING, False)


@pytest.mark.parametrize(
    ("change", "situation", "said"),
    [
        (edit(batching=True), replace(SITUATION, refusal="no"), "no"),
        (edit(batching=True), replace(SITUATION, obstacle="twice"), "twice"),
        (edit(batching=True), replace(SITUATION, model="x", current=None), "no model 'x'"),
        (ReloadModel("s", "idle"), replace(SITUATION, model="idle", current=None), "nothing to reload"),
        (edit(max_batch_size=-1), SITUATION, "out of range"),
        (LoadModel("s", "idle", pbtxt="max_batch_size: -1"), replace(SITUATION, model="idle", current=None), "0 (no"),
    ],
)
def test_what_is_in_the_way_is_said(change: ModelChange, situation: Situation, said: str) -> None:
    seen = preview(change, situation)
    assert said in seen.obstacle
    assert not seen.sendable


def test_sequence_slots() -> None:
    direct = config("max_batch_size: 4 sequence_batching { direct { } } instance_group { count: 2 gpus: 0 gpus: 1 }")
    assert sequence_slots(direct) == 16
    oldest = config("sequence_batching { oldest { max_candidate_sequences: 10 } } instance_group { count: 3 }")
    assert sequence_slots(oldest) == 30
    assert sequence_slots(config("sequence_batching { }")) == 1


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (LiveSequences(1, 1.0, complete=True), "1 live sequence is lost, counted over 1.0 s; there can be up to 4"),
        (LiveSequences(2, 30.0, complete=False), "at least 2 live sequences are lost, counted over 30.0 s"),
        (LiveSequences(0, 1.0, complete=True), "no sequence is live just now, watched for 1.0 s"),
        (LiveSequences(0, 30.0, complete=False), "no sequence sent anything for 30.0 s; silent ones are lost, up to 4"),
    ],
)
def test_what_was_counted_is_said(counted: LiveSequences, said: str) -> None:
    current = config('name: "m" max_batch_size: 4 sequence_batching { }')
    asked = replace(SITUATION, current=current, configs={"m": current})
    change = EditConfig("s", "m", ConfigEdit(max_batch_size=2))
    before, after = preview(change, asked), preview(change, replace(asked, sequences=counted))
    assert (before.countable, after.countable) == (True, False)
    assert said in after.warnings[0]


def reading(*samples: tuple[str, dict[str, str], float]) -> MetricsReading:
    series = tuple(Series(name, name, tuple(sorted(labels.items())), "gauge") for name, labels, _ in samples)
    return MetricsReading(0.0, 0.0, Layout(series), [value for _, _, value in samples])


def test_measurements_out_of_a_scrape() -> None:
    seen = measurements(
        reading(
            ("nv_model_load_duration_secs", {"model": "m", "version": "1"}, 1.5),
            ("nv_model_load_duration_secs", {"model": "m", "version": "2"}, 2.5),
            ("nv_gpu_memory_total_bytes", {"gpu_uuid": "a"}, 10.0),
            ("nv_gpu_memory_used_bytes", {"gpu_uuid": "a"}, 4.0),
            ("nv_gpu_memory_total_bytes", {"gpu_uuid": "b"}, 10.0),
            ("nv_gpu_memory_used_bytes", {"gpu_uuid": "b"}, 7.0),
            ("nv_cpu_memory_total_bytes", {}, 100.0),
            ("nv_cpu_memory_used_bytes", {}, float("nan")),
            ("nv_cache_num_entries", {}, 0.0),
        )
    )
    assert seen == Measurements({"m": 2.5}, 2, 3, None, response_cache=True)
    assert measurements(reading()) == Measurements()
