"""ServerSpec, its command line, profiles, and what a user may and may not write."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.config.profile import fields_of_profile, launch_profiles
from tritop.errors import UsageError
from tritop.runtimes.repository_folder import models_in, repository_path
from tritop.server_spec import (
    Ports,
    ServerSpec,
    check_spec,
    docker_run_line,
    parse_gpus,
    parse_size,
    server_command,
    spec_document,
    spec_from_document,
)

SPEC = ServerSpec("demo", image="triton:1", repository="/data/models")
PORTS = Ports(9000, 9001, 9002)


def test_the_command_loads_all_models_and_can_be_steered() -> None:
    assert server_command(SPEC) == (
        "tritonserver",
        "--model-repository=/models",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--exit-on-error=false",
        "--exit-timeout-secs=30",
    )


def test_what_the_operator_gives_wins() -> None:
    given = ("--model-control-mode=poll", "--exit-on-error=true", "--model-repository=s3://bucket")
    command = server_command(replace(SPEC, arguments=given))
    assert command == ("tritonserver", "--exit-timeout-secs=30", *given)
    assert "--load-model=*" not in server_command(replace(SPEC, arguments=("--load-model=a",)))


def test_the_line_can_be_pasted_into_a_shell() -> None:
    spec = replace(SPEC, repository="/data/my models", gpus=("GPU-1", "GPU-2"), environment=("HF_TOKEN",))
    words = shlex.split(docker_run_line(spec, PORTS, "me@here"))
    assert words[words.index("--gpus") + 1] == '"device=GPU-1,GPU-2"'
    assert "type=bind,source=/data/my models,target=/models,readonly" in words
    assert words[words.index("--env") + 1] == "HF_TOKEN"
    assert "127.0.0.1:9001:8001" in words
    assert words[-7] == "triton:1"


@given(
    st.builds(
        ServerSpec,
        name=st.just("x"),
        image=st.text(min_size=1),
        repository=st.text(),
        gpus=st.lists(st.text()).map(tuple),
        base_port=st.none() | st.integers(1, 65533),
        memory_bytes=st.none() | st.integers(1),
        environment=st.lists(st.text()).map(tuple),
        arguments=st.lists(st.text()).map(tuple),
    )
)
def test_a_spec_survives_being_kept(spec: ServerSpec) -> None:
    kept = spec_from_document(json.loads(json.dumps(spec_document(spec))))
    assert kept == spec
    assert kept.digest == spec.digest


def test_another_spec_has_another_digest_and_raised_limits_do_not_count() -> None:
    assert SPEC.digest != replace(SPEC, memory_bytes=1 << 30).digest
    assert SPEC.digest == replace(SPEC, raise_limits=False).digest


@pytest.mark.parametrize(
    ("text", "expected"), [("512m", 512 << 20), ("1g", 1 << 30), ("1.5GiB", 3 << 29), ("64 k", 65536), ("123", 123)]
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1g", "0", "1x", "1e3", "nan", "1 g g"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all", ("all",)), ("none", ()), ("0", ("0",)), ("0, 1", ("0", "1")), ("GPU-ab-1,MIG-2", ("GPU-ab-1", "MIG-2"))],
)
def test_gpus(text: str, expected: tuple[str, ...]) -> None:
    assert parse_gpus(text) == expected


@pytest.mark.parametrize("text", ["", "some", "all,0", "-1", "GPU-", "0;1"])
def test_wrong_gpus(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gpus(text)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"name": ""},
        {"name": "-x"},
        {"image": ""},
        {"image": "a b"},
        {"base_port": 0},
        {"base_port": 65534},
        {"environment": ("A=secret",)},
        {"arguments": ("--grpc-port=1",)},
    ],
)
def test_what_no_engine_could_run_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError) as raised:
        check_spec(replace(SPEC, **change))  # type: ignore[arg-type]  # fields by name
    assert "secret" not in str(raised.value)


def test_repositories(tmp_path: Path) -> None:
    for name in ("a", "b", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "README").write_text("")
    assert repository_path(str(tmp_path)) == str(tmp_path.resolve())
    assert models_in(str(tmp_path)) == 2
    assert models_in(str(tmp_path / "nothing")) is None
    with pytest.raises(UsageError, match="not a folder"):
        repository_path(str(tmp_path / "README"))


def test_profiles() -> None:
    table = {"image": "i:1", "gpus": "0,1", "port": 8000, "shm_size": "2g", "env": ["A"], "args": ["--x"], "memory": 7}
    assert fields_of_profile("p", table, "file") == {
        "name": "p",
        "image": "i:1",
        "gpus": ("0", "1"),
        "base_port": 8000,
        "shm_bytes": 2 << 30,
        "environment": ("A",),
        "arguments": ("--x",),
        "memory_bytes": 7,
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"imag": "x"}, "there is no setting servers.p.imag"),
        ({"port": True}, "should be a number"),
        ({"env": "A"}, "should be a list of texts"),
        ({"gpus": "some"}, "servers.p.gpus"),
        ({"image": "\x1b[31m"}, "should be a text"),
    ],
)
def test_wrong_profiles(table: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fields_of_profile("p", table, "file")


def test_one_wrong_profile_leaves_the_others_for_the_form(tmp_path: Path) -> None:
    servers: dict[str, dict[str, object]] = {"wrong": {"imag": "x"}, "near": {"repository": "models", "memory": "1g"}}
    wrong, near = launch_profiles(servers, tmp_path / "tritop.toml")
    assert "servers.wrong.imag" in wrong.error
    assert near.error == ""
    assert near.fields == {"name": "near", "repository": str(tmp_path / "models"), "memory_bytes": 1 << 30}
