"""Model repositories that are sound, and every way in which they usually are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tritop.demo.repository import write_repository
from tritop.doctor.check import Check, CheckState
from tritop.doctor.repository import MODELS_TOLD, check_repository

PYTHON = 'backend: "python"\nmax_batch_size: 8\ninput [{ name: "X" data_type: TYPE_FP32 dims: [1] }]\noutput [{ name: "Y" data_type: TYPE_FP32 dims: [1] }]\n'  # noqa: E501  one configuration
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a model: `make(name, config, "1/model.py", ...)`; a name that ends in / is a folder."""

    def make_one(name: str, config: str | None, *files: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if config is not None:
            (folder / "config.pbtxt").write_text(config)
        for file in files:
            path = folder / file
            if file.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return folder

    return make_one


def look(folder: Path, backends: frozenset[str] | None = None) -> list[Check]:
    return list(check_repository(folder, backends))


def only_problem(folder: Path) -> Check:
    (check,) = [check for check in look(folder) if check.state is not CheckState.OK]
    return check


def test_the_demo_repository_is_sound(tmp_path: Path) -> None:
    write_repository(tmp_path)
    checks = look(tmp_path, frozenset({"python"}))
    assert {check.state for check in checks} == {CheckState.OK}
    assert [check.sentence for check in checks][-1] == "there: python."


def test_sound_models_of_many_kinds(make: Make, tmp_path: Path) -> None:
    make("one", PYTHON, "1/model.py", "3/model.py", "1/__pycache__/", "labels.txt")
    make("two", None, "1/model.onnx")
    make("three", 'platform: "tensorrt_plan"', "1/model.plan")
    make("four", 'backend: "python" default_model_filename: "other.py"', "1/other.py")
    make("five", 'backend: "custom"', "1/whatever")
    make("six", 'platform: "tensorflow_savedmodel"', "1/model.savedmodel/")
    make(
        "seven",
        'platform: "ensemble" max_batch_size: 0 input [{ name: "X" data_type: TYPE_FP32 dims: [1] }] '
        'output [{ name: "Y" data_type: TYPE_FP32 dims: [1] }] ensemble_scheduling { step [{ model_name: "one" '
        'model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } }] }',
        "1/",
    )
    (tmp_path / ".git").mkdir()
    checks = look(tmp_path)
    assert [check.sentence for check in checks if check.state is not CheckState.OK] == []
    assert "7 of 7 models" in checks[0].sentence
    assert "custom, onnxruntime, python, tensorflow, tensorrt" in checks[1].sentence


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        (PYTHON, (), "m: there is no folder of a version."),
        (PYTHON, ("1/",), "m: version 1 has no model.py."),
        (PYTHON, ("1/model.py", "2/model.onnx"), "m: version 2 has no model.py."),
        (PYTHON, ("1/model.py", "v2/model.py", "03/model.py"), "m: Triton ignores 03, v2"),
        (PYTHON.replace("max_batch_size", "max_batch_sise"), ("1/model.py",), "max_batch_sise"),
        ("backend: {", ("1/model.py",), "does not parse"),
        (f'name: "n"\n{PYTHON}', ("1/model.py",), "m: name is 'n'"),
        ("max_batch_size: 8", ("1/weights.bin",), "names no backend"),
        (None, ("1/weights.bin",), "there is no config.pbtxt, and no version has a model file of a default name"),
        (None, ("1/model.pt",), "there is no config.pbtxt, and pytorch models need one"),
        ('backend: "python" default_model_filename: "other.py"', ("1/model.py",), "version 1 has no other.py"),
    ],
)
def test_what_is_wrong_with_a_model(
    make: Make, tmp_path: Path, config: str | None, files: tuple[str, ...], said: str
) -> None:
    make("m", config, *files)
    check = only_problem(tmp_path)
    assert said in check.sentence
    assert check.mend or check.state is CheckState.WARNING


def test_a_configuration_that_is_no_text(make: Make, tmp_path: Path) -> None:
    (make("m", None, "1/model.py") / "config.pbtxt").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in only_problem(tmp_path).sentence


def test_a_model_given_in_place_of_its_repository(make: Make, tmp_path: Path) -> None:
    check = only_problem(make("m", PYTHON, "1/model.py"))
    assert "is a model itself" in check.sentence
    assert check.mend == f"tritop doctor {tmp_path}"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, "there is no"),
        (lambda folder: folder.touch(), "is a file"),
        (lambda folder: folder.mkdir(), "is empty"),
        (lambda folder: (folder.mkdir(), (folder / "model.onnx").touch()), "holds no folder"),
    ],
)
def test_what_is_no_repository(tmp_path: Path, prepare: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "models"
    prepare(folder)
    check = only_problem(folder)
    assert (check.state, said in check.sentence) == (CheckState.FAILED, True)


def test_files_that_may_not_be_read(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not hold for root, so the answer of the system is stood in for.
    make("m", PYTHON, "1/model.py")
    asked = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("model.py") and asked(path, mode))
    check = only_problem(tmp_path)
    assert check.sentence == "m: m/1/model.py cannot be read."
    assert check.mend == f"sudo chmod -R a+rX {tmp_path / 'm'}"


def test_a_backend_that_the_server_lacks_is_named_with_its_models(make: Make, tmp_path: Path) -> None:
    make("one", PYTHON, "1/model.py")
    make("two", None, "1/model.onnx")
    checks = look(tmp_path, frozenset({"python"}))
    assert checks[-2].sentence == "there: python."
    assert checks[-1].sentence == "the server has no backend onnxruntime, which two needs."
    assert checks[-1].state is CheckState.FAILED


def test_many_troubled_models_are_counted(make: Make, tmp_path: Path) -> None:
    for number in range(MODELS_TOLD + 5):
        make(f"m{number}", PYTHON)
    checks = look(tmp_path)
    assert sum("no folder of a version" in check.sentence for check in checks) == MODELS_TOLD
    assert any("5 more models have problems" in check.sentence for check in checks)
