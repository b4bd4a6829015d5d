"""A `config.pbtxt` is changed where it must be and nowhere else, however it is written."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tritop.control.pbtxt_writer import UnusualWriter, changed, random_config
from tritop.change import ConfigEdit, VersionChoice
from tritop.control.edit import apply_edit, parse_config
from tritop.control.pbtxt import edit_pbtxt
from tritop.control.pbtxt_tree import CannotEdit, parse_tree
from tritop.protocol import model_config_pb2

ModelConfig = model_config_pb2.ModelConfig


def edited(text: str, edit: ConfigEdit) -> str:
    return edit_pbtxt(text, apply_edit(parse_config(text), edit))


def lines_of_other_fields(text: str, owners: list[str], touched: set[str]) -> list[str]:
    """The lines that no touched field has a character on."""
    kept, at = [], 0
    for line in text.splitlines(keepends=True):
        if not touched & set(owners[at : at + len(line)]):
            kept.append(line.rstrip("\r\n"))
        at += len(line)
    return kept


def is_subsequence(wanted: list[str], lines: list[str]) -> bool:
    rest = iter(lines)
    return all(any(line == one for one in rest) for line in wanted)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_any_change_of_any_text_is_exactly_that_change(seed: int) -> None:
    random = Random(seed)
    config = random_config(random)
    writer = UnusualWriter(random)
    text = writer.write(config)
    assert text_format.Parse(text, ModelConfig()) == config, "the writer wrote another configuration"
    wanted = changed(config, random)
    result = edit_pbtxt(text, wanted)
    assert text_format.Parse(result, ModelConfig()) == wanted
    tree = parse_tree(result)
    comments = Counter(result[start:end].rstrip() for start, end in tree.comments)
    assert comments == Counter(comment.rstrip() for comment in writer.comments)
    touched = {
        field.name
        for field in config.DESCRIPTOR.fields
        if getattr(config, field.name) != getattr(wanted, field.name)
        or (field.has_presence and config.HasField(field.name) != wanted.HasField(field.name))
    }
    untouched = lines_of_other_fields(text, writer.owners, touched)
    assert is_subsequence(untouched, [line.rstrip("\r\n") for line in result.splitlines(keepends=True)])
    if not touched:
        assert result == text


@settings(max_examples=300)
@given(st.text(alphabet="ab:{}<>[];,#\"'\\\n\t 0129.-_x", max_size=60))
def test_what_protobuf_reads_is_understood_the_same_way_or_refused(text: str) -> None:
    """Our reading may refuse more than protobuf does; it must never accept what protobuf refuses."""
    try:
        tree = parse_tree(text)
    except CannotEdit:
        return
    assert all(text[field.start :].startswith(field.name) for field in tree.root.fields)


TUNED = """\
# tuned by ada, 2026-03-01
name: "ranker"   # the name
max_batch_size: 8

dynamic_batching {
    # for the evening
    preferred_batch_size: [ 4, 8 ]   # measured
    max_queue_delay_microseconds: 100
}
instance_group [ { kind: KIND_CPU, count: 1 } ]
parameters: { key: "A" value: { string_value: "1" } }
"""


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (ConfigEdit(max_batch_size=16), "max_batch_size: 8\n", "max_batch_size: 16\n"),
        (ConfigEdit(max_queue_delay_us=2000), "microseconds: 100\n", "microseconds: 2000\n"),
        (ConfigEdit(preferred_batch_sizes=(4,)), "[ 4, 8 ]", "[ 4 ]"),
        (ConfigEdit(preferred_batch_sizes=(2, 4, 8)), "[ 4, 8 ]", "[ 2, 4, 8 ]"),
        (
            ConfigEdit(preserve_ordering=True),
            "    max_queue_delay_microseconds: 100\n",
            "    max_queue_delay_microseconds: 100\n    preserve_ordering: true\n",
        ),
        (ConfigEdit(instance_count=2), "count: 1 }", "count: 2 }"),
        (
            ConfigEdit(versions=VersionChoice(specific=(1, 3))),
            'value: { string_value: "1" } }\n',
            'value: { string_value: "1" } }\nversion_policy {\n  specific {\n    versions: [1, 3]\n  }\n}\n',
        ),
        (
            ConfigEdit(batching=False),
            "dynamic_batching {\n    # for the evening\n    preferred_batch_size: [ 4, 8 ]   # measured\n"
            "    max_queue_delay_microseconds: 100\n}\n",
            "# for the evening\n# measured\n",
        ),
    ],
)
def test_an_edit_changes_its_own_characters_only(edit: ConfigEdit, before: str, after: str) -> None:
    assert TUNED.count(before) == 1
    assert edited(TUNED, edit) == TUNED.replace(before, after)


@pytest.mark.parametrize(
    ("text", "edit", "result"),
    [
        ("max_batch_size:8,dynamic_batching{}", ConfigEdit(max_queue_delay_us=5), None),
        ("", ConfigEdit(max_batch_size=4), "max_batch_size: 4\n"),
        ("# only a comment", ConfigEdit(max_batch_size=4), "# only a comment\nmax_batch_size: 4\n"),
        ('name: "m"', ConfigEdit(max_batch_size=4), 'name: "m"\nmax_batch_size: 4'),
        ("name: 'm'\r\n", ConfigEdit(max_batch_size=4), "name: 'm'\r\nmax_batch_size: 4\r\n"),
        ("version_policy { all {} }", ConfigEdit(versions=VersionChoice(latest=2)), None),
        ("dynamic_batching { # off\n}", ConfigEdit(max_queue_delay_us=5), None),
        ("\tmax_batch_size\t:\t8\t;", ConfigEdit(max_batch_size=9), "\tmax_batch_size\t:\t9\t;"),
    ],
)
def test_odd_texts(text: str, edit: ConfigEdit, result: str | None) -> None:
    found = edited(text, edit)
    assert parse_config(found) == apply_edit(parse_config(text), edit)
    if result is not None:
        assert found == result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_batch_size: 8 }", "line 1"),
        ("max_batch_size 8", "line 1"),
        ("\n\nname: 'm\n'", "line 3"),
        ("nonsense: 1", "nonsense"),
        ("max_batch_size: 8 max_batch_size: 9", "max_batch_size"),
        ("input [ { name: 'A' ]", "line 1"),
        ("[some.extension]: 1", "line 1"),
        ("parameters { key: 'a' } parameters { key: 'a' }", "twice"),
        ("\ufeffname: 'm'", "line 1"),
        ("dynamic_batching {" * 200, "100 deep"),
        ("max_batch_size: \x00", "line 1"),
    ],
)
def test_what_cannot_be_changed_for_certain_is_refused_with_the_place(text: str, reason: str) -> None:
    wanted = ModelConfig(max_batch_size=3)
    wanted.parameters["b"].string_value = "new"
    with pytest.raises(CannotEdit, match=reason):
        edit_pbtxt(text, wanted)
