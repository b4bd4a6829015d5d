"""The verbs that change a model, against a real Triton."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.control_stage import Stage
from tritop.cli import main

pytestmark = pytest.mark.triton

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run one command line against the stage's server, away from this machine's configuration."""
    for variable in [name for name in os.environ if name.startswith(("TRITOP_", "XDG_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    address = stage.endpoint.grpc_address

    def run_one(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "-u", f"{address}?metrics=off"])
        return code, *capsys.readouterr()

    return run_one


def test_batching_is_shown_previewed_and_set(run: Run, stage: Stage) -> None:
    code, out, _ = run("batching", "show", "echo", "--json")
    assert code == 0
    shown = json.loads(out)
    assert (shown["dynamic_batching"], shown["max_batch_size"], shown["max_queue_delay_us"]) == (True, 8, 100)
    change = ("batching", "set", "echo", "--max-queue-delay", "2ms", "--preferred", "4,8", "--max-batch", "16")
    code, out, _ = run(*change, "--dry-run", "--json")
    preview = json.loads(out)
    assert (code, preview["change"], preview["sendable"]) == (0, "full reload", True)
    assert {row["path"]: row["after"] for row in preview["diff"]} == {
        "max_batch_size": "16",
        "dynamic_batching.preferred_batch_size": "4 8",
        "dynamic_batching.max_queue_delay_microseconds": "2000",
    }
    code, out, err = run(*change)
    assert (code, out) == (2, "")
    assert "--yes" in err
    assert json.loads(run("batching", "show", "echo", "--json")[1])["max_queue_delay_us"] == 100
    code, out, _ = run(*change, "--yes")
    assert (code, out[:5]) == (0, "echo:")
    text = run("batching", "show", "echo")[1]
    assert "preferred_batch_sizes   4 8" in text
    assert run(*change, "--yes")[1].startswith("nothing to do")
    run("batching", "set", "echo", "--max-batch", "8", "--preferred", "none", "--max-queue-delay", "100us", "--yes")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("batching set echo --yes", 2, "nothing was said"),
        ("batching set echo --max-queue-delay 2 --yes", 2, "Write it with its unit"),
        ("batching set echo --preferred 4;8 --yes", 2, "Write 4,8"),
        ("batching show echo --on", 2, "Say batching set"),
        ("batching set echo --preferred 99 --yes", 1, "99 is above max_batch_size 8"),
        ("batching set whole --on --yes", 1, "is an ensemble"),
        ("batching set counted --on --yes", 1, "batches sequences"),
        ("batching set nosuch --on --yes", 1, "no model 'nosuch'"),
        ("batching set echo --off --read-only --yes", 1, "read-only"),
        ("batching set echo --max-batch 4 --yes", 2, "--lose 'ensemble whole'"),
        ("instances echo 0 --yes", 2, "tritop unload"),
        ("instances echo 1 --gpus 0 --yes", 1, "invalid or unsupported gpu id 0"),
        ("versions twin --keep latest:0 --yes", 2, "how many"),
        ("versions twin --keep none --yes", 2, "tritop unload"),
        ("versions twin --keep 9 --yes", 1, "at least one version must be available"),
        ("load twin --version 9 --yes", 1, "version 9 of twin is not in the repository"),
        ("load twin --version 1 --config x", 2, "do not go together"),
        ("load twin --config /nosuch --yes", 2, "cannot read /nosuch"),
        ("load twin --config /dev/null --yes", 2, "/dev/null is empty"),
        ("batching set echo --on --trial 0s --yes", 2, "--trial"),
        ("unload twin --version x --yes", 2, "no version number"),
    ],
)
def test_what_is_refused_says_why(run: Run, line: str, code: int, said: str) -> None:
    ended, out, err = run(*line.split())
    assert (ended, out) == (code, "")
    assert said in err


def test_instances_and_versions(run: Run, stage: Stage) -> None:
    assert run("instances", "twin", "2", "--yes")[0] == 0
    assert run("instances", "twin", "1", "--kind", "cpu", "--yes")[0] == 0
    code, out, _ = run("versions", "twin", "--keep", "latest:2", "--yes", "--json")
    assert (code, json.loads(out)["versions_after"]) == (0, [2, 3])
    shown = run("versions", "twin")[1]
    assert "1  UNAVAILABLE  unloaded" in shown
    assert run("load", "twin", "--version", "1", "--yes")[0] == 0
    assert "version 3 is taken out" in run("unload", "twin", "--version", "3", "--dry-run")[1]
    assert run("unload", "twin", "--version", "3", "--yes")[1].startswith("twin serves versions 1, 2")
    assert run("versions", "twin", "--keep", "all", "--yes")[0] == 0
    assert stage.triton.run(stage.ready("twin")) == (1, 2, 3)


def test_a_model_goes_and_comes_back(run: Run) -> None:
    code, out, _ = run("unload", "stream", "--yes")
    assert (code, out.startswith("stream unloaded")) == (0, True)
    assert run("unload", "stream", "--yes")[1].startswith("nothing to do")
    code, _, err = run("config", "show", "stream")
    assert code == 1
    assert "tritop load stream" in err
    # What is not loaded is loaded without a question: nobody can be hurt.
    assert run("load", "stream")[1].startswith("stream loaded, serving version 1")


