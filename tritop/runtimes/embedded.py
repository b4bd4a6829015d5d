"""The Triton inside the `nvidia-pytriton` wheel: where its files are and what they need to run.

Nothing of the wheel is imported; only its files are looked up. It holds Triton 2.51.0 (24.10)
for x86-64 Linux with glibc >= 2.35, the Python backend, and one stub for each Python version.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritop.errors import RuntimeFailure

_INSTALL = "pip install 'tritop[demo]'"
_GLIBC = (2, 35)
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class EmbeddedTriton:
    """The files of an embedded Triton and the running interpreter's part in it."""

    version: str
    """Of the wheel, such as 0.7.0."""
    binary: Path
    backend: Path
    """Folder of the Python backend, without a stub."""
    caches: Path
    """Folder of the response cache's implementations, for --cache-directory."""
    stub: Path
    """The stub that fits the running interpreter."""
    libraries: tuple[Path, ...]
    """Folders for LD_LIBRARY_PATH."""
    packages: Path
    """Folder that numpy is imported from."""

    def arrange_backends(self, folder: Path) -> Path:
        """Make a backend directory in `folder` with the right stub, out of symbolic links.

        Triton looks for the stub beside the backend's library, where the wheel has none.
        """
        target = folder / "backends" / "python"
        target.mkdir(parents=True)
        for source in self.backend.iterdir():
            if source.is_file():
                (target / source.name).symlink_to(source)
        if os.access(self.stub, os.X_OK):
            (target / _STUB).symlink_to(self.stub)
        else:
            shutil.copyfile(self.stub, target / _STUB)
            (target / _STUB).chmod(0o755)
        return target.parent

    def arrange_interpreter(self, folder: Path) -> Path:
        """Make the environment in `folder` that the stub's Python finds itself in; returns its bin folder.

        The stub embeds libpython in isolated mode, where no PYTHON* variable has any effect
        (measured with Triton 2.51 and Python 3.11: PYTHONPATH, PYTHONHOME and
        PYTHONDONTWRITEBYTECODE are all ignored). What it does follow is the first `python3` on PATH
        and the pyvenv.cfg beside that, so it is given a virtual environment of its own with two
        lines in it: where numpy is, and that no bytecode is to be written. Triton takes a new
        `__pycache__` beside model.py for a changed model, which it then reloads in full.
        """
        root = folder / "python"
        packages = root / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        packages.mkdir(parents=True)
        (root / "bin").mkdir()
        base = Path(getattr(sys, "_base_executable", sys.executable))
        (root / "bin" / "python3").symlink_to(base)
        (root / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
        (packages / "tritop.pth").write_text(f"import sys; sys.dont_write_bytecode = True\n{self.packages}\n")
        return root / "bin"

    def environment(self, interpreter: Path) -> dict[str, str]:
        """The variables that the server and its stubs need.

        Args:
            interpreter: what `arrange_interpreter` returned.
        """
        inherited = os.environ.get("LD_LIBRARY_PATH")
        return {
            "PATH": os.pathsep.join((str(interpreter), os.environ.get("PATH", os.defpath))),
            "LD_LIBRARY_PATH": os.pathsep.join((*map(str, self.libraries), *([inherited] if inherited else []))),
            # For what a model itself may start; the stub does not listen to it.
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def find_embedded_triton() -> EmbeddedTriton:
    """Find the embedded Triton that fits this machine and this interpreter.

    Raises:
        RuntimeFailure: it is not installed, or cannot run here.
    """
    check_machine(sys.platform, platform.machine(), platform.libc_ver())
    root = _installed_root()
    triton = root / "pytriton" / "tritonserver"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / python / _STUB
    for path in (triton / "bin" / "tritonserver", triton / "backends" / "python" / "libtriton_python.so"):
        if not path.is_file():
            raise RuntimeFailure(
                f"the installed nvidia-pytriton has no {path.name}.", f"Install it anew: {_INSTALL} --force-reinstall."
            )
    if not stub.is_file():
        offered = ", ".join(sorted((entry.name for entry in stub.parents[1].iterdir()), key=_version_key))
        raise RuntimeFailure(
            f"the embedded Triton has no Python-backend stub for Python {python} (it has {offered}).",
            "Run tritop with Python 3.11 or 3.12.",
        )
    if shutil.which("bash") is None:
        raise RuntimeFailure("the Python backend starts its stubs with bash, which is not on PATH.", "Install bash.")
    return EmbeddedTriton(
        version=importlib.metadata.version("nvidia-pytriton"),
        binary=triton / "bin" / "tritonserver",
        backend=triton / "backends" / "python",
        caches=triton / "caches",
        stub=stub,
        libraries=(root / "nvidia_pytriton.libs", *_libpython_folders(stub)),
        packages=_numpy_folder(),
    )


def inherited_environment() -> dict[str, str]:
    """Our environment without what would steer the interpreter inside the stubs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def check_machine(system: str, machine: str, libc: tuple[str, str]) -> None:
    """Refuse machines that the wheel was not built for.

    Raises:
        RuntimeFailure: another system, another architecture, or an older C library.
    """
    elsewhere = "Give the address of a Triton that runs elsewhere: tritop HOST:8001."
    if system != "linux" or machine not in {"x86_64", "AMD64"}:
        raise RuntimeFailure(
            f"the embedded Triton is built for Linux on x86-64 only, and this is {system} on {machine}.", elsewhere
        )
    name, version = libc
    if name != "glibc" or _version_key(version) < _GLIBC:
        found = f"{name} {version}".strip() or "another C library"
        raise RuntimeFailure(f"the embedded Triton needs glibc 2.35 or newer, and this machine has {found}.", elsewhere)


def check_numpy(version: str) -> None:
    """Refuse numpy 2, with which the Python backend of Triton 2.51 gives empty outputs and no error.

    Raises:
        RuntimeFailure: the version is 2 or newer.
    """
    if _version_key(version) >= (2,):
        raise RuntimeFailure(
            f"numpy {version} is installed, and with numpy 2 the Python backend of the embedded Triton "
            "returns empty outputs.",
            "There are no wheels of numpy 1 for this Python: run tritop with Python 3.11 or 3.12."
            if sys.version_info >= (3, 13)
            else f"Install an older one: {_INSTALL} 'numpy<2'.",
        )


def _version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 1.26.4rc1 gives (1, 26)."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _installed_root() -> Path:
    """The folder that the wheel was installed into."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeFailure(
            "the embedded Triton (the package nvidia-pytriton) is not installed.", f"Install it: {_INSTALL}."
        )
    return Path(spec.submodule_search_locations[0]).parent


def _numpy_folder() -> Path:
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        raise RuntimeFailure(
            "numpy, which the demo's models compute with, is not installed.", f"Install it: {_INSTALL}."
        )
    check_numpy(importlib.metadata.version("numpy"))
    return Path(spec.origin).parent.parent


def _libpython_folders(stub: Path) -> tuple[Path, ...]:
    """Where the shared libpython is that the stub was linked against; nothing for a bundled one."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    if name.encode() not in stub.read_bytes():
        return ()
    for folder in _library_folders():
        if (folder / name).is_file():
            return (folder,)
    raise RuntimeFailure(
        f"the Python backend needs {name}, and this interpreter ({sys.executable}) has no shared libpython.",
        f"On Debian or Ubuntu install {name.removesuffix('.so.1.0')}; with pyenv build with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared; or use a Python of uv.",
    )


def _library_folders() -> Iterable[Path]:
    """Folders that may hold libpython: what was configured, beside the interpreter, the system's."""
    variables = sysconfig.get_config_vars("LIBDIR", "MULTIARCH")
    library_folder, multiarch = (str(value or "") for value in variables)
    if library_folder:
        yield Path(library_folder)
        yield Path(library_folder, multiarch)
    # Relocated interpreters (python-build-standalone) still name the folder of their build machine.
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        yield Path(prefix, "lib")
        yield Path(prefix, "lib64")
    for folder in (f"/usr/lib/{multiarch}", f"/lib/{multiarch}", "/usr/lib64", "/usr/local/lib"):
        yield Path(folder)
