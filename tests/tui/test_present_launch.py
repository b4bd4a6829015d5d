"""The form for a new server: what the typed texts come to, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.changing_session import FakeChangingSession, launch_of
from tests.tui.samples import HOSTILE_NAMES, sample_snapshot
from tritop.operation import LaunchPreview, PreviewLaunch
from tritop.server_spec import DEFAULT_IMAGE, ServerSpec
from tritop.settings import LaunchProfile, Settings
from tui.asking import Question
from tui.desk import Desk
from tui.present.launch_fields import LAUNCH_FIELDS, LaunchDraft, Places, launch_draft, launch_values, profile_values
from tui.present.launch_page import launch_answer_lines, launch_heading, launch_note
from tui.present.look import Look
from tui.widgets.lines import Line

LOOK = Look()
PLACES = Places("/work", "/home/ada")
BLANK = launch_values(sample_snapshot())


def drafted(**typed: str) -> LaunchDraft:
    return launch_draft(BLANK | {"repository": "models"} | typed, PLACES)


def spec_of(**typed: str) -> ServerSpec:
    draft = drafted(**typed)
    assert draft.spec is not None, draft.errors
    return draft.spec


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def asked(draft: LaunchDraft, answer: LaunchPreview | None = None) -> Question:
    """A question about what is typed, answered at once; without an answer it waits for one."""
    assert draft.spec is not None
    if answer is None:
        return Question(Desk(FakeChangingSession(), Settings()))
    session = FakeChangingSession(launch=lambda question: answer)
    desk = Desk(session, Settings())
    session.start(desk.receive)
    question = Question(desk)
    question.ask(PreviewLaunch(draft.spec))
    return question


def test_a_folder_is_enough() -> None:
    assert spec_of() == ServerSpec("models", image=DEFAULT_IMAGE, repository="/work/models")


def test_gpus_are_asked_for_where_this_host_has_some() -> None:
    assert BLANK["gpus"] == "none"
    assert launch_values(sample_snapshot(gpus=1))["gpus"] == "all"
    far = sample_snapshot(gpus=1)
    far = replace(far, gpus=tuple(replace(gpu, origin="triton") for gpu in far.gpus))
    assert launch_values(far)["gpus"] == "none"


def test_every_field_goes_into_the_spec() -> None:
    spec = spec_of(
        repository="~/models/prod/", image="triton:mine", name="prod-2", gpus="0,GPU-6f2c", port="9000", shm="2g",
        memory="1.5GiB", environment="HF_TOKEN, AWS_REGION", arguments="--log-verbose=1 --cache-config 'local,size=1'",
    )  # fmt: skip
    assert spec == ServerSpec(
        "prod-2",
        image="triton:mine",
        repository="/home/ada/models/prod",
        gpus=("0", "GPU-6f2c"),
        base_port=9000,
        shm_bytes=2 << 30,
        memory_bytes=3 << 29,
        environment=("HF_TOKEN", "AWS_REGION"),
        arguments=("--log-verbose=1", "--cache-config", "local,size=1"),
    )


def test_a_repository_may_be_named_by_an_argument_instead() -> None:
    spec = spec_of(repository="", arguments="--model-repository=s3://bucket/models")
    assert (spec.repository, spec.name) == ("", "triton")
    assert drafted(repository="").errors == {"repository": "Which models? Give their folder."}


def test_the_name_is_the_folders_where_it_can_be_one() -> None:
    assert spec_of(repository="/srv/my models!").name == "my-models"
    assert spec_of(repository="/").name == "triton"


@pytest.mark.parametrize(
    ("key", "text", "part"),
    [
        ("image", "two words", "Write it as"),
        ("name", "pröd", "Use letters"),
        ("gpus", "first", "all, none, 0,1"),
        ("port", "65534", "1 to 65533"),
        ("port", "http", "1 to 65533"),
        ("port", "9" * 400, "1 to 65533"),
        ("shm", "much", "512m"),
        ("memory", "0", "512m"),
        ("environment", "HF_TOKEN=secret", "Give only the name"),
        ("arguments", "--grpc-port=1", "--port BASE"),
        ("arguments", "'open", "quotation mark"),
        ("repository", "a\x1bb", "control characters"),
    ],
)
def test_what_cannot_be_used_is_told_beside_its_field(key: str, text: str, part: str) -> None:
    draft = drafted(**{key: text})
    assert draft.spec is None
    assert list(draft.errors) == [key]
    assert part in draft.errors[key]
    assert launch_note(key, draft) == (draft.errors[key], "error")
    assert "secret" not in draft.errors[key]


def test_every_field_says_what_it_is_for() -> None:
    for field in LAUNCH_FIELDS:
        assert launch_note(field.key, drafted())[0] == field.bounds
        assert len(field.bounds) <= 27, "beside the field at 80 cells"
        assert len(field.sentence) <= 2 * 78, "two lines at 80 cells"


def test_the_answer_is_the_command_with_what_stands_against_it() -> None:
    draft = drafted()
    assert draft.spec is not None
    command = launch_of(PreviewLaunch(draft.spec)).command
    answer = LaunchPreview(command, "tritop-models runs already.", ("the image is pulled first: 7.1 GiB.",))
    said = " ".join(text_of(launch_answer_lines(draft, asked(draft, answer), 76, LOOK)).split())
    assert said.startswith("in the way tritop-models runs already.")
    assert "note the image is pulled first: 7.1 GiB." in said
    assert command.replace(" ", "") in said.replace(" ", ""), "a long word of it is broken"


def test_what_is_wrong_is_told_instead_of_asking() -> None:
    draft = drafted(gpus="first", port="x")
    question = Question(Desk(FakeChangingSession(), Settings()))
    said = text_of(launch_answer_lines(draft, question, 76, LOOK))
    assert "GPUs" in said
    assert "base port" in said
    assert text_of(launch_answer_lines(drafted(), asked(drafted()), 76, LOOK)) == "asking the engine what it would do"


def test_the_heading_names_the_container() -> None:
    assert "container tritop-models" in text_of([launch_heading(drafted(), 80, LOOK)])
    assert text_of([launch_heading(drafted(port="x"), 30, LOOK)]).startswith("── new server ─")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_answer_of_an_engine_is_printable(name: str) -> None:
    answer = LaunchPreview(name or "x", name, (name,))
    for look in (LOOK, Look(ascii=True)):
        said = text_of(launch_answer_lines(drafted(), asked(drafted(), answer), 76, look))
        for line in said.splitlines():
            assert line.isprintable()
            assert not look.ascii or line.isascii()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "repository": st.just("/srv/models"),
            "image": st.just("triton:mine"),
            "gpus": st.sampled_from([(), ("all",), ("0", "1"), ("GPU-6f2c",)]),
            "base_port": st.integers(1024, 60000),
            "shm_bytes": st.integers(1, 1 << 40),
            "memory_bytes": st.integers(6 << 20, 1 << 40),
            "environment": st.just(("HF_TOKEN", "A")),
            "arguments": st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1)).map(
                lambda texts: tuple(f"--{text}" for text in texts)
            ),
        },
    )
)
def test_what_a_profile_puts_into_the_fields_is_read_as_the_same(fields: dict[str, object]) -> None:
    fields = {"name": "prod", "repository": "/m"} | {key: value for key, value in fields.items() if value != ()}
    draft = launch_draft(profile_values(LaunchProfile("prod", fields)), PLACES)
    if draft.spec is not None:
        assert {name: getattr(draft.spec, name) for name in fields} == fields
    else:
        assert set(draft.errors) <= {"arguments", "memory", "shm"}, "only what no server could be run with"
