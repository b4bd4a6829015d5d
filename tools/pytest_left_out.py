"""A pytest plugin that counts tests, and notes which were skipped, why, and whether they wanted a GPU.

Loaded with `-p pytest_left_out`; writes JSON to the file that `TRITOP_LEFT_OUT` names. Reports
are noted by the process that collects them, so it works under xdist.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


class LeftOut:
    """Counts the tests of one session and collects the skipped ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[dict[str, object]] = []
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that passed, one of whose parts failed, or that was skipped."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)
        if report.skipped:
            self._note(report.nodeid, report.longrepr, gpu="gpu" in report.keywords)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a whole file that was skipped or cannot be read."""
        if report.failed:
            self._failed.add(report.nodeid)
        if report.skipped:
            self._note(report.nodeid, report.longrepr, gpu=False)

    def pytest_sessionfinish(self) -> None:
        """Write what was noted."""
        counts = {"passed": len(self._passed - self._failed), "failed": len(self._failed)}
        self._path.write_text(json.dumps({**counts, "left_out": self._tests}), encoding="utf-8")

    def _note(self, name: str, reason: object, *, gpu: bool) -> None:
        text = str(reason[2]) if isinstance(reason, tuple) else str(reason)
        self._tests.append({"name": name, "reason": text.removeprefix("Skipped: "), "gpu": gpu})


def pytest_configure(config: pytest.Config) -> None:
    """Begin to collect, in the one process that reports."""
    path = os.environ.get("TRITOP_LEFT_OUT")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(LeftOut(Path(path)), "tritop-left-out")
