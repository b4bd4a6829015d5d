"""The Docker engine: is it there, may this user use it, can it give GPUs, has it room for the image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritop.doctor.check import Check, failed, ok, warning
from tritop.doctor.driver import Driver
from tritop.errors import RuntimeFailure

GIB = 1 << 30
_SIZES_GIB = (("-py3-min", 13), ("-vllm", 32), ("-trtllm", 45), ("-sdk", 15), ("-py3", 25))
"""Room that NVIDIA's images take while they are pulled: the layers compressed, about 0.6 of it, and
unpacked (16 GB for -py3, 8.3 for -py3-min, as reported for 23.01 to 24.06), by what their tag ends in."""
_CONFIGURE = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
_CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_HOOK = "nvidia-container-runtime-hook"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says about itself and the image."""

    address: str
    version: str
    info: Mapping[str, Any]
    """The engine's own `info`."""
    image_bytes: int | None = None
    """Size of the image, `None` where the engine does not have it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables in the image."""

    @property
    def local(self) -> bool:
        """Whether it runs on this host, so that its folders can be looked at."""
        return self.address.startswith("unix://")


def ask_engine(image: str) -> EngineFacts:
    """Ask the engine that the environment names.

    Raises:
        RuntimeFailure: it cannot be used, or the SDK is not installed.
    """
    try:
        from tritop.runtimes.docker_client import engine_address, open_client
        from tritop.runtimes.docker_errors import caught, engine_failure
    except ModuleNotFoundError as error:
        raise RuntimeFailure(f"{error}.", "pip install 'docker>=7.2,<8'") from error
    address = engine_address(os.environ)
    client = open_client(address)
    try:
        info = dict(client.info())
        image_bytes, environment = _image(client, image)
    except caught() as error:
        raise engine_failure(error, "ask the engine about itself", address) from error
    finally:
        client.close()
    return EngineFacts(address, str(info.get("ServerVersion", "")), info, image_bytes, environment)


def _image(client: Any, image: str) -> tuple[int | None, dict[str, str]]:
    from docker.errors import APIError

    try:
        shown = client.api.inspect_image(image)
    except APIError:  # not there, or no name of an image; pulling it will say which
        return None, {}
    variables = (str(entry).partition("=") for entry in (shown.get("Config") or {}).get("Env") or ())
    return int(shown.get("Size", 0)), {name: value for name, _, value in variables}


def check_engine(facts: EngineFacts) -> Check:
    """What answered, and where."""
    options = [str(option) for option in facts.info.get("SecurityOptions") or ()]
    kind = "rootless Docker" if any("rootless" in option for option in options) else "Docker"
    return ok("engine", f"{kind} {facts.version} answers at {facts.address}.")


def check_gpu_support(facts: EngineFacts, driver: Driver, hook: str | None, cdi_devices: Sequence[str]) -> Check:
    """Whether the engine can give a container GPUs, as far as that shows without trying.

    Args:
        facts: of the engine.
        driver: of this host.
        hook: path of NVIDIA's hook on this host, with which an engine needs no runtime of its own.
        cdi_devices: names in the CDI descriptions of this host.
    """
    runtimes = facts.info.get("Runtimes") or {}
    discovered = [str(each.get("ID")) for each in facts.info.get("DiscoveredDevices") or () if isinstance(each, dict)]
    nvidia = [device for device in discovered if device.startswith("nvidia.com/gpu")]
    given = (
        ("nvidia" in runtimes, "the engine has the NVIDIA runtime."),
        (bool(nvidia), f"the engine knows {len(nvidia)} GPU devices (CDI)."),
        (not driver.version and facts.local, "not needed: this host has no NVIDIA driver."),
        (hook is not None and facts.local, f"the engine can use NVIDIA's hook ({hook})."),
    )
    for holds, sentence in given:
        if holds:
            return ok("gpu support", sentence)
    if cdi_devices and facts.info.get("CDISpecDirs"):
        return warning("gpu support", "GPUs are described for CDI, and the engine does not list them.", _CONFIGURE)
    if cdi_devices:
        sentence = f"GPUs are described for CDI, and Docker {facts.version} has CDI off or does not know it."
        return failed("gpu support", sentence, f"{_CONFIGURE}; or Docker 28.2 and newer")
    return failed(
        "gpu support",
        "the engine has neither the NVIDIA runtime nor CDI devices: containers get no GPU.",
        f"install nvidia-container-toolkit, then: {_CONFIGURE}",
    )


def look_for_hook() -> str | None:
    """NVIDIA's hook of the container toolkit, where this user would find it; the engine has a PATH of its own."""
    return shutil.which(_HOOK, path=os.defpath + ":/usr/bin:/usr/local/bin:/usr/sbin")


def look_for_cdi(folders: Sequence[Path] = _CDI_FOLDERS) -> tuple[str, ...]:
    """Files that describe GPUs for CDI."""
    found = []
    for folder in folders:
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            try:
                if path.suffix in (".yaml", ".json") and "nvidia.com/gpu" in path.read_text(errors="replace"):
                    found.append(str(path))
            except OSError:
                continue
    return tuple(found)


def room_for(image: str) -> int:
    """Bytes that an image takes while it is pulled; what is not NVIDIA's is taken for its smallest."""
    tag = image.rpartition(":")[2]
    return next((gib for end, gib in _SIZES_GIB if end in tag and "tritonserver" in image), 13) * GIB


def check_disk(facts: EngineFacts, image: str, free_bytes: int | None) -> Check:
    """Whether the image is there, or fits on the engine's disk.

    Args:
        facts: of the engine.
        image: its name.
        free_bytes: of the engine's disk, `None` where that cannot be seen from here.
    """
    if facts.image_bytes is not None:
        return ok("image", f"{image} is there ({facts.image_bytes / 1e9:.1f} GB).")
    folder = facts.info.get("DockerRootDir", "")
    if free_bytes is None:
        return warning("image", f"{image} is not there yet; the free disk space of the engine is not known.")
    need = room_for(image)
    room = f"{free_bytes / GIB:.0f} GiB are free in {folder}, and it takes about {need / GIB:.0f} GiB"
    if free_bytes < need:
        return failed("image", f"{image} is not there yet, and does not fit: {room}.", "docker system df")
    if free_bytes < 1.3 * need:
        return warning("image", f"{image} is not there yet, and barely fits: {room}.", "docker system df")
    return ok("image", f"{image} is not there yet, and fits: {room}.")


def free_disk(facts: EngineFacts) -> int | None:
    """Free bytes where the engine keeps its images, `None` where that is not to be seen."""
    folder = str(facts.info.get("DockerRootDir", ""))
    if not facts.local or not folder:
        return None
    # The folder itself may be the engine's alone; what it stands in is on the same disk unless it is a mount point.
    for path in (Path(folder), *Path(folder).parents):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return None
