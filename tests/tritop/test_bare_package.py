"""Modules of a package without the package: it is not run, and it is whole for whoever comes later."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritop.bare_package import bare_package

INIT = "import outer.inner.heavy\nready = True\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`outer.inner` with a `light` module, and a `heavy` one that its `__init__` imports."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "outer" / "__init__.py").touch()
    (inner / "__init__.py").write_text(INIT)
    (inner / "light.py").write_text("from outer.inner import beside\nvalue = beside.value\n")
    (inner / "beside.py").write_text("value = 7\n")
    (inner / "heavy.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "outer.inner"
    for name in [name for name in sys.modules if name.split(".")[0] == "outer"]:
        del sys.modules[name]


def test_a_module_comes_without_its_package(package: str) -> None:
    with bare_package(package):
        light = importlib.import_module("outer.inner.light")
    assert light.value == 7
    assert "outer.inner.heavy" not in sys.modules
    assert package not in sys.modules


def test_the_package_is_whole_for_whoever_imports_it_later(package: str) -> None:
    with bare_package(package):
        light = importlib.import_module("outer.inner.light")
    whole = importlib.import_module(package)
    assert whole.ready
    assert importlib.import_module("outer.inner.light") is light
    with bare_package(package):
        assert sys.modules[package] is whole
    assert sys.modules[package] is whole


def test_nothing_is_left_after_a_failure(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"outer\.inner\.absent"), bare_package(package):
        importlib.import_module("outer.inner.absent")
    assert package not in sys.modules


@pytest.mark.parametrize("name", ["absent_package", "colorsys"])
def test_what_is_no_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ModuleNotFoundError, match=name), bare_package(name):
        pass
