"""`tritop doctor` and `tritop logs` on a real engine, with a real Triton image."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.triton_image import provide_image
from tritop.cli import main as tritop
from tritop.doctor import Check, CheckState, Request, examine
from tritop.doctor.engine import ask_engine
from tritop.doctor.gpu_test import LABEL, Inside, run_gpu_test
from tritop.errors import RuntimeFailure
from tritop.runtimes.docker_client import engine_address, open_client

pytestmark = pytest.mark.engine
MISSING = "tritop-test/not-there:1"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    try:
        client = open_client(engine_address(os.environ), timeout_s=60.0)
    except RuntimeFailure as failure:
        if os.environ.get("TRITOP_TEST_ALL") == "1":
            raise
        pytest.skip(f"no engine: {failure}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(client: Any) -> str:
    return provide_image(client)


@pytest.fixture
def run_container(client: Any, image: str) -> Iterator[Callable[[str], Any]]:
    """Run a shell script in a container that looks like Triton's."""
    containers: list[Any] = []

    def run(script: str) -> Any:
        name = f"tritop-test-{uuid.uuid4().hex[:8]}"
        containers.append(client.containers.create(image, ["bash", "-c", script], name=name, init=True))
        containers[-1].start()
        return containers[-1]

    try:
        yield run
    finally:
        for container in containers:
            container.remove(force=True)


def of(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_the_engine_and_an_image_that_is_there(image: str) -> None:
    checks = list(examine(Request(image)))
    assert of(checks, "engine").state is CheckState.OK
    assert of(checks, "image").sentence.startswith(f"{image} is there (0.2 GB)")
    assert ask_engine(image).environment["TRITON_SERVER_VERSION"] == "2.51.0"


def test_an_image_that_is_not_there_is_held_against_the_disk(image: str) -> None:
    check = of(list(examine(Request(MISSING))), "image")
    assert "is not there yet" in check.sentence
    assert ask_engine(MISSING).image_bytes is None


def test_the_gpu_test_tells_what_a_container_sees_and_leaves_nothing(client: Any, image: str) -> None:
    checks = [check for check in examine(Request(image, gpu_test_image=image)) if check.name == "gpu test"]
    if "nvidia" in client.info()["Runtimes"]:
        assert any("CUDA" in check.sentence for check in checks)
    else:
        assert [check.state for check in checks] == [CheckState.FAILED]
        assert "cannot give a container GPUs" in checks[0].sentence
        assert "nvidia-ctk" in checks[0].mend
    assert client.containers.list(all=True, filters={"label": LABEL}) == []


def test_without_gpus_the_backends_are_told_all_the_same(client: Any, image: str) -> None:
    inside = run_gpu_test(image, gpus=False)
    assert isinstance(inside, Inside)
    assert (inside.how, inside.names, inside.backends) == ("libcuda", (), frozenset({"python"}))
    assert "libcuda.so.1" in inside.fault
    assert client.containers.list(all=True, filters={"label": LABEL}) == []


def test_the_gpu_test_pulls_nothing() -> None:
    check = run_gpu_test(MISSING)
    assert isinstance(check, Check)
    assert (check.state, check.mend) == (CheckState.FAILED, f"docker pull {MISSING}")


LOGGING = r"""
exec >&2
echo 'I1123 01:00:10.832808 7 model_lifecycle.cc:472] "loading: matrix:1"'
echo 'E1123 01:00:11.832808 7 model_lifecycle.cc:642] "failed to load: no\n\nAt:\n  /models/m/1/model.py(16): initialize\n"'
printf '\033[31mred\033[0m %020000d\n' 7
sleep 100
"""  # noqa: E501  lines of a log are long


def test_the_log_of_a_container(run_container: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    container = run_container(LOGGING)
    lines: list[str] = []
    while len(lines) < 6:
        assert tritop(["logs", container.name]) == 0
        lines = capsys.readouterr().out.splitlines()
    assert "E 7 model_lifecycle.cc:642] failed to load: no" in lines[1]
    assert lines[4] == "  /models/m/1/model.py(16): initialize"
    assert lines[5].startswith("red 000")
    assert "more characters" in lines[5], "a line that the engine cut at 16 KiB is whole again"
    assert tritop(["logs", container.name, "--model", "matrix"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[:1]


def test_an_unknown_container(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tritop(["logs", "nobody-here"]) == 2
    assert "no server of this host is called 'nobody-here'" in capsys.readouterr().err
