"""Writing back what runs on a real Triton where disk or file refuse: nothing is lost, everything serves on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.control_models import write_control_models
from tests.e2e.control_stage import Stage
from tests.e2e.triton_calls import config_of, load
from tests.running_triton import TritonFactory

pytestmark = pytest.mark.triton

ODD = """
# Max batch: as the hardware people said (ticket 7).
max_batch_size:8   backend : 'pyt' "hon"    # two literals are one
input < name: "ROWS", data_type: 11 dims: [ 4 ] >
output: [{name:"OUT";data_type:TYPE_FP32;dims:4}]
dynamic_batching{max_queue_delay_microseconds:0x64 # 100, in hex
  default_queue_policy <timeout_action:DELAY default_timeout_microseconds : 5000000>}
instance_group[
  # one is enough
  {kind: KIND_CPU
   count:1}  ]
parameters { key: "note" value { string_value: "a \\"quoted\\" # text" } }
"""
"""Comments, enums by name and number, both kinds of braces, hexadecimal, and no two spaces alike."""

NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
"""Mounts that only the command under test sees: the server's own view of its repository stays as it is."""


@pytest.fixture
def stage(make_triton_server: TritonFactory, tmp_path: Path) -> Stage:
    """A server with one model, whose running configuration is not its file's any more."""
    repository = write_control_models(tmp_path / "models", "echo")
    (repository / "echo" / "config.pbtxt").write_text(ODD)
    stage = Stage(make_triton_server(repository=repository))

    async def drift() -> None:
        await load(stage.endpoint, "echo")
        await stage.infer("echo")
        config = await config_of(stage.endpoint, "echo")
        config.dynamic_batching.max_queue_delay_microseconds = 700
        await load(stage.endpoint, "echo", config)

    stage.triton.run(drift())
    return stage


def save(stage: Stage, tmp_path: Path, mounts: str = "") -> subprocess.CompletedProcess[str]:
    """`tritop batching save echo`, after mounts of its own."""
    command = [sys.executable, "-m", "tritop", "batching", "save", "echo", "--repository", str(stage.repository)]
    line = f"{mounts}exec {shlex.join([*command, '-u', stage.endpoint.grpc_address])}"
    shell = ["sh", "-ec", line]
    if mounts:
        shell = [*NAMESPACE, *shell]
        if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("this user may make no mount namespace")
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    return subprocess.run(shell, capture_output=True, text=True, env=environ, check=False)


def delay_us(stage: Stage) -> int:
    async def ask() -> int:
        return int((await config_of(stage.endpoint, "echo")).dynamic_batching.max_queue_delay_microseconds)

    return stage.triton.run(ask())


def assert_nothing_happened(stage: Stage, path: Path) -> None:
    assert path.read_text() == ODD
    assert sorted(one.name for one in path.parent.iterdir()) == ["1", "config.pbtxt"]
    assert delay_us(stage) == 700
    stage.triton.run(stage.infer("echo", 3))


def test_a_file_of_unusual_form_keeps_all_that_was_not_edited(stage: Stage, tmp_path: Path) -> None:
    path = stage.repository / "echo" / "config.pbtxt"
    done = save(stage, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text() == ODD.replace("0x64", "700")
    (backup,) = (tmp_path / "state").rglob("*.bak")
    assert backup.read_text() == ODD

    async def load_again() -> None:
        await stage.infer("echo", 3)
        before = await stage.successes("echo")
        await load(stage.endpoint, "echo")
        assert await stage.successes("echo") == before, "what was saved is what runs, so nothing is reloaded"

    stage.triton.run(load_again())
    assert delay_us(stage) == 700


@pytest.mark.parametrize(
    ("mounts", "said"),
    [
        ("mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}; ", "Read-only file system"),
        (
            "cp -r {folder} {aside}; mount -t tmpfs -o size=12k none {folder}; cp {aside}/config.pbtxt {folder}; "
            "mkdir {folder}/1; head -c 1M /dev/zero > {folder}/full 2> /dev/null || true; ",
            "No space left on device",
        ),
        (
            "mkdir -p {state}; mount -t tmpfs -o size=8k none {state}; "
            "head -c 1M /dev/zero > {state}/full 2> /dev/null || true; ",
            "the backup of",
        ),
    ],
    ids=["read-only", "full", "no room for the backup"],
)
def test_a_disk_that_refuses_loses_nothing(stage: Stage, tmp_path: Path, mounts: str, said: str) -> None:
    folder = stage.repository / "echo"
    names = {"folder": folder, "aside": tmp_path / "aside", "state": tmp_path / "state"}
    done = save(stage, tmp_path, mounts.format(**{name: shlex.quote(str(path)) for name, path in names.items()}))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert said in done.stderr
    assert "Nothing was written" in done.stderr
    assert_nothing_happened(stage, folder / "config.pbtxt")


def test_no_link_out_of_the_repository_is_followed(stage: Stage, tmp_path: Path) -> None:
    path = stage.repository / "echo" / "config.pbtxt"
    outside = tmp_path / "outside.pbtxt"
    path.rename(outside)
    path.symlink_to(outside)
    done = save(stage, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "symbolic link" in done.stderr
    assert (outside.read_text(), path.is_symlink()) == (ODD, True)
    path.unlink()
    outside.rename(path)
    assert_nothing_happened(stage, path)

    folder, elsewhere = path.parent, tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    done = save(stage, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "outside of the repository" in done.stderr
    folder.unlink()
    elsewhere.rename(folder)
    assert_nothing_happened(stage, path)
