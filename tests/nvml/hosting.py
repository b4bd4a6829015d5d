"""The stand-in for a test: built once a run, loaded by the processes that the test starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nvml.fake_nvml import FakeNvml, build, compiler


def fake_nvml(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A stand-in without GPUs, which every process started from now on loads."""
    if compiler() is None:
        pytest.skip("no C compiler for the stand-in of libnvidia-ml.so.1")
    fake = FakeNvml(build(tmp_path_factory.getbasetemp()), folder / "gpus.conf")
    fake.write()
    for name, value in fake.environ.items():
        monkeypatch.setenv(name, value)
    return fake
