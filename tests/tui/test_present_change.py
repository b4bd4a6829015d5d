"""The form of the editor as values, the lines of a preview, and the command that does the same."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.samples import sample_snapshot
from tritop.change import ChangeClass, ConfigEdit, FieldChange, Preview, Problem, QueuePolicyEdit
from tritop.cli.arguments import parse
from tritop.cli.commands.batching import _edit
from tritop.model import InstanceGroup, ModelConfig, Scheduling, Server
from tritop.trial import DEFAULT_RAILS, Rails
from tritop.units import parse_us
from tui.present.change import batching_options, command_of, preview_lines, serving_lines
from tui.present.config_text import escaped, line_of
from tui.present.edit_fields import ON, draft_of, exact_us, fields_of, locked_reason, values_of
from tui.present.look import Look
from tui.present.trial_terms import TrialTerms, term_values, terms_of
from tui.widgets.text_lines import text_of

LOOK = Look()
SERVER = Server("demo", "127.0.0.1:8001")
UINT32 = 2**32 - 1
INT32 = 2**31 - 1
DELAYS = st.integers(0, 2**40)
SIZES = st.lists(st.integers(1, 512), max_size=4).map(tuple)

configs = st.builds(
    ModelConfig,
    max_batch_size=st.integers(0, 512),
    scheduling=st.sampled_from(Scheduling),
    preferred_batch_sizes=SIZES,
    max_queue_delay_us=DELAYS,
    max_queue_size=st.integers(0, UINT32),
    default_timeout_us=DELAYS,
    timeout_action=st.sampled_from(("REJECT", "DELAY")),
    allow_timeout_override=st.booleans(),
    preserve_ordering=st.booleans(),
    response_cache=st.booleans(),
    instance_groups=st.lists(
        st.builds(InstanceGroup, st.text(max_size=8), st.just("KIND_CPU"), st.integers(1, 9)), max_size=3
    ).map(tuple),
)
edits = st.builds(
    ConfigEdit,
    batching=st.sampled_from((None, True)),
    max_batch_size=st.none() | st.integers(0, INT32),
    preferred_batch_sizes=st.none() | SIZES,
    max_queue_delay_us=st.none() | DELAYS,
    preserve_ordering=st.none() | st.booleans(),
    priority_levels=st.none() | st.integers(0, 9),
    default_priority_level=st.none() | st.integers(0, 9),
    queue_policy=st.none()
    | st.builds(
        QueuePolicyEdit,
        timeout_action=st.sampled_from((None, "REJECT", "DELAY")),
        default_timeout_us=st.none() | DELAYS,
        allow_timeout_override=st.none() | st.booleans(),
        max_queue_size=st.none() | st.integers(0, UINT32),
    ).filter(lambda policy: policy != QueuePolicyEdit()),
)


def shown(preview: Preview, width: int = 100) -> str:
    return "\n".join(text_of(line) for line in preview_lines(preview, width, LOOK))


@given(st.integers(0, 2**62))
def test_a_duration_is_written_exactly(us: int) -> None:
    assert parse_us(exact_us(us), "it") == us


@given(configs)
def test_untouched_fields_are_no_edit(config: ModelConfig) -> None:
    draft = draft_of(config, values_of(config), LOOK)
    assert draft.edit == ConfigEdit()
    assert set(draft.errors) <= {"preferred"}  # sizes above the largest batch, which no server runs


@given(configs)
def test_every_field_has_a_value_and_every_value_a_field(config: ModelConfig) -> None:
    assert {field.key for field in fields_of(config, LOOK)} == set(values_of(config))


@given(configs, st.dictionaries(st.sampled_from(sorted(values_of(ModelConfig()))), st.text(max_size=12)))
def test_whatever_is_typed_is_an_edit_or_an_error(config: ModelConfig, typed: dict[str, str]) -> None:
    draft = draft_of(config, {**values_of(config), **typed}, LOOK)
    assert all(key in values_of(config) or key in typed for key in draft.errors)
    assert draft.edit.pbtxt is None


def test_typed_values_become_the_edit_that_they_say() -> None:
    config = ModelConfig(max_batch_size=32, instance_groups=(InstanceGroup("m_0", "KIND_CPU", 1),))
    values = values_of(config) | {
        "batching": ON,
        "delay": "1.5ms",
        "max_batch": "64",
        "preferred": "8, 16 64",
        "timeout": "2s",
        "timeout_action": "DELAY",
        "instances_0": "3",
        "cache": ON,
    }
    draft = draft_of(config, values, LOOK)
    assert not draft.errors
    assert draft.edit == ConfigEdit(
        batching=True,
        max_batch_size=64,
        preferred_batch_sizes=(8, 16, 64),
        max_queue_delay_us=1500,
        queue_policy=QueuePolicyEdit(timeout_action="DELAY", default_timeout_us=2_000_000),
        instance_count=3,
        response_cache=True,
    )


GROUPS = (InstanceGroup("m_0", "KIND_CPU", 1), InstanceGroup("m_1", "KIND_GPU", 2, (0, 1)))


@pytest.mark.parametrize(
    ("groups", "typed", "wanted"),
    [
        (GROUPS[:1], {"kind_0": "GPU"}, (replace(GROUPS[0], kind="KIND_GPU"),)),
        (GROUPS[:1], {"kind_0": "GPU", "gpus_0": "1, 0"}, (replace(GROUPS[0], kind="KIND_GPU", gpus=(1, 0)),)),
        (GROUPS, {"instances_1": "3"}, (GROUPS[0], replace(GROUPS[1], count=3))),
        (GROUPS, {"gpus_1": "all"}, (GROUPS[0], replace(GROUPS[1], gpus=()))),
        # What runs on the CPU has no GPUs, so they go with the kind.
        (GROUPS, {"kind_1": "CPU"}, (GROUPS[0], replace(GROUPS[1], kind="KIND_CPU", gpus=()))),
    ],
)
def test_instances_are_placed(
    groups: tuple[InstanceGroup, ...], typed: dict[str, str], wanted: tuple[InstanceGroup, ...]
) -> None:
    config = ModelConfig(max_batch_size=8, instance_groups=groups)
    draft = draft_of(config, values_of(config) | typed, LOOK)
    assert not draft.errors
    assert draft.edit == ConfigEdit(instance_groups=wanted)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"gpus_0": "0"}, "not for KIND_CPU"),
        ({"kind_0": "GPU", "gpus_0": "0,0"}, "each once"),
        ({"kind_0": "GPU", "gpus_0": "first"}, "0,1"),
    ],
)
def test_gpus_that_cannot_be_meant_are_said_at_their_field(typed: dict[str, str], said: str) -> None:
    config = ModelConfig(max_batch_size=8, instance_groups=GROUPS[:1])
    errors = draft_of(config, values_of(config) | typed, LOOK).errors
    assert set(errors) == {"gpus_0"}
    assert said in errors["gpus_0"]


def test_turning_batching_off_is_all_that_is_sent_of_it() -> None:
    config = ModelConfig(max_batch_size=32, scheduling=Scheduling.DYNAMIC_BATCHING, max_queue_delay_us=1000)
    draft = draft_of(config, values_of(config) | {"batching": "off", "delay": "rubbish"}, LOOK)
    assert draft.edit == ConfigEdit(batching=False)
    assert not draft.errors


def test_rules_between_two_fields() -> None:
    config = ModelConfig(max_batch_size=32, scheduling=Scheduling.DYNAMIC_BATCHING, preferred_batch_sizes=(8, 16))
    values = values_of(config)
    assert "above the max batch size 8" in draft_of(config, values | {"max_batch": "8"}, LOOK).errors["preferred"]
    assert "1 to 3" in draft_of(config, values | {"levels": "3"}, LOOK).errors["default_level"]
    assert not draft_of(config, values | {"levels": "3", "default_level": "2"}, LOOK).errors


def test_the_largest_size_is_no_preference() -> None:
    """Where none is preferred the server fills the largest in, and it follows the largest batch."""
    config = ModelConfig(max_batch_size=32, scheduling=Scheduling.DYNAMIC_BATCHING, preferred_batch_sizes=(32,))
    assert values_of(config)["preferred"] == "none"
    assert not draft_of(config, values_of(config) | {"max_batch": "8"}, LOOK).errors


def test_locks_say_why() -> None:
    decoupled = ModelConfig(decoupled=True)
    reasons = {field.key: locked_reason(field, decoupled) for field in fields_of(decoupled, LOOK)}
    assert {key for key, reason in reasons.items() if reason} == {"cache"}


@given(edits)
def test_the_command_means_the_same_edit(edit: ConfigEdit) -> None:
    words = ["batching", "set", "a model", *batching_options(edit)]
    assert _edit(parse(words)[1]) == edit


def test_the_command_is_quoted() -> None:
    text = command_of(SERVER, "a'b c", ConfigEdit(max_queue_delay_us=0, instance_count=2), "")
    first, second = text.split(" && ")
    assert shlex.split(first) == [
        "tritop",
        "batching",
        "set",
        "a'b c",
        "-u",
        "127.0.0.1:8001",
        "--max-queue-delay",
        "0",
    ]
    assert shlex.split(second) == ["tritop", "instances", "a'b c", "2", "-u", "127.0.0.1:8001"]


def test_what_has_no_option_is_copied_whole() -> None:
    text = command_of(SERVER, "m", ConfigEdit(response_cache=True), 'name: "m"\nresponse_cache {\n}\n')
    assert text.startswith("tritop load m -u 127.0.0.1:8001 --yes --config - <<'END_OF_CONFIG'\n")
    assert text.endswith("response_cache {\n}\nEND_OF_CONFIG")


def test_a_preview_says_the_most_grave_first() -> None:
    preview = Preview(
        "demo",
        "m",
        ChangeClass.FULL_RELOAD,
        diff=(FieldChange("max_batch_size", "32", "64"), FieldChange("response_cache.enable", "true", "")),
        warnings=("the ensemble pipeline goes down",),
        lost_fields=("input",),
        expected_s=1.45,
        memory_needed_bytes=4 * 2**30,
        memory_free_bytes=2**30,
        resets=("statistics",),
        dependents=("pipeline",),
    )
    lines = shown(preview).splitlines()
    assert lines[0] == "full reload · about 1.4 s"
    assert [line.split()[0] for line in lines[1:]] == [
        "lost", "note", "max_batch_size", "response_cache.enable", "memory", "starts", "called",
    ]  # fmt: skip
    assert "32 → 64" in shown(preview)
    assert "true → (not set)" in shown(preview)
    assert "4.0 GiB until the swap, 1.0 GiB free" in shown(preview)


def test_a_preview_that_cannot_be_sent_says_only_why() -> None:
    problems = (Problem("dynamic_batching.preferred_batch_size", "64 is above max_batch_size 32."),)
    text = shown(Preview("demo", "m", ChangeClass.NOTHING, problems=problems, refusal="read-only"))
    assert text.startswith("✖ will not be sent")
    assert "64 is above" in text
    assert "read-only" in text


@given(st.text(), st.text(), st.text(), st.integers(20, 120))
def test_a_hostile_preview_reaches_no_terminal(one: str, two: str, three: str, width: int) -> None:
    preview = Preview(
        "demo",
        one,
        ChangeClass.IN_PLACE,
        diff=(FieldChange(one, two, three),),
        warnings=(one, two),
        lost_fields=(three,),
        problems=(Problem(one, two),),
        refusal=three,
        resets=(one,),
        dependents=(two,),
    )
    for line in preview_lines(preview, width, LOOK):
        assert text_of(line).isprintable()


def test_what_an_unload_would_cut_off() -> None:
    snapshot = sample_snapshot(1)
    text = "\n".join(
        text_of(line) for line in serving_lines(snapshot.servers[0], "matrix", snapshot.traffic, 100, LOOK)
    )
    assert "version 2: 15" in text
    assert "32 in flight" in text
    text = text_of(serving_lines(snapshot.servers[0], "ranker", (), 100, LOOK)[0])
    assert "not served" in text


def test_escapes_keep_a_configuration_the_same() -> None:
    from google.protobuf import text_format

    from tritop.protocol import model_config_pb2

    for text in ("x\u009b31m", "\u202eevil", "日本", "tab\there", "\x1b[2J"):
        message = model_config_pb2.ModelConfig(name=text)
        pbtxt = escaped(text_format.MessageToString(message, as_utf8=True))
        assert all(line.isprintable() for line in pbtxt.splitlines())
        assert text_format.Parse(pbtxt, model_config_pb2.ModelConfig()) == message


def test_a_problem_leads_to_its_line() -> None:
    text = 'name: "m"\nmax_batch_size: -1\ninstance_group [\n  { count: 2 }\n]\n'
    assert line_of(Problem("", "the configuration cannot be read: 4:5 : expected a name"), text) == 3
    assert line_of(Problem("", "Failed to parse: line 2 column 3"), text) == 1
    assert line_of(Problem("max_batch_size", "is -1"), text) == 1
    assert line_of(Problem("instance_group[m_0].count", "is 0"), text) == 3
    assert line_of(Problem("", "no place"), text) is None


rails = st.builds(
    Rails,
    failure_ratio=st.none() | st.tuples(st.integers(1, 9), st.sampled_from((0.0, 0.01, 0.5))),
    queue_us=st.none() | st.tuples(st.integers(1, 9), st.integers(0, 10**7).map(float)),
    p99_us=st.none() | st.tuples(st.integers(1, 9), st.integers(0, 10**7).map(float)),
    client_errors_per_s=st.none() | st.tuples(st.integers(1, 9), st.sampled_from((0.0, 0.5, 20.0))),
    stalled_s=st.none() | st.integers(1, 600).map(float),
)


@given(rails, st.integers(1, 86_400))
def test_terms_are_read_as_they_are_written(one: Rails, trial_s: int) -> None:
    terms = TrialTerms(float(trial_s), one)
    assert terms_of(term_values(terms)) == (terms, {})


@given(st.dictionaries(st.sampled_from(sorted(term_values(TrialTerms()))), st.text(max_size=12)))
def test_whatever_is_typed_as_terms_is_read_or_an_error(typed: dict[str, str]) -> None:
    terms, errors = terms_of({**term_values(TrialTerms()), **typed})
    assert set(errors) <= set(typed)
    assert terms.trial_s >= 1.0


def test_the_default_terms_are_the_rails_default() -> None:
    assert terms_of(term_values(TrialTerms()))[0] == TrialTerms(30.0, DEFAULT_RAILS)
    assert "factor" in terms_of({"queue_us": "x0.5 + 2ms"})[1]["queue_us"]
    assert replace(DEFAULT_RAILS, queue_us=None) == terms_of({"queue_us": "off"})[0].rails
