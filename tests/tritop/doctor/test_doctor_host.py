"""Checks of driver, engine, disk, ports, shared memory and terminal, out of facts."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tritop.doctor.check import CheckState
from tritop.doctor.driver import Driver, check_driver, look_at_driver, needed_driver
from tritop.doctor.engine import (
    GIB,
    EngineFacts,
    check_disk,
    check_engine,
    check_gpu_support,
    free_disk,
    look_for_cdi,
    room_for,
)
from tritop.doctor.gpu_test import Inside, check_inside, read_inside
from tritop.doctor.host import MIB, Terminal, check_ports, check_shm, check_terminal, judge_shm

OK, WARNING, FAILED = CheckState.OK, CheckState.WARNING, CheckState.FAILED
NGC = "nvcr.io/nvidia/tritonserver"
H200 = Driver("570.86.15", ("NVIDIA H200", "NVIDIA H200"))
FACTS = EngineFacts("unix:///var/run/docker.sock", "28.3.0", {"Runtimes": {"runc": {}}, "DockerRootDir": "/nowhere"})

# -- driver ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "environment", "needed"),
    [
        (f"{NGC}:26.01-py3", {}, "590.48"),
        (f"{NGC}:25.12-py3-min", {}, "580.82"),
        (f"{NGC}:24.12-vllm-python-py3", {}, "545"),
        (f"{NGC}:22.12-py3", {}, ""),
        ("registry.example/mine:latest", {}, ""),
        ("registry.example/mine:latest", {"NVIDIA_TRITON_SERVER_VERSION": "25.05"}, "575.51"),
        ("registry.example/mine:latest", {"CUDA_DRIVER_VERSION": "550.54.15"}, "550.54.15"),
        ("registry.example/mine:latest", {"CUDA_DRIVER_VERSION": "$(evil)"}, ""),
        ("localhost:5000/mine", {}, ""),
    ],
)
def test_which_driver_an_image_needs(image: str, environment: dict[str, str], needed: str) -> None:
    assert needed_driver(image, environment)[0] == needed


@pytest.mark.parametrize(
    ("driver", "image", "state", "said"),
    [
        (Driver(), "26.01-py3", WARNING, "models run on the CPU"),
        (replace(H200, version="590.48"), "26.01-py3", OK, "2 × NVIDIA H200"),
        (replace(H200, version="600.1"), "26.01-py3", OK, "was made for 590.48"),
        (H200, "26.01-py3", WARNING, "compatibility libraries"),
        (replace(H200, version="460.32"), "26.01-py3", FAILED, "older than 590.48"),
        (Driver("570.1", ("NVIDIA GeForce RTX 4090",)), "26.01-py3", FAILED, "older than 590.48"),
        (Driver("570.1", ("NVIDIA H200", "NVIDIA RTX A6000")), "26.01-py3", FAILED, "older"),
        (Driver("570.1"), "24.04-py3", OK, "no GPU"),
        (Driver("570.1", fault="Driver/library version mismatch"), "24.04-py3", FAILED, "does not work"),
        (H200, "latest", OK, "is not known"),
    ],
)
def test_the_driver_against_the_image(driver: Driver, image: str, state: CheckState, said: str) -> None:
    check = check_driver(driver, f"{NGC}:{image}", {})
    assert check.state is state
    assert said in check.sentence
    assert bool(check.mend) == (state is not OK)


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 03:00:00 UTC 2026\nGCC version:  x\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (root@x)  Thu\n",
    ],
)
def test_the_kernel_says_which_driver_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "driver/nvidia").mkdir(parents=True)
    (tmp_path / "driver/nvidia/version").write_text(text)
    tools = tmp_path / "bin"
    tools.mkdir()
    smi = tools / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA H200\necho NVIDIA H200\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    assert look_at_driver(tmp_path) == H200
    smi.write_text("#!/bin/sh\necho Failed to initialize NVML: Driver/library version mismatch\nexit 18\n")
    assert "mismatch" in look_at_driver(tmp_path).fault
    smi.unlink()
    assert look_at_driver(tmp_path).fault == "nvidia-smi is not on PATH"


def test_without_a_driver(tmp_path: Path) -> None:
    assert look_at_driver(tmp_path) == Driver()


# -- engine ---------------------------------------------------------------------------------


def test_a_rootless_engine_is_called_so() -> None:
    rootless = replace(FACTS, info={"SecurityOptions": ["name=seccomp", "name=rootless"]})
    assert check_engine(rootless).sentence.startswith("rootless Docker 28.3.0")
    assert check_engine(FACTS).sentence == "Docker 28.3.0 answers at unix:///var/run/docker.sock."


@pytest.mark.parametrize(
    ("info", "driver", "hook", "cdi", "state", "said"),
    [
        ({"Runtimes": {"nvidia": {}}}, H200, None, (), OK, "NVIDIA runtime"),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, H200, None, (), OK, "1 GPU devices"),
        ({}, Driver(), None, (), OK, "not needed"),
        ({}, H200, "/usr/bin/nvidia-container-runtime-hook", (), OK, "hook"),
        ({"CDISpecDirs": ["/etc/cdi"]}, H200, None, ("/etc/cdi/nvidia.yaml",), WARNING, "does not list them"),
        ({}, H200, None, ("/etc/cdi/nvidia.yaml",), FAILED, "has CDI off"),
        ({}, H200, None, (), FAILED, "neither"),
        ({"DiscoveredDevices": ["junk"], "Runtimes": None}, H200, None, (), FAILED, "neither"),
    ],
)
def test_whether_the_engine_can_give_gpus(
    info: dict[str, object], driver: Driver, hook: str | None, cdi: tuple[str, ...], state: CheckState, said: str
) -> None:
    check = check_gpu_support(replace(FACTS, info=info), driver, hook, cdi)
    assert (check.state, said in check.sentence) == (state, True), check
    assert bool(check.mend) == (state is not OK)


def test_a_remote_engine_is_not_judged_by_this_host() -> None:
    remote = replace(FACTS, address="tcp://gpu-box:2376")
    assert check_gpu_support(remote, Driver(), "/usr/bin/hook", ()).state is FAILED
    assert free_disk(remote) is None


def test_cdi_descriptions_are_found(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text("kind: nvidia.com/gpu\n")
    (tmp_path / "other.yaml").write_text("kind: example.com/device\n")
    assert look_for_cdi((tmp_path, tmp_path / "none")) == (str(tmp_path / "nvidia.yaml"),)


@pytest.mark.parametrize(("free", "state"), [(None, WARNING), (10 * GIB, FAILED), (26 * GIB, WARNING), (100 * GIB, OK)])
def test_room_for_the_image(free: int | None, state: CheckState) -> None:
    assert check_disk(FACTS, f"{NGC}:26.01-py3", free).state is state


def test_an_image_that_is_there_needs_no_room() -> None:
    check = check_disk(replace(FACTS, image_bytes=241_000_000), "mine", 0)
    assert (check.state, "0.2 GB" in check.sentence) == (OK, True)


def test_room_depends_on_the_kind_of_image() -> None:
    sizes = [room_for(f"{NGC}:26.01{end}") for end in ("-py3-min", "-py3", "-vllm-python-py3", "-trtllm-python-py3")]
    assert sizes == sorted(sizes)
    assert room_for("mine:1-py3") == room_for(f"{NGC}:26.01-py3-min")


def test_the_disk_of_a_folder_that_only_the_engine_may_see(tmp_path: Path) -> None:
    free = free_disk(replace(FACTS, info={"DockerRootDir": str(tmp_path / "not" / "there")}))
    assert free is not None
    assert free > 0


# -- host -----------------------------------------------------------------------------------


def test_ports() -> None:
    free, _ = check_ports(9000, is_free=lambda port: True, owner_of=lambda port: ""), 0
    assert [(check.state, check.sentence) for check in free] == [(OK, "9000 to 9002 are free on 127.0.0.1.")]
    taken = check_ports(9000, is_free=lambda port: port != 9001, owner_of=lambda port: "python3 (process 7)")
    assert [(check.state, check.sentence) for check in taken] == [(FAILED, "9001 is taken by python3 (process 7).")]
    assert "9001" in taken[0].mend
    usual = check_ports(None, is_free=lambda port: False, owner_of=lambda port: "")
    assert [check.state for check in usual] == [OK] * 3, "free ones are taken instead"
    assert "whom this user may not see" in usual[0].sentence


@pytest.mark.parametrize(("free", "state"), [(1, FAILED), (32, WARNING), (1024, OK)])
def test_shared_memory(free: int, state: CheckState) -> None:
    check = judge_shm(free * MIB, 2048 * MIB, "/dev/shm")
    assert check.state is state
    assert ("remount" in check.mend) == (state is not OK)


def test_no_shared_memory_at_all(tmp_path: Path) -> None:
    assert check_shm(tmp_path).state in (OK, WARNING, FAILED)
    missing = check_shm(tmp_path / "shm")
    assert (missing.state, "no shared memory" in missing.sentence) == (FAILED, True)


GOOD = Terminal(True, "xterm-256color", "utf-8", 120, 40, True)


@pytest.mark.parametrize(
    ("terminal", "state", "said"),
    [
        (GOOD, OK, "16 million colours"),
        (replace(GOOD, true_color=False), OK, "palette"),
        (replace(GOOD, is_terminal=False), OK, "tables and JSON only"),
        (replace(GOOD, term="dumb"), FAILED, "no screen"),
        (replace(GOOD, term=""), FAILED, "not set"),
        (replace(GOOD, encoding="ISO-8859-1"), WARNING, "not UTF-8"),
        (replace(GOOD, columns=60), WARNING, "60 × 40"),
    ],
)
def test_the_terminal(terminal: Terminal, state: CheckState, said: str) -> None:
    check = check_terminal(terminal)
    assert (check.state, said in check.sentence) == (state, True), check


# -- what a container saw -------------------------------------------------------------------

TORCH = """
=============================
== Triton Inference Server ==
=============================
backends: onnxruntime python pytorch
tritop-gpu-test:{"how": "torch 2.6.0", "names": ["NVIDIA H200", "NVIDIA H200"], "fault": ""}
"""


def test_what_torch_saw() -> None:
    inside = read_inside(TORCH)
    assert inside == Inside(
        "torch 2.6.0", ("NVIDIA H200", "NVIDIA H200"), "", frozenset({"onnxruntime", "python", "pytorch"})
    )
    cuda, backends = check_inside(inside, "mine", 2)
    assert (cuda.state, cuda.sentence) == (OK, "CUDA sees 2 × NVIDIA H200 in mine (torch 2.6.0).")
    assert (backends.state, backends.sentence) == (OK, "backends in mine: onnxruntime, python, pytorch.")


def test_fewer_gpus_inside_than_outside() -> None:
    check = check_inside(read_inside(TORCH), "mine", 8)[0]
    assert (check.state, "The host has 8." in check.sentence) == (WARNING, True)


def test_cuda_that_is_not_visible() -> None:
    inside = read_inside('backends:\ntritop-gpu-test:{"how": "libcuda", "names": [], "fault": "cuInit: no device"}')
    cuda, backends = check_inside(inside, "mine", None)
    assert (cuda.state, cuda.sentence) == (FAILED, "CUDA is not visible in mine (libcuda): cuInit: no device.")
    assert cuda.mend == "docker run --rm --gpus all mine nvidia-smi"
    assert (backends.state, "no folder" in backends.sentence) == (WARNING, True)


def test_an_image_without_python() -> None:
    listed = read_inside("backends: python\nnvidia-smi: GPU 0: NVIDIA H200 (UUID: GPU-6f2c)\n")
    assert (listed.how, listed.names) == ("nvidia-smi", ("NVIDIA H200",))
    none = read_inside("backends: python\nnvidia-smi: sh: nvidia-smi: not found\n")
    assert (none.names, none.fault) == ((), "sh: nvidia-smi: not found")


@pytest.mark.parametrize(
    "output", ["", "tritop-gpu-test:{", "tritop-gpu-test:[]", 'tritop-gpu-test:{"how": 1}', "x\n\n"]
)
def test_anything_else_that_a_container_may_say(output: str) -> None:
    inside = read_inside(output)
    assert inside.names == ()
    assert inside.fault


def test_the_look_inside_runs_as_it_is_given_to_the_container(capfd: pytest.CaptureFixture[str]) -> None:
    import subprocess

    from tritop.doctor.gpu_test import _LOOK, _SCRIPT

    environ = {**os.environ, "TRITOP_LOOK": _LOOK, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", _SCRIPT], env=environ, capture_output=True, text=True, check=True)
    inside = read_inside(done.stdout)
    assert inside.how.startswith(("libcuda", "torch"))
    assert bool(inside.names) != bool(inside.fault)
