"""The NVIDIA driver of this host, and which one an image needs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritop.doctor.check import Check, failed, ok, warning

_TIMEOUT_S = 20.0
"""Without persistence the driver is loaded by the first question, which takes seconds."""
_KERNEL_MODULE = re.compile(r"Kernel Module\s.*?(\d{3,}\.\d+(?:\.\d+)?)")
_RELEASE = re.compile(r"(\d\d)\.(\d\d)(?:\D|$)")
_DATA_CENTRE = re.compile(r"\b(?:A(?:2|10|16|30|40|100|800)|[BH]\d{2,3}|G[BH]\d{3}|L4|L40S?|[PVT]\d{1,3}|Tesla)\b")
"""Names of data-centre GPUs, which workstation and consumer ones (RTX, GeForce) do not have."""
_FORWARD_COMPATIBLE_FROM = 470
"""The oldest driver branch from which data-centre GPUs run newer CUDA by the libraries in the image
(CUDA Forward Compatibility, as the release notes of 24.04 list the branches)."""

Release = tuple[int, int]

_DRIVERS: tuple[tuple[Release, str], ...] = (
    ((24, 4), "545"),
    ((25, 5), "575.51"),
    ((25, 9), "580.82"),
    ((26, 1), "590.48"),
)
"""Releases of NVIDIA's image and the driver that each was made for, by its release notes; in between the one before."""


@dataclass(frozen=True, slots=True)
class Driver:
    """What this host says about its NVIDIA driver."""

    version: str = ""
    """Of the kernel module, "" where none is loaded."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs, as nvidia-smi lists them."""
    fault: str = ""
    """Why nvidia-smi could not list them, in its words; untrusted."""


def look_at_driver(proc: Path = Path("/proc")) -> Driver:
    """Ask the kernel and nvidia-smi."""
    try:
        found = _KERNEL_MODULE.search((proc / "driver/nvidia/version").read_text())
    except OSError:
        return Driver()
    version = found[1] if found else ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except OSError:
        return Driver(version, fault="nvidia-smi is not on PATH")
    except subprocess.TimeoutExpired:
        return Driver(version, fault=f"nvidia-smi has not answered within {_TIMEOUT_S:.0f} s")
    lines = tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    if done.returncode:
        said = " ".join((done.stdout + " " + done.stderr).split())
        return Driver(version, fault=said or f"nvidia-smi ended with {done.returncode}")
    return Driver(version, lines)


def needed_driver(image: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """(driver version, where that is from) that an image was made for; ("", "") where nothing says so.

    Args:
        image: its name, whose tag names the release in NVIDIA's registry.
        environment: the variables in the image, empty where it is not here to be looked at.
    """
    said = environment.get("CUDA_DRIVER_VERSION", "")
    if re.fullmatch(r"\d{3,}(?:\.\d+)*", said):
        return said, "the image says so"
    release = _release_of(environment.get("NVIDIA_TRITON_SERVER_VERSION", "") or image.rpartition(":")[2])
    older = [driver for since, driver in _DRIVERS if release is not None and since <= release]
    return (older[-1], f"release {release[0]}.{release[1]:02d}") if older and release else ("", "")


def _release_of(text: str) -> Release | None:
    found = _RELEASE.match(text)
    return (int(found[1]), int(found[2])) if found else None


def check_driver(driver: Driver, image: str, environment: Mapping[str, str]) -> Check:
    """Whether the driver is there, works, and is new enough for the image."""
    if not driver.version:
        return warning("driver", "no NVIDIA driver is loaded: models run on the CPU.", "lspci | grep -i nvidia")
    if driver.fault:
        mend = "sudo reboot" if "mismatch" in driver.fault else "nvidia-smi"
        return failed("driver", f"driver {driver.version} does not work: {driver.fault}.", mend)
    gpus = [f"{driver.gpus.count(name)} × {name}" for name in sorted(set(driver.gpus))]
    here = f"driver {driver.version}, {', '.join(gpus) or 'no GPU'}"
    needed, reason = needed_driver(image, environment)
    if not needed:
        return ok("driver", f"{here}; which one {image} needs is not known.")
    if _numbers(driver.version) >= _numbers(needed):
        return ok("driver", f"{here}; {image} was made for {needed} ({reason}).")
    mend = f"install driver {needed} or newer, or take an older image"
    data_centre = bool(driver.gpus) and all(_DATA_CENTRE.search(name) for name in driver.gpus)
    if data_centre and _numbers(driver.version)[0] >= _FORWARD_COMPATIBLE_FROM:
        compatible = "data-centre GPUs may run it with the compatibility libraries in the image"
        return warning("driver", f"{here} is older than {needed} ({reason}); {compatible}.", mend)
    return failed("driver", f"{here} is older than {needed}, which {image} needs ({reason}).", mend)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
