"""Is CUDA really visible inside a container? Asked of a container that runs for a moment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from typing import Any

from tritop.doctor.check import Check, failed, from_error, ok, warning
from tritop.errors import RuntimeFailure

NAME = "gpu test"
LABEL = "io.github.tritop.check"
"""On the container of the test, so that one that was left behind can be told."""
LIMIT_S = 180.0
"""A first use of CUDA loads the driver, and torch takes its time to import."""
_MARK = "tritop-gpu-test:"

_LOOK = r"""
import ctypes, json
said = {"how": "", "names": [], "fault": ""}
try:
    import torch
    said["how"] = "torch " + torch.__version__
    if torch.cuda.is_available():
        said["names"] = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    else:
        said["fault"] = "torch.cuda.is_available() is False"
except ImportError:
    said["how"] = "libcuda"
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        code, count, text = cuda.cuInit(0), ctypes.c_int(), ctypes.create_string_buffer(256)
        if code:
            reason = ctypes.c_char_p()
            cuda.cuGetErrorString(code, ctypes.byref(reason))
            said["fault"] = "cuInit: " + (reason.value or str(code).encode()).decode()
        else:
            cuda.cuDeviceGetCount(ctypes.byref(count))
            for n in range(count.value):
                cuda.cuDeviceGetName(text, 256, n)
                said["names"].append(text.value.decode())
    except OSError as error:
        said["fault"] = str(error)
print("MARK" + json.dumps(said))
""".replace("MARK", _MARK)
"""Asks torch where the image has it, otherwise the driver's own library, which the toolkit mounts."""

_SCRIPT = """
printf 'backends:'
for folder in /opt/tritonserver/backends/*/; do
    [ -d "$folder" ] && folder=${folder%/} && printf ' %s' "${folder##*/}"
done
echo
if command -v python3 >/dev/null 2>&1; then python3 -c "$TRITOP_LOOK"
else nvidia-smi -L 2>&1 | while IFS= read -r line; do echo "nvidia-smi: $line"; done
fi
"""
"""Nothing but the shell is counted on: small images have neither tr nor sed."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What a container saw."""

    how: str = ""
    """torch with its version, libcuda or nvidia-smi."""
    names: tuple[str, ...] = ()
    """Of the GPUs."""
    fault: str = ""
    """Why there are none, in the words of what was asked; untrusted."""
    backends: frozenset[str] | None = None
    """Triton's backends in the image, `None` where it has no folder of them."""


def read_inside(output: str) -> Inside:
    """What the test's output says; whatever else an image prints is passed over."""
    backends: frozenset[str] | None = None
    listed: list[str] = []
    fault = ""
    for line in output.splitlines():
        if line.startswith("backends:"):
            backends = frozenset(line.removeprefix("backends:").split()) or None
        elif line.startswith(_MARK):
            return _read_answer(line.removeprefix(_MARK), backends)
        elif line.startswith("nvidia-smi: "):
            found = re.match(r"GPU \d+: (.+?)(?: \(UUID: .*\))?$", line.removeprefix("nvidia-smi: "))
            if found:
                listed.append(found[1])
            else:
                fault = line.removeprefix("nvidia-smi: ")
    if listed or fault:
        return Inside("nvidia-smi", tuple(listed), "" if listed else fault, backends)
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "nothing")
    return Inside(fault=f"the container said {last!r}", backends=backends)


def _read_answer(text: str, backends: frozenset[str] | None) -> Inside:
    try:
        said = json.loads(text)
        return Inside(str(said["how"]), tuple(map(str, said["names"])), str(said["fault"]), backends)
    except (ValueError, KeyError, TypeError):
        return Inside(fault=f"the container said {text[:200]!r}", backends=backends)


def check_inside(inside: Inside, image: str, on_host: int | None) -> list[Check]:
    """What the container saw, against the GPUs of this host where they are known."""
    checks = []
    if inside.names:
        many = len(inside.names)
        counted = ", ".join(f"{inside.names.count(name)} × {name}" for name in sorted(set(inside.names)))
        sentence = f"CUDA sees {counted} in {image} ({inside.how})."
        fewer = on_host is not None and many != on_host
        checks.append(warning(NAME, f"{sentence} The host has {on_host}.") if fewer else ok(NAME, sentence))
    else:
        how = f" ({inside.how})" if inside.how else ""
        reason = inside.fault.rstrip(".") or "no device was found"
        checks.append(
            failed(
                NAME,
                f"CUDA is not visible in {image}{how}: {reason}.",
                f"docker run --rm --gpus all {image} nvidia-smi",
            )
        )
    if inside.backends is None:
        checks.append(warning(NAME, f"{image} has no folder /opt/tritonserver/backends: is there a Triton in it?"))
    else:
        checks.append(ok(NAME, f"backends in {image}: {', '.join(sorted(inside.backends))}."))
    return checks


def run_gpu_test(image: str, *, gpus: bool = True) -> Inside | Check:
    """Run a container with all GPUs for a moment, and remove it whatever happens.

    The image must be there already: a check pulls nothing.

    Args:
        image: its name.
        gpus: False asks for none, for the list of backends alone.

    Returns:
        What it saw, or the failed check where it could not be run.
    """
    try:
        from tritop.runtimes.docker_client import engine_address, open_client
        from tritop.runtimes.docker_errors import caught, engine_failure

        address = engine_address(os.environ)
        client = open_client(address, timeout_s=30.0)
    except ModuleNotFoundError as error:
        return failed(NAME, f"{error}.", "pip install 'docker>=7.2,<8'")
    except RuntimeFailure as failure:
        return from_error(NAME, failure)
    try:
        return _run(client, image, gpus)
    except caught() as error:
        from docker.errors import ImageNotFound

        if isinstance(error, ImageNotFound):
            return failed(NAME, f"the image {image} is not on this engine.", f"docker pull {image}")
        return from_error(NAME, engine_failure(error, f"run {image} with all GPUs", address))
    finally:
        client.close()


def _run(client: Any, image: str, gpus: bool) -> Inside:
    import requests
    from docker.types import DeviceRequest

    devices = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpus else None
    container = client.containers.create(
        image,
        name=f"tritop-check-{uuid.uuid4().hex[:12]}",
        entrypoint=["sh", "-c", _SCRIPT],
        command=[],
        environment={"TRITOP_LOOK": _LOOK},
        device_requests=devices,
        labels={LABEL: "1"},
        network_mode="none",
        init=True,
    )
    try:
        container.start()
        try:
            container.wait(timeout=LIMIT_S)
        except requests.RequestException:
            return Inside(fault=f"the container had not ended after {LIMIT_S:.0f} s")
        return read_inside(container.logs().decode(errors="replace"))
    finally:
        from tritop.runtimes.docker_errors import caught

        # It is our own, and made a moment ago; one that is still running is killed with it.
        with contextlib.suppress(*caught()):
            container.remove(force=True, v=True)
