"""Builds the stand-in libnvidia-ml.so.1 and writes what it says; see fake_nvml.c for the keys."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "fake_nvml.c"
GIB = 2**30

Value = str | int | list[str]


def compiler() -> str | None:
    """A C compiler, `None` where there is none."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compile the library into a folder, once for each version of its source; returns the folder that holds it."""
    cc = compiler()
    assert cc is not None, "no C compiler"
    home = folder / f"fake-nvml-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    library = home / "libnvidia-ml.so.1"
    if not library.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = home / f"draft-{os.getpid()}.so"
        flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]
        subprocess.run([cc, *flags, "-Wl,-soname,libnvidia-ml.so.1", "-o", str(draft), str(SOURCE)], check=True)
        draft.replace(library)
    return home


class FakeNvml:
    """GPUs in a file that the stand-in reads.

    Attributes:
        system: keys before the first GPU.
        gpus: keys of each GPU; the MIG devices of a GPU are in `slices`.
        slices: for a place in `gpus`, the keys of its MIG devices.
    """

    def __init__(self, library: Path, path: Path) -> None:
        self.path = path
        self.library = library
        self.system: dict[str, Value] = {"driver": "570.86.15", "nvml": "12.570.86.15", "cuda": 12080}
        self.gpus: list[dict[str, Value]] = []
        self.slices: dict[int, list[dict[str, Value]]] = {}

    def add_h100(self, **keys: Value) -> dict[str, Value]:
        """A data centre GPU that offers everything."""
        return self._add(
            {
                "name": "NVIDIA H100 80GB HBM3",
                "memory": f"{80 * GIB} {23 * GIB} {GIB // 2}",
                "utilization": "73 41",
                "power": 412345,
                "power_limit": 700000,
                "energy": 123456789,
                "temperature": 61,
                "threshold1": 90,
                "field82": 74,
                "clock1": 1755,
                "clock2": 2619,
                "max_clock1": 1980,
                "max_clock2": 2619,
                "throttle": 0x4,
                "pstate": 0,
                "persistence": 1,
                "compute_mode": 0,
                "display": 0,
                "pcie0": 84000,
                "pcie1": 1250000,
                "pcie_generation": 5,
                "pcie_width": 16,
                "ecc_mode": "1 1",
                "ecc_0_0": 2,
                "ecc_1_0": 0,
                "remapped": "1 2 0 0",
                "mig": "0 0",
                **keys,
            }
        )

    def add_geforce(self, **keys: Value) -> dict[str, Value]:
        """A desktop GPU: a fan, and neither ECC nor MIG nor a memory temperature."""
        return self._add(
            {
                "name": "NVIDIA GeForce RTX 4090",
                "memory": f"{24 * GIB} 0 {400 * 2**20}",
                "utilization": "0 0",
                "power": 18000,
                "power_limit": 450000,
                "temperature": 34,
                "clock1": 210,
                "clock2": 405,
                "max_clock1": 3105,
                "max_clock2": 10501,
                "throttle": 0x1,
                "pstate": 8,
                "fan": 30,
                "persistence": 0,
                "compute_mode": 0,
                "pcie_generation": 4,
                "pcie_width": 16,
                **keys,
            }
        )

    def _add(self, keys: dict[str, Value]) -> dict[str, Value]:
        number = len(self.gpus)
        keys.setdefault("uuid", f"GPU-11111111-2222-3333-4444-{number:012d}")
        keys.setdefault("bus", f"00000000:{0x19 + number:02X}:00.0")
        self.gpus.append(keys)
        return keys

    def write(self) -> None:
        """Let the stand-in say what the attributes hold."""
        lines = _lines(self.system)
        for number, gpu in enumerate(self.gpus):
            lines += ["[gpu]", *_lines(gpu)]
            for place, one in enumerate(self.slices.get(number, ())):
                lines += [f"[mig {place}]", *_lines(one)]
        descriptor, draft = tempfile.mkstemp(dir=self.path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(draft, self.path)

    @property
    def environ(self) -> dict[str, str]:
        """What makes a child process load the stand-in."""
        path = os.pathsep.join(filter(None, (str(self.library), os.environ.get("LD_LIBRARY_PATH", ""))))
        return {"FAKE_NVML": str(self.path), "LD_LIBRARY_PATH": path}


def _lines(keys: dict[str, Value]) -> list[str]:
    return [f"{key}={one}" for key, value in keys.items() for one in (value if isinstance(value, list) else [value])]
