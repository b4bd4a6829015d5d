"""A real Triton image, made on the spot: no registry, no package manager, no root.

It is packed from the files of the running interpreter, of the embedded Triton and of the libraries
that both need, in the folders of NVIDIA's image: tritonserver finds its libraries relative to
itself, so no LD_LIBRARY_PATH is needed. About 240 MB, made in about 4 s, and kept on the engine
under a tag that names its content.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tritop.runtimes.embedded import find_embedded_triton

REPOSITORY = "tritop-test/triton"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARIES = "/lib/x86_64-linux-gnu"
TOOLS = ("bash", "sleep", "cat", "ls", "env", "kill")
NOT_SERVED = ("test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "f2py", "include", "doc")
LEFT_OUT = frozenset((*NOT_SERVED, "site-packages", "dist-packages", "__pycache__"))
CHANGES = (
    "ENV PATH=/opt/tritonserver/bin:/usr/local/bin:/bin",
    "ENV TRITON_SERVER_VERSION=2.51.0",
    "LABEL com.nvidia.tritonserver.version=2.51.0",
    "LABEL tritop-test=1",
    "EXPOSE 8000 8001 8002",
)


def image_tag() -> str:
    """Name of the image for this interpreter, this wheel, this numpy and this file."""
    parts = (
        sys.version,
        importlib.metadata.version("nvidia-pytriton"),
        importlib.metadata.version("numpy"),
        Path(__file__).read_text(),
    )
    return f"{REPOSITORY}:{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"


def provide_image(client: Any) -> str:
    """Make sure that the engine has the image, and return its name."""
    from docker.errors import ImageNotFound

    tag = image_tag()
    with Path(__file__).open() as this_file:
        # Of several test processes the first one makes it.
        fcntl.flock(this_file, fcntl.LOCK_EX)
        try:
            client.api.inspect_image(tag)
        except ImageNotFound:
            with tempfile.TemporaryFile() as file:
                pack(file)
                file.seek(0)
                repository, _, version = tag.rpartition(":")
                client.api.import_image_from_data(
                    file.read(), repository=repository, tag=version, changes=list(CHANGES)
                )
    return tag


class ImageTar:
    """A root file system in the making; each path once."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._paths: set[str] = set()
        self.needed: dict[str, Path] = {}
        """Shared libraries by the name that they are loaded with."""

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._member(path, mode, tarfile.DIRTYPE)

    def link(self, path: str, target: str) -> None:
        self._member(path, 0o777, tarfile.SYMTYPE, target)

    def text(self, path: str, content: str) -> None:
        info = tarfile.TarInfo(path.lstrip("/"))
        data = content.encode()
        info.size, info.mode = len(data), 0o644
        self._tar.addfile(info, io.BytesIO(data))

    def _member(self, path: str, mode: int, kind: bytes, target: str = "") -> None:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.mode, info.type, info.linkname = mode, kind, target
        self._tar.addfile(info)

    def file(self, source: Path, path: str, *, executable: bool = False) -> None:
        """A file with the content of `source`; binaries bring the libraries that they need."""
        if path in self._paths:
            return
        self._paths.add(path)
        real = source.resolve()
        info = self._tar.gettarinfo(str(real), path.lstrip("/"))
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if executable else info.mode | 0o444
        with real.open("rb") as content:
            self._tar.addfile(info, content)
        if executable or ".so" in source.name:
            self._need_libraries_of(real)

    def tree(self, source: Path, path: str, wanted: Callable[[Path], bool]) -> None:
        """Every wanted file below a folder."""
        for file in sorted(walk(source)):
            if wanted(file):
                self.file(file, f"{path}/{file.relative_to(source)}")

    def _need_libraries_of(self, binary: Path) -> None:
        environ = os.environ | {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, env=environ, check=False).stdout
        for name, found in re.findall(r"^\s*(\S+) => (/\S+) ", said, re.MULTILINE):
            self.needed.setdefault(name, Path(found))


def walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, without what a server does not need."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        yield from (Path(root, name) for name in files if not name.endswith((".a", ".pyi", ".pyc", ".h", ".c")))


def pack(file: IO[bytes]) -> None:
    """Write the root file system of the image as a tar file."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _fill(ImageTar(tar))


def _fill(image: ImageTar) -> None:
    for path, mode in (("tmp", 0o1777), ("models", 0o755), ("etc", 0o755), ("proc", 0o755), (LIBRARIES, 0o755)):
        image.folder(path, mode)
    image.link("lib64", LIBRARIES.lstrip("/"))
    image.link("usr/lib/x86_64-linux-gnu", LIBRARIES)
    image.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ntriton-server:x:1000:1000::/tmp:/bin/bash\n")
    image.text("etc/group", "root:x:0:\ntriton-server:x:1000:\n")
    _add_triton(image)
    _add_python(image)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is not on PATH"
        image.file(Path(found), f"bin/{tool}", executable=True)
    image.link("bin/sh", "bash")
    bundled = ("nvidia_pytriton.libs", "numpy.libs")
    for name, library in sorted(image.needed.items()):
        if not any(folder in str(library) for folder in bundled):
            image.file(library, f"{LIBRARIES}/{name}")
    image.file(Path("/lib64/ld-linux-x86-64.so.2"), f"{LIBRARIES}/ld-linux-x86-64.so.2")


def _add_triton(image: ImageTar) -> None:
    triton = find_embedded_triton()
    root = "opt/tritonserver"
    image.file(triton.binary, f"{root}/bin/tritonserver", executable=True)
    for source in sorted(triton.backend.iterdir()):
        if source.is_file():
            image.file(source, f"{root}/backends/python/{source.name}")
    image.file(triton.stub, f"{root}/backends/python/triton_python_backend_stub", executable=True)
    image.tree(triton.caches, f"{root}/caches", lambda file: True)
    libraries = triton.libraries[0]
    # The wheel brings a libpython for its stub for Python 3.13; the others need the interpreter's own.
    image.tree(libraries, "nvidia_pytriton.libs", lambda file: "libpython3-" not in file.name)


def _add_python(image: ImageTar) -> None:
    image.tree(Path(sysconfig.get_path("stdlib")), f"usr/local/lib/python{PYTHON}", lambda file: True)
    spec = importlib.util.find_spec("numpy")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parent.parent
    target = f"usr/local/lib/python{PYTHON}/site-packages"
    for name in ("numpy", "numpy.libs"):
        if (packages / name).is_dir():
            image.tree(packages / name, f"{target}/{name}", lambda file: True)
    image.file(Path(sys.executable), f"usr/local/bin/python{PYTHON}", executable=True)
    image.link("usr/local/bin/python3", f"python{PYTHON}")
