"""Edits on a real Triton: what is predicted happens, what is called wrong is refused, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format

from tests.e2e.control_stage import Stage
from tests.e2e.triton_calls import call, config_of, load
from tritop.change import ChangeClass, ConfigEdit, QueuePolicyEdit, VersionChoice
from tritop.control.reason import ReasonInLog
from tritop.control.validate import problems_of
from tritop.errors import OperationFailed
from tritop.model import InstanceGroup
from tritop.operation import EditConfig, SetVersions
from tritop.protocol import grpc, model_config_pb2, service_pb2

pytestmark = pytest.mark.triton

GROUPS = (InstanceGroup("", "KIND_CPU", 1), InstanceGroup("", "KIND_CPU", 1))

EDITS: tuple[tuple[dict[str, Any], ChangeClass], ...] = (
    ({"max_queue_delay_us": 700}, ChangeClass.FULL_RELOAD),
    ({"max_queue_delay_us": 700}, ChangeClass.NOTHING),
    ({"instance_count": 2}, ChangeClass.IN_PLACE),
    ({"instance_count": 2}, ChangeClass.NOTHING),
    ({"instance_groups": GROUPS}, ChangeClass.IN_PLACE),
    ({"instance_groups": GROUPS[:1]}, ChangeClass.IN_PLACE),
    ({"versions": VersionChoice(all=True)}, ChangeClass.IN_PLACE),
    ({"versions": VersionChoice(latest=1)}, ChangeClass.IN_PLACE),
    ({"preferred_batch_sizes": (4, 8)}, ChangeClass.FULL_RELOAD),
    ({"preferred_batch_sizes": ()}, ChangeClass.FULL_RELOAD),
    ({"preferred_batch_sizes": (8,)}, ChangeClass.NOTHING),
    ({"max_batch_size": 16}, ChangeClass.FULL_RELOAD),
    ({"max_batch_size": 8}, ChangeClass.FULL_RELOAD),
    ({"queue_policy": QueuePolicyEdit("DELAY", 5_000_000, True, 500)}, ChangeClass.FULL_RELOAD),
    ({"priority_levels": 2, "default_priority_level": 1}, ChangeClass.FULL_RELOAD),
    ({"priority_levels": 0, "default_priority_level": 0}, ChangeClass.FULL_RELOAD),
    ({"batching": False}, ChangeClass.FULL_RELOAD),
    ({"batching": True}, ChangeClass.FULL_RELOAD),
    ({"response_cache": True}, ChangeClass.FULL_RELOAD),
    ({"response_cache": False}, ChangeClass.FULL_RELOAD),
)


def test_the_predicted_class_is_what_happens_and_no_request_is_lost(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("echo") as clients:
            for fields, expected in EDITS:
                await clients.some(10 * len(clients))
                change = EditConfig("s", "echo", ConfigEdit(**fields))
                preview = await stage.preview(change)
                assert preview.change is expected, fields
                before, answers = (await stage.successes("echo"))["1"], clients.answers
                outcome = await stage.perform(change)
                answers, after = clients.answers - answers, (await stage.successes("echo"))["1"]
                assert outcome.changed is (expected is not ChangeClass.NOTHING)
                # Statistics begin again with the object of the model, so they tell a reload for certain:
                # otherwise they hold all that came before, give or take what is in flight.
                began_anew = after < before + answers - len(clients)
                assert began_anew is (expected is ChangeClass.FULL_RELOAD), fields
                assert clients.errors == {}, fields
                assert (await stage.preview(change)).change is ChangeClass.NOTHING, fields

    stage.triton.run(scenario())


def _set(path: str, value: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        *steps, field = path.split(".")
        for step in steps:
            config = getattr(config, step) if not step.isdigit() else config[int(step)]
        setattr(config, field, value)

    return change


def _batching(**fields: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config.dynamic_batching.Clear()
        config.dynamic_batching.CopyFrom(json_format.ParseDict(fields, model_config_pb2.ModelDynamicBatching()))

    return change


def _group(**fields: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        json_format.ParseDict(fields, config.instance_group[0])

    return change


def _tensor(**fields: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        tensor = config.input[0]
        for name, value in fields.items():
            tensor.ClearField(name)
            if value is not None:
                getattr(tensor, name).extend(value)

    return change


def _sequences(**fields: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        json_format.ParseDict(fields, config.sequence_batching)

    return change


def _policy(**fields: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        json_format.ParseDict(fields, config.version_policy)

    return change


def _both(*changes: Callable[[Any], None]) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        for one in changes:
            one(config)

    return change


DELAY = {"timeout_action": "DELAY", "default_timeout_microseconds": 1000}

REFUSED: tuple[tuple[str, str, Callable[[Any], None], str, str], ...] = (
    # name, model, change, what tritop says, what the server says
    ("preferred above max", "echo", _batching(preferred_batch_size=[9]), "above max_batch_size 8", "<= max batch size"),
    ("preferred 0", "echo", _batching(preferred_batch_size=[0]), "not above 0", "must be positive"),
    ("preferred -1", "echo", _batching(preferred_batch_size=[-1]), "not above 0", "must be positive"),
    ("max batch -1", "echo", _set("max_batch_size", -1), "must be 0", "non-negative"),
    (
        "max batch 0 with preferred sizes",
        "echo",
        _both(_batching(preferred_batch_size=[4]), _set("max_batch_size", 0)),
        "above max_batch_size 0",
        "<= max batch size",
    ),
    ("levels without default", "echo", _batching(priority_levels=3), "must be 1 to 3", "range [1, 3]"),
    (
        "default above levels",
        "echo",
        _batching(priority_levels=3, default_priority_level=4),
        "must be 1 to 3",
        "range [1, 3]",
    ),
    (
        "policy of a level that is not there",
        "echo",
        _batching(priority_levels=2, default_priority_level=1, priority_queue_policy={"3": {}}),
        "no level 3",
        "range [1, 2]",
    ),
    (
        "order with two levels",
        "echo",
        _batching(preserve_ordering=True, priority_levels=2, default_priority_level=1),
        "preserve_ordering forbids",
        "Only one priority level",
    ),
    (
        "order with DELAY",
        "echo",
        _batching(preserve_ordering=True, default_queue_policy=DELAY),
        "preserve_ordering forbids",
        "can not have DELAY",
    ),
    (
        "order with DELAY on a level",
        "echo",
        _batching(
            preserve_ordering=True,
            priority_levels=1,
            default_priority_level=1,
            priority_queue_policy={"1": DELAY},
        ),
        "preserve_ordering forbids",
        "can not have DELAY",
    ),
    ("another name", "echo", _set("name", "other"), "must be the same", "directory name must equal"),
    ("a platform that it is not", "echo", _set("platform", "ensemble"), "an ensemble has none", "nsemble"),
    ("GPUs for a CPU", "echo", _group(gpus=[0]), "kind is KIND_CPU", "KIND_CPU but specifies"),
    ("GPUs for a model", "echo", _group(kind="KIND_MODEL", gpus=[0]), "kind is KIND_MODEL", "KIND_MODEL but specifies"),
    ("profile", "echo", _group(profile=["0"]), "TensorRT models only", "only supported for TensorRT"),
    ("latest 0", "echo", _policy(latest={"num_versions": 0}), "no version to serve", "at least one version"),
    ("no specific version", "echo", _policy(specific={}), "no version to serve", "at least one version"),
    ("dims 0", "echo", _tensor(dims=[0]), "nor -1", "must be integer >= 1"),
    ("dims -2", "echo", _tensor(dims=[-2]), "nor -1", "must be integer >= 1"),
    ("no dims", "echo", _tensor(dims=None), "dims: is not set", "must specify 'dims'"),
    ("no data type", "echo", _set("input.0.data_type", 0), "data_type: is not set", "must specify 'data_type'"),
    ("tensor without a name", "echo", _set("input.0.name", ""), "has no name", "must specify 'name'"),
    ("cache of sequences", "counted", _set("response_cache.enable", True), "sequence batching", "sequence batching"),
    ("cache of streams", "stream", _set("response_cache.enable", True), "decoupled model", "decoupled"),
    (
        "oldest above max",
        "counted",
        _sequences(oldest={"max_candidate_sequences": 4, "preferred_batch_size": [9]}),
        "above max_batch_size 8",
        "<= max batch size",
    ),
    (
        "slot utilisation",
        "counted",
        _sequences(direct={"minimum_slot_utilization": 2.0}),
        "must be 0 to 1",
        "minimum slot utilization",
    ),
)


def _is_named(case: Any) -> str:
    return str(case[0]) if isinstance(case, tuple) else ""


def test_every_rule_is_the_servers_own_and_a_breach_costs_no_request(stage: Stage) -> None:
    """One server and one traffic for all: each case must leave everything as it was."""

    async def scenario() -> None:
        async with stage.clients("echo") as clients:
            for name, model, change, ours, theirs in REFUSED:
                before = await config_of(stage.endpoint, model)
                wanted = await config_of(stage.endpoint, model)
                change(wanted)
                said = " ".join(str(problem) for problem in problems_of(wanted, model=model))
                assert ours in said, f"{name}: tritop said {said!r}"
                reason = ReasonInLog(stage.log, model)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await load(stage.endpoint, model, wanted)
                answer = caught.value.details() or ""
                found = await reason.find() if "failed to poll" in answer else answer
                assert theirs in found, f"{name}: the server said {answer!r}, its log {found!r}"
                assert await stage.ready(model) == (1,), name
                assert await config_of(stage.endpoint, model) == before, name
            await clients.some()
            assert clients.errors == {}

    stage.triton.run(scenario())


ACCEPTED: tuple[tuple[str, Callable[[Any], None]], ...] = (
    (
        "DELAY in order, without a time-out",
        _batching(preserve_ordering=True, default_queue_policy={"timeout_action": 1}),
    ),
    ("a default level without levels", _batching(default_priority_level=3)),
    ("a policy for a level without levels", _batching(priority_queue_policy={"5": DELAY})),
    ("a cache that the server does not have", _set("response_cache.enable", True)),
    ("no name", _set("name", "")),
    ("no backend, with a file that names it", _set("backend", "")),
    ("a count of 0", _group(count=0)),
    ("a count of -1", _group(count=-1)),
    ("versions of which one is missing", _policy(specific={"versions": [1, 9]})),
)


@pytest.mark.parametrize("case", ACCEPTED, ids=_is_named)
def test_what_is_not_called_wrong_is_accepted(stage: Stage, case: tuple[str, Callable[[Any], None]]) -> None:
    async def scenario() -> None:
        before = await config_of(stage.endpoint, "echo")
        wanted = await config_of(stage.endpoint, "echo")
        case[1](wanted)
        assert problems_of(wanted, model="echo") == ()
        await load(stage.endpoint, "echo", wanted)
        assert await stage.ready("echo") == (1,)
        await load(stage.endpoint, "echo", before)

    stage.triton.run(scenario())


TEXTS = (
    ("malformed JSON", '{"max_batch_size": ', "cannot be read"),
    ("a list", "[]", "cannot be read"),
    ("an unknown field", '{"nosuch": 1}', "nosuch"),
    ("a nested unknown field", '{"dynamic_batching": {"nosuch": 1}}', "nosuch"),
    ("half a microsecond", '{"dynamic_batching": {"max_queue_delay_microseconds": 1.5}}', "cannot be read"),
    ("a delay of -5", '{"dynamic_batching": {"max_queue_delay_microseconds": -5}}', "cannot be read"),
    ("an unknown kind", '{"instance_group": [{"kind": "KIND_FOO"}]}', "KIND_FOO"),
)


async def _load_text(stage: Stage, text: str) -> None:
    """What a client does that checks nothing."""
    request = service_pb2.RepositoryModelLoadRequest(model_name="echo")
    request.parameters["config"].string_param = text
    await call(stage.endpoint, "RepositoryModelLoad", request)


@pytest.mark.parametrize("case", TEXTS, ids=_is_named)
def test_a_text_that_is_no_configuration_is_refused_by_both(stage: Stage, case: tuple[str, str, str]) -> None:
    _, text, ours = case

    async def scenario() -> None:
        before = await config_of(stage.endpoint, "echo")
        async with stage.clients("echo") as clients:
            with pytest.raises(OperationFailed, match=ours):
                await stage.edit("echo", pbtxt=text)
            with pytest.raises(grpc.aio.AioRpcError):
                await _load_text(stage, text)
            await clients.some()
            assert clients.errors == {}
        assert await stage.ready("echo") == (1,)
        assert await config_of(stage.endpoint, "echo") == before

    stage.triton.run(scenario())


def test_what_the_server_takes_though_no_request_can_be_served_then_is_not_sent(stage: Stage) -> None:
    """Triton takes a configuration without inputs, and each request fails from then on."""

    async def scenario() -> None:
        without_inputs = await stage.current("echo")
        del without_inputs.input[:]
        async with stage.clients("echo") as clients:
            for text, lost in (
                ('{"backend": "python"}', "max_batch_size, input, output"),
                (json_format.MessageToJson(without_inputs), "input"),
            ):
                with pytest.raises(OperationFailed, match=f"would lose {lost}"):
                    await stage.edit("echo", pbtxt=text)
            await clients.some()
            assert clients.errors == {}
        assert (await stage.current("echo")).input

    stage.triton.run(scenario())


def test_an_empty_configuration_asks_for_each_field_by_name(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("echo") as clients:
            with pytest.raises(grpc.aio.AioRpcError):
                await _load_text(stage, "")  # The server refuses no text at all, and takes `{}`.
            for text in ("", "{}"):
                preview = await stage.preview(EditConfig("s", "echo", ConfigEdit(pbtxt=text)))
                assert {"max_batch_size", "input", "output", "dynamic_batching", "ensemble whole"} <= set(
                    preview.lost_fields
                )
                with pytest.raises(OperationFailed, match="would lose max_batch_size, input, output"):
                    await stage.edit("echo", pbtxt=text)
            with pytest.raises(OperationFailed, match="would lose input, output"):
                await stage.edit("echo", pbtxt="{}", losses=("max_batch_size", "dynamic_batching", "instance_group"))
            await clients.some()
            assert clients.errors == {}
        assert (await stage.current("echo")).max_batch_size == 8

    stage.triton.run(scenario())


def test_a_refusal_that_no_rule_foresees_has_the_servers_reason(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("echo") as clients:
            config = await stage.current("echo")
            config.backend = "nosuch"
            text = json_format.MessageToJson(config)
            with pytest.raises(OperationFailed, match=r"unable to find backend library.*'nosuch'.*as it was"):
                await stage.edit("echo", pbtxt=text)
            await clients.some()
            assert clients.errors == {}

    stage.triton.run(scenario())


def test_the_first_edit_is_expected_to_take_what_the_last_load_took(stage: Stage) -> None:
    """2.51 has no metric of it: the log says when a load began and when it was done."""

    async def scenario() -> None:
        config = await stage.current("echo")
        config.parameters["initialize_s"].string_value = "1"
        await load(stage.endpoint, "echo", config)
        for reads_log in (True, False):
            control = stage.new_control(reads_log=reads_log)
            preview = await control.preview(EditConfig("s", "echo", ConfigEdit(max_queue_delay_us=4321)))
            in_place = await control.preview(EditConfig("s", "echo", ConfigEdit(instance_count=2)))
            await control.aclose()
            assert in_place.expected_s is None
            assert (preview.expected_s is not None) is reads_log
            assert preview.expected_s is None or 1.0 < preview.expected_s < 60.0
        del config.parameters["initialize_s"]
        await load(stage.endpoint, "echo", config)

    stage.triton.run(scenario())


def test_the_reason_in_the_log_is_found_and_without_a_log_that_is_said(stage: Stage) -> None:
    async def scenario() -> None:
        config = await stage.current("counted")
        config.sequence_batching.control_input[0].control[0].int32_false_true.append(7)
        change = EditConfig("s", "counted", ConfigEdit(pbtxt=json_format.MessageToJson(config)))
        with pytest.raises(OperationFailed, match=r"must have exactly 2 entries.*goes on as it was"):
            await stage.perform(change)
        blind = stage.new_control(reads_log=False)
        try:
            with pytest.raises(OperationFailed, match="only in the server's log"):
                await blind.perform(change, lambda text: None)
        finally:
            await blind.aclose()

    stage.triton.run(scenario())


@pytest.mark.parametrize("with_log", [True, False])
def test_a_model_that_raises_says_so_and_the_former_one_serves_on(stage: Stage, with_log: bool) -> None:
    async def scenario() -> None:
        control = stage.new_control(reads_log=with_log)
        async with stage.clients("echo") as clients:
            config = await stage.current("echo")
            config.parameters["fail"].string_value = "no"
            change = EditConfig("s", "echo", ConfigEdit(pbtxt=json_format.MessageToJson(config)))
            with pytest.raises(OperationFailed, match=r"RuntimeError: the model says no.*goes on as it was"):
                await control.perform(change, lambda text: None)
            await clients.some()
            assert clients.errors == {}
        await control.aclose()

    stage.triton.run(scenario())


def test_a_gpu_is_refused_with_the_reason_where_none_is_known(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("twin") as clients:
            with pytest.raises(OperationFailed, match=r"KIND_GPU but no GPUs are available.*goes on as it was"):
                await stage.edit("twin", instance_groups=(InstanceGroup("", "KIND_GPU", 1),))
            await clients.some()
            assert clients.errors == {}
        assert await stage.ready("twin") == (1, 2, 3)
        assert (await stage.current("twin")).instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU

    stage.triton.run(scenario())


def test_a_missing_version_is_refused_and_the_policy_stays(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.clients("twin") as clients:
            with pytest.raises(OperationFailed, match="at least one version must be available"):
                await stage.perform(SetVersions("s", "twin", VersionChoice(specific=(9,))))
            await clients.some()
            assert clients.errors == {}
        assert await stage.ready("twin") == (1, 2, 3)
        assert (await stage.current("twin")).version_policy.WhichOneof("policy_choice") == "all"

    stage.triton.run(scenario())


def test_what_a_config_loses_in_json_is_what_the_server_would_drop(stage: Stage) -> None:
    """GET, through JSON, back: the server sees no difference, and neither does tritop."""

    async def scenario() -> None:
        for model in ("echo", "twin", "counted", "stream", "whole"):
            config = await stage.current(model)
            text = json.dumps(json_format.MessageToDict(config))
            preview = await stage.preview(EditConfig("s", model, ConfigEdit(pbtxt=text)))
            assert (preview.change, preview.diff, preview.lost_fields) == (ChangeClass.NOTHING, (), ()), model
            file = (stage.repository / model / "config.pbtxt").read_text()
            assert (await stage.preview(EditConfig("s", model, ConfigEdit(pbtxt=file)))).lost_fields == (), model

    stage.triton.run(scenario())
