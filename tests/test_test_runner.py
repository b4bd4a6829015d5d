"""The test runner: what it says, what it exits with, and that nothing left out goes unnamed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="no engine")
def test_wants_an_engine():
    pass

@pytest.mark.gpu
@pytest.mark.skip(reason="no NVIDIA driver")
def test_wants_a_gpu():
    pass
"""


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """tools/run_tests.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("run_tests", ROOT / "tools" / "run_tests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_tests"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: ModuleType) -> Path:
    """A project with a passing test and two that are skipped; the runner works there."""
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a GPU\n")
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "TOOLS", ROOT / "tools")
    monkeypatch.delenv("TRITOP_TEST_ALL", raising=False)
    # Without the plugins that these tests do not need: each process takes a second to load them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    command = (*runner.PYTEST, "-p", "no:cacheprovider", "-p", "xdist", "-n", "2", ".")
    monkeypatch.setattr(runner, "UNIT", runner.Part("unit tests", command, tests=True))
    return tmp_path


def test_what_is_left_out_is_named_with_its_reason(
    project: Path, runner: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["--unit"]) == 0
    out = capfd.readouterr().out
    assert "1 passed, 2 skipped" in out, "pytest's own closing line passes through"
    assert "left out: 2 tests" in out
    assert out.endswith("\n1 passed, 0 failed\n"), "what is left out is neither"
    assert "1 because: no engine\n    test_some.py::test_wants_an_engine\n" in out
    assert "1 because: no NVIDIA driver\n    test_some.py::test_wants_a_gpu (gpu)\n" in out


def test_left_out_is_a_failure_where_everything_is_demanded_but_for_a_gpu(
    project: Path, runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # One process: what several of them report is another test's matter.
    command = (*runner.PYTEST, "-p", "no:cacheprovider", ".")
    monkeypatch.setattr(runner, "UNIT", runner.Part("unit tests", command, tests=True))
    monkeypatch.setenv("TRITOP_TEST_ALL", "1")
    assert runner.main(["--unit"]) == 1
    out = capfd.readouterr().out
    assert "TRITOP_TEST_ALL=1 demands them" in out
    assert out.endswith("\n1 passed, 1 failed\n")
    (project / "test_some.py").write_text(TESTS.replace('@pytest.mark.skip(reason="no engine")', ""))
    assert runner.main(["--unit"]) == 0
    assert "test_wants_a_gpu (gpu)" in capfd.readouterr().out


def test_later_parts_run_after_one_that_failed(
    tmp_path: Path, runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def part(name: str, code: int) -> object:
        return runner.Part(name, (sys.executable, "-c", f"print('{name} speaks'); raise SystemExit({code})"))

    monkeypatch.setattr(runner, "CHECKS", (part("one", 1), part("two", 0), part("three", 1)))
    assert runner.main(["--check"]) == 1
    out = capfd.readouterr().out
    assert "one speaks" in out
    assert "two speaks" not in out, "what holds needs no words"
    assert "three speaks" in out
    assert out.endswith("\n1 passed, 2 failed\n")
    summary = out[out.index("----- summary") :].splitlines()[1:-1]
    assert [line.split()[:2] for line in summary] == [["FAILED", "one"], ["ok", "two"], ["FAILED", "three"]]


def test_a_program_that_is_missing_is_a_failure_of_its_part(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "CHECKS", (runner.Part("ruff", ("absent-program",)),))
    assert runner.main(["--check"]) == 1
    assert "absent-program" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("tests", "counted"),
    [
        ("def test_fails():\n    assert False\n", "0 passed, 1 failed"),
        (
            "import pytest\n@pytest.fixture\ndef broken():\n    yield\n    raise ValueError\n"
            "def test_ends_badly(broken):\n    pass\n",
            "0 passed, 1 failed",
        ),
        ("import absent_module\n", "0 passed, 1 failed"),
        ("import os\ndef test_kills_all():\n    os._exit(3)\n", "0 passed, 1 failed"),
    ],
)
def test_what_fails_is_counted_once(
    project: Path,
    runner: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tests: str,
    counted: str,
) -> None:
    command = (*runner.PYTEST, "-p", "no:cacheprovider", ".")
    monkeypatch.setattr(runner, "UNIT", runner.Part("unit tests", command, tests=True))
    (project / "test_some.py").write_text(tests)
    assert runner.main(["--unit"]) == 1
    assert capfd.readouterr().out.endswith(f"\n{counted}\n")


def test_the_script_for_ci_parses() -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
