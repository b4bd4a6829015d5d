"""Requests for GPUs on an engine with a stand-in for NVIDIA's hook, and what a container sees of CUDA then."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.engine.engine_stage import EngineStage, stage_on
from tests.e2e.engine.fake_cuda import SITE, TORCH, compile_libcuda, derive_image
from tests.e2e.engine.private_engine import PrivateEngine, private_engine
from tests.nvml.fake_nvml import compiler
from tests.nvml.hosting import fake_nvml
from tests.processes import wait_until
from tests.running_triton import LoopThread
from tests.triton_image import LIBRARIES
from tritop.doctor.gpu_test import LABEL
from tritop.runtimes.supervisor import Phase, Wish

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private Docker engine needs root"),
]

UUID = "GPU-6f2c1f0e-0000-0000-0000-000000000001"
HOOK = '#!/bin/sh\n[ -e "${0%/*}/said" ] || exit 0\ncat "${0%/*}/said" >&2\nexit 1\n'
"""Succeeds, unless a file beside it holds what it is to fail with."""


@dataclass
class GpuStage:
    """A stage on an engine that takes requests for GPUs."""

    stage: EngineStage
    said: Path

    def refuse(self, words: str) -> None:
        """Let the hook fail, as NVIDIA's does where it cannot give what was asked for."""
        self.said.write_text(f"{words}\n")

    def visible(self, container: str) -> str:
        """What the container's first process was told that it may see."""
        pid = self.stage.client.api.inspect_container(container)["State"]["Pid"]
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        return dict(entry.partition("=")[::2] for entry in environ).get("NVIDIA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="module")
def gpu_engine(triton_image: str, engine_client: docker.DockerClient) -> Iterator[PrivateEngine]:
    with private_engine(hook=HOOK) as engine:
        engine.take_image(triton_image, engine_client)
        yield engine


@pytest.fixture
def gpus(
    gpu_engine: PrivateEngine, triton_image: str, models: Path, tmp_path: Path, triton_loop: LoopThread
) -> Iterator[GpuStage]:
    said = gpu_engine.folder / "bin" / "said"
    with stage_on(gpu_engine, triton_image, models, tmp_path, triton_loop) as stage:
        yield GpuStage(stage, said)
    said.unlink(missing_ok=True)


@pytest.mark.parametrize(("asked", "given"), [((UUID,), UUID), (("0", "1"), "0,1"), (("all",), "all")])
def test_what_is_asked_for_reaches_the_container(gpus: GpuStage, asked: tuple[str, ...], given: str) -> None:
    hosted = gpus.stage.hosted(gpus.stage.spec(gpus=asked)).open()
    hosted.until(lambda state: state.running)
    # For a moment the first process is still the one that prepares the container.
    wait_until(lambda: bool(gpus.visible(hosted.container_name)), "the first process of the container runs")
    assert gpus.visible(hosted.container_name) == given
    (request,) = hosted.shown()["HostConfig"]["DeviceRequests"]
    assert request["Capabilities"] == [["gpu"]]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
            "The NVIDIA driver of this host cannot be used",
        ),
        (
            "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown",
            "The NVIDIA driver of this host cannot be used",
        ),
        ("nvidia-container-cli: device error: 9: unknown device: unknown", "There is no such GPU"),
    ],
    ids=["no driver", "mismatch", "no such GPU"],
)
def test_a_gpu_that_the_driver_does_not_give(gpus: GpuStage, said: str, sentence: str) -> None:
    gpus.refuse(said)
    stage = gpus.stage
    name = f"{stage.prefix}-g"
    options = ("--image", stage.image, "--gpus", "9", "--detach")
    code, out, err = stage.answer("up", str(stage.models), "--name", name, *options)
    assert (code, out) == (1, "")
    assert f"tritop: {sentence}: " in err
    assert "nvidia-smi" in err
    assert stage.containers(f"tritop-{name}") == [], "and what could not be started is gone"


