"""Import modules of a package without running the package's own `__init__`.

Some libraries import all that they have when one module of theirs is wanted, and tritop answers
a command line in less time than that takes.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_package(name: str) -> Iterator[None]:
    """Within the block, `import name.module` runs that module and what it imports, but not `name/__init__.py`.

    Nothing of it is left behind: whoever imports the package afterwards gets all of it.

    Args:
        name: of a package, with its parents, which are imported as usual.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    if name in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{name} is not installed", name=name)
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]
