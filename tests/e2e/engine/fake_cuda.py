"""Images with stand-ins for CUDA in them: a `libcuda.so.1` that names two GPUs, and a torch that does."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.nvml.fake_nvml import compiler

LIBCUDA = r"""
#include <stdlib.h>
#include <stdio.h>
int cuInit(unsigned flags) { (void)flags; return getenv("FAKE_CUDA_ERROR") ? atoi(getenv("FAKE_CUDA_ERROR")) : 0; }
int cuDeviceGetCount(int *count) { *count = getenv("FAKE_CUDA_COUNT") ? atoi(getenv("FAKE_CUDA_COUNT")) : 2; return 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Fake H100 %d", device); return 0; }
int cuGetErrorString(int error, const char **text) {
    *text = error == 100 ? "no CUDA-capable device is detected" : "unknown error";
    return 0;
}
"""
TORCH = """
__version__ = "2.9.0"
class cuda:
    @staticmethod
    def is_available(): return True
    @staticmethod
    def device_count(): return 3
    @staticmethod
    def get_device_name(number): return "Fake H200"
"""
SITE = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def compile_libcuda(folder: Path) -> bytes:
    """The stand-in for the driver's library, which NVIDIA's hook would have mounted."""
    cc = compiler()
    assert cc is not None, "no C compiler"
    (folder / "cuda.c").write_text(LIBCUDA)
    library = folder / "libcuda.so.1"
    subprocess.run([cc, "-shared", "-fPIC", "-o", str(library), str(folder / "cuda.c")], check=True)
    return library.read_bytes()


def derive_image(client: Any, image: str, tag: str, files: dict[str, bytes], *variables: str) -> str:
    """Another image with more files and variables in it; whoever made it removes it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    container = client.api.create_container(image, ["true"])["Id"]
    try:
        client.api.put_archive(container, "/", data.getvalue())
        repository, _, version = tag.rpartition(":")
        changes = "\n".join(f"ENV {variable}" for variable in variables)
        client.api.commit(container, repository=repository, tag=version, changes=changes or None)
    finally:
        client.api.remove_container(container)
    return tag
