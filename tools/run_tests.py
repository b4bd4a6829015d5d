"""Everything that `make test` checks, in order, with its seconds, how much passed, and what was left out.

Style and types first because they are quick; a later part runs even where an earlier one failed,
so that one run shows everything. With TRITOP_TEST_ALL=1 a test that is left out is a failure,
except those that want a GPU, which are named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
BIN = Path(sys.executable).parent

PYTEST = (sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "pytest_left_out", "--durations=5")


@dataclass(frozen=True)
class Part:
    """One command and what it shows."""

    name: str
    command: tuple[str, ...]
    tests: bool = False
    """A pytest run: its output passes through as it comes."""


@dataclass
class Outcome:
    """What became of a part."""

    part: Part
    exit_code: int
    seconds: float
    passed: int = 0
    failed: int = 0
    left_out: list[dict[str, object]] = field(default_factory=list)

    def count(self, log: Path) -> None:
        """Take over what the tests of the part noted; a check, or a part that broke down, counts as one."""
        if log.exists():
            noted = json.loads(log.read_text(encoding="utf-8"))
            log.unlink()
            self.passed, self.failed, self.left_out = noted["passed"], noted["failed"], noted["left_out"]
        elif self.exit_code == 0:
            self.passed = 1
        if self.exit_code and not self.failed:
            self.failed = 1


CHECKS = (
    Part("ruff check", (str(BIN / "ruff"), "check", "--quiet", ".")),
    Part("ruff format", (str(BIN / "ruff"), "format", "--check", "--quiet", ".")),
    Part("mypy", (str(BIN / "mypy"), "--no-error-summary")),
    Part("import-linter", (str(BIN / "lint-imports"), "--no-cache", "--no-logo")),
)
# Much of the time of both passes in waiting: three or four share two cores and disturb each other little.
UNIT = Part("unit tests", (*PYTEST, "tests", "--ignore=tests/e2e", "-n", "3", "--dist", "worksteal"), tests=True)
# tests/e2e/conftest.py has the longest files begin first.
BY_FILE = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
END_TO_END = Part("end-to-end tests", (*PYTEST, "tests/e2e", *BY_FILE), tests=True)


def run(part: Part, log: Path) -> Outcome:
    """Run one part; its output appears as it comes for tests, and only on failure for checks."""
    environ = os.environ | {"TRITOP_LEFT_OUT": str(log), "PYTHONPATH": str(TOOLS)}
    # Where no bytecode is written every process of a test compiles all of tritop anew: 3 s for a pytest worker.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.monotonic()
    if part.tests:
        say(f"----- {part.name}")
    try:
        done = subprocess.run(
            part.command, cwd=ROOT, env=environ, check=False, capture_output=not part.tests, text=True
        )
    except FileNotFoundError as error:
        done = subprocess.CompletedProcess(part.command, 127, f"{error.filename} is not installed", "")
    code = done.returncode
    if code and not part.tests:
        say(f"----- {part.name}\n{done.stdout}{done.stderr}".rstrip())
    outcome = Outcome(part, code, time.monotonic() - started)
    outcome.count(log)
    say(line_of(outcome))
    return outcome


def line_of(outcome: Outcome) -> str:
    """One part in one line."""
    word = "ok    " if outcome.exit_code == 0 else "FAILED"
    return f"{word} {outcome.part.name:<18} {outcome.seconds:6.1f} s"


def left_out_lines(outcomes: Iterable[Outcome], *, demanded: bool) -> list[str]:
    """What was left out, by reason and by name; whether that is a failure."""
    tests = [test for outcome in outcomes for test in outcome.left_out]
    if not tests:
        return ["left out: nothing"]
    lines = [f"left out: {len(tests)} tests" + (", and TRITOP_TEST_ALL=1 demands them" if demanded else "")]
    for reason, count in Counter(str(test["reason"]) for test in tests).most_common():
        lines.append(f"  {count} because: {reason}")
        names = [str(test["name"]) + (" (gpu)" if test["gpu"] else "") for test in tests if test["reason"] == reason]
        lines += [f"    {name}" for name in names]
    return lines


def say(text: str) -> None:
    """Print at once, so that it stands before what the next part prints by itself."""
    print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--unit", action="store_true", help="only the tests that need no server")
    some.add_argument("--check", action="store_true", help="only style, types and structure")
    arguments = parser.parse_args(argv)
    parts = CHECKS if arguments.check else (UNIT,) if arguments.unit else (*CHECKS, UNIT, END_TO_END)
    demanded = os.environ.get("TRITOP_TEST_ALL") == "1"
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [run(part, Path(folder) / "left_out.json") for part in parts]
    say("----- summary")
    for outcome in outcomes:
        say(line_of(outcome))
    missing = demanded * sum(not test["gpu"] for outcome in outcomes for test in outcome.left_out)
    if any(part.tests for part in parts):
        for line in left_out_lines(outcomes, demanded=missing > 0):
            say(line)
    failed = missing + sum(outcome.failed for outcome in outcomes)
    say(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