def test_gpus_are_remembered_by_uuid_where_the_driver_tells_them(
    gpus: GpuStage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indices change with the hardware; what was asked for by one is the GPU that had it then."""
    nvml = fake_nvml(tmp_path, tmp_path_factory, monkeypatch)
    uuids = [str(nvml.add_h100()["uuid"]) for _ in range(2)]
    nvml.write()
    stage = gpus.stage
    name = f"{stage.prefix}-g"
    options = ("--name", name, "--image", stage.image)
    code, out, _ = stage.answer("up", str(stage.models), *options, "--gpus", "1", "--dry-run")
    assert code == 0
    assert f"device={uuids[1]}" in out
    code, out, err = stage.answer("up", str(stage.models), *options, "--gpus", "1,0", "--no-wait")
    assert code == 0, err
    assert gpus.visible(f"tritop-{name}") == f"{uuids[1]},{uuids[0]}"
    code, out, err = stage.answer("up", str(stage.models), "--name", f"{name}2", "--gpus", "7", "--no-wait")
    assert (code, out) == (2, "")
    assert f"there is no GPU 7 on this host. 0 is {uuids[0]}" in err.replace("\n ", "")
    assert stage.containers(f"tritop-{name}2") == []


class Doctor:
    """`tritop doctor --gpu-test` on that engine."""

    def __init__(self, stage: EngineStage) -> None:
        self._stage = stage

    def checks(self, image: str) -> list[dict[str, Any]]:
        """What it says of the test, and that it left no container."""
        _, out, err = self._stage.answer("doctor", "--json", "--image", image, "--gpu-test", image)
        assert "Traceback" not in err
        assert self._stage.client.containers.list(all=True, filters={"label": LABEL}) == []
        return [check for check in json.loads(out)["checks"] if check["name"] == "gpu test"]


def test_the_doctor_looks_from_inside_a_container_that_got_no_driver(gpus: GpuStage) -> None:
    image = gpus.stage.image
    seen, backends = Doctor(gpus.stage).checks(image)
    assert seen["state"] == "failed"
    assert seen["sentence"].startswith(f"CUDA is not visible in {image} (libcuda): libcuda.so.1: cannot open")
    assert seen["mend"] == f"docker run --rm --gpus all {image} nvidia-smi"
    assert (backends["state"], backends["sentence"]) == ("ok", f"backends in {image}: python.")


@pytest.mark.skipif(compiler() is None, reason="no C compiler for the stand-in of libcuda.so.1")
@pytest.mark.parametrize(
    ("variables", "torch", "state", "said"),
    [
        ((), False, "ok", "CUDA sees 1 × Fake H100 0, 1 × Fake H100 1 in {image} (libcuda)."),
        (("FAKE_CUDA_COUNT=0",), False, "failed", "CUDA is not visible in {image} (libcuda): no device was found."),
        (
            ("FAKE_CUDA_ERROR=100",),
            False,
            "failed",
            "CUDA is not visible in {image} (libcuda): cuInit: no CUDA-capable device is detected.",
        ),
        ((), True, "ok", "CUDA sees 3 × Fake H200 in {image} (torch 2.9.0)."),
    ],
    ids=["two", "none", "error", "torch"],
)
def test_the_doctor_counts_and_names_what_cuda_sees_inside(
    gpus: GpuStage, tmp_path: Path, variables: tuple[str, ...], torch: bool, state: str, said: str
) -> None:
    stage = gpus.stage
    files = {f"{LIBRARIES.lstrip('/')}/libcuda.so.1": compile_libcuda(tmp_path)}
    if torch:
        files[f"{SITE}/torch/__init__.py"] = TORCH.encode()
    image = derive_image(stage.client, stage.image, f"tritop-test/cuda:{stage.prefix}", files, *variables)
    try:
        seen, _ = Doctor(stage).checks(image)
    finally:
        stage.client.api.remove_image(image)
    assert (seen["state"], seen["sentence"]) == (state, said.format(image=image))


def test_the_doctor_tells_why_no_container_could_be_run_with_gpus(gpus: GpuStage) -> None:
    gpus.refuse("nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown")
    (seen,) = Doctor(gpus.stage).checks(gpus.stage.image)
    assert seen["state"] == "failed"
    assert "the NVIDIA driver of this host cannot be used" in seen["sentence"]
    assert "nvidia-smi" in seen["mend"]


def test_a_gpu_that_was_not_given_can_be_asked_for_again(gpus: GpuStage) -> None:
    gpus.refuse("nvidia-container-cli: device error: 9: unknown device: unknown")
    hosted = gpus.stage.hosted(gpus.stage.spec(gpus=(UUID,))).open()
    failed = hosted.until_phase(Phase.FAILED)
    assert failed.explanation.startswith("There is no such GPU")
    hosted.until(lambda state: not state.husk and state.doing is None)
    assert gpus.stage.containers(hosted.container_name) == []
    gpus.said.unlink()
    hosted.ask(Wish.START)
    hosted.until(lambda state: state.running)
    assert gpus.visible(hosted.container_name) == UUID
