"""A pytest plugin that notes which tests were skipped, why, and whether they wanted a GPU.

Loaded with `-p pytest_left_out`; writes JSON to the file that `TRITOP_LEFT_OUT` names. Skips are
noted by the process that reports, so it works under xdist.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


class LeftOut:
    """Collects skipped tests of one session."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[dict[str, object]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that skipped itself or was skipped by a fixture."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr, gpu="gpu" in report.keywords)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a whole file that was skipped."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr, gpu=False)

    def pytest_sessionfinish(self) -> None:
        """Write what was noted."""
        self._path.write_text(json.dumps(self._tests), encoding="utf-8")

    def _note(self, name: str, reason: object, *, gpu: bool) -> None:
        text = str(reason[2]) if isinstance(reason, tuple) else str(reason)
        self._tests.append({"name": name, "reason": text.removeprefix("Skipped: "), "gpu": gpu})


def pytest_configure(config: pytest.Config) -> None:
    """Begin to collect, in the one process that reports."""
    path = os.environ.get("TRITOP_LEFT_OUT")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(LeftOut(Path(path)), "tritop-left-out")