def test_config_is_shown_compared_and_edited(run: Run, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("config", "show", "echo", "--json")
    assert (code, json.loads(out)["backend"]) == (0, "python")
    assert json.loads(run("config", "diff", "twin", "--repository", str(stage.repository), "--json")[1])["diff"] == []

    code, out, _ = run("config", "diff", "twin")
    assert (code, f"{stage.repository / 'twin' / 'config.pbtxt'} says what runs" in out) == (0, True)
    code, out, _ = run("config", "diff", "twin", "--repository", "/nosuch")
    assert (code, "/nosuch" in out) == (1, True)

    monkeypatch.setenv("VISUAL", "true")
    assert run("config", "edit", "echo", "--yes")[1] == "nothing was changed.\n"
    monkeypatch.setenv("VISUAL", "false")
    code, _, err = run("config", "edit", "echo", "--yes")
    assert (code, "exit code 1" in err) == (1, True)
    monkeypatch.setenv("VISUAL", "sed -i s/max_batch_size:.8/max_batch_size:-1/")
    code, _, err = run("config", "edit", "echo", "--yes")
    assert code == 1
    assert "max_batch_size: is -1" in err
    monkeypatch.setenv("VISUAL", "sed -i /max_queue_delay/s/100/150/")
    code, out, _ = run("config", "edit", "echo", "--yes")
    assert (code, "100 -> 150" in out) == (0, True)
    drift = json.loads(run("config", "diff", "echo", "--repository", str(stage.repository), "--json")[1])
    assert [row["path"] for row in drift["diff"]] == ["dynamic_batching.max_queue_delay_microseconds"]


def test_an_edit_under_an_open_editor_is_refused_where_somebody_else_was_faster(
    run: Run, stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The editor is a script that changes the model behind its own back."""
    script = tmp_path / "editor"
    address = stage.endpoint.grpc_address
    script.write_text(
        "#!/bin/sh\n"
        "sed -i s/max_queue_delay_microseconds:.*/max_queue_delay_microseconds:444/ $1\n"
        f"{Path(sys.executable).parent / 'tritop'} batching set echo --max-queue-delay 333us --yes -u {address}\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VISUAL", str(script))
    code, _, err = run("config", "edit", "echo", "--yes")
    assert code == 1
    assert "somebody else has changed echo" in err
    assert json.loads(run("batching", "show", "echo", "--json")[1])["max_queue_delay_us"] == 333


def test_an_empty_configuration_must_be_agreed_to_field_by_field(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "empty.json"
    file.write_text("{}")
    code, _, err = run("load", "echo", "--config", str(file), "--yes", "--lose", "backend,default_model_filename")
    assert code == 2
    assert "would lose max_batch_size, input, output" in err
    assert "--lose input" in err


def test_the_servers_reason_comes_out_of_its_log(run: Run, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "counted.pbtxt"
    file.write_text(
        run("config", "show", "counted")[1].replace("int32_false_true: 1", "int32_false_true: 1 int32_false_true: 2")
    )
    log = tmp_path / "elsewhere.log"
    command = ("load", "counted", "--config", str(file), "--yes")
    code, _, err = run(*command)
    assert code == 1
    assert "must have exactly 2 entries" in err, "the log of a server of this host is found"
    log.touch()
    code, _, err = run(*command, "--server-log", str(log))
    assert (code, "exactly 2 entries" in err) == (1, False)
    code, _, err = run(*command, "--server-log", str(log) + ".not")
    assert "only in the server's log: there is no log" in err


def test_what_was_changed_is_in_the_ledger_and_can_be_undone(run: Run, stage: Stage) -> None:
    before = json.loads(run("batching", "show", "echo", "--json")[1])["max_queue_delay_us"]
    assert run("batching", "set", "echo", "--max-queue-delay", "7ms", "--yes")[0] == 0
    code, out, _ = run("batching", "undo", "echo")
    assert (code, f"7000 -> {before}" in out) == (0, True)
    assert json.loads(run("batching", "show", "echo", "--json")[1])["max_queue_delay_us"] == before


def test_what_runs_is_saved_into_the_file(run: Run, stage: Stage) -> None:
    file = stage.repository / "echo" / "config.pbtxt"
    text = file.read_text()
    run("batching", "set", "echo", "--max-queue-delay", "6ms", "--yes")
    code, _, err = run("batching", "save", "echo", "--repository", str(stage.repository))
    assert (code, err) == (0, "")
    assert "6000" in file.read_text()
    file.write_text(text)
    run("load", "echo", "--yes")


def test_a_trial_is_kept_or_taken_back(run: Run) -> None:
    def delay_us() -> int:
        return int(json.loads(run("batching", "show", "echo", "--json")[1])["max_queue_delay_us"])

    before = delay_us()
    trial = ("batching", "set", "echo", "--max-queue-delay", "5ms", "--trial", "3s", "--yes")
    code, out, _ = run(*trial)
    assert (code, "taken back" in out, "not enough traffic" in out) == (0, True, True)
    assert delay_us() == before
    code, out, _ = run(*trial, "--keep")
    assert (code, "kept" in out) == (0, True)
    assert delay_us() == 5000
    run("batching", "set", "echo", "--max-queue-delay", f"{before}us", "--yes")
