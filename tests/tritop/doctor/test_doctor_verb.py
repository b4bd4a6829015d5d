"""`tritop doctor` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tritop.cli import main as tritop
from tritop.demo.repository import write_repository


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")


def test_without_an_engine_it_fails_and_says_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert tritop(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed   engine       there is no Docker engine at unix://")
    assert "sudo systemctl start docker" in lines[1]
    assert any(" shm " in line for line in lines), "the rest is looked at all the same"


def test_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_repository(tmp_path / "models")
    assert tritop(["doctor", str(tmp_path / "models"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is False
    checks = {check["name"]: check for check in document["checks"]}
    assert {"engine", "driver", "ports", "shm", "embedded", "terminal", "repository", "backends"} <= set(checks)
    assert checks["engine"]["state"] == "failed"
    assert checks["repository"] == {
        "name": "repository",
        "state": "ok",
        "sentence": f"5 of 5 models in {tmp_path / 'models'} are laid out as Triton expects.",
        "mend": None,
    }


def test_the_gpu_test_without_an_engine_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert tritop(["doctor", "--gpu-test", "mine", "--json"]) == 1
    names = [check["name"] for check in json.loads(capsys.readouterr().out)["checks"] if check["state"] == "failed"]
    assert names.count("gpu test") == 1


def test_a_port_out_of_range_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert tritop(["doctor", "--port", "65535"]) == 2
    assert "cannot be the first of three ports" in capsys.readouterr().err


def test_an_engine_behind_ssh_is_refused_with_the_way_to_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://gpu-box")
    assert tritop(["doctor"]) == 1
    assert "ssh -t gpu-box tritop" in capsys.readouterr().out
