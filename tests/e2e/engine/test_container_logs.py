"""`tritop logs` of containers on a real engine: several runs, following over a restart, and a busy one."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.processes import wait_until
from tritop.logs import LogChunk
from tritop.runtimes.docker_client import engine_address
from tritop.runtimes.docker_log import DockerLog

pytestmark = pytest.mark.engine

REFUSED = ["tritonserver", "--model-repository=/not-there"]
"""A real Triton that says its first and its last words within two tenths of a second."""
GREETING = "Unable to allocate pinned system memory"
LAST_WORD = "failed to stat file /not-there"


@pytest.fixture
def run_out(stage: EngineStage) -> Callable[[int], Any]:
    """Run a container of somebody else to its end, so many times."""

    def run(times: int) -> Any:
        other = stage.other(f"{stage.prefix}-log", REFUSED, init=True)
        for _ in range(times):
            other.start()
            other.wait(timeout=60)
        return other

    return run


def entries(stage: EngineStage, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = stage.answer("logs", f"{stage.prefix}-log", "--json", *arguments)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_each_run_has_a_number_and_the_one_before_is_printed_alone(
    stage: EngineStage, run_out: Callable[[int], Any]
) -> None:
    run_out(3)
    everything = entries(stage)
    assert [entry["run"] for entry in everything if GREETING in entry["text"]] == [1, 2, 3]
    assert [entry["run"] for entry in everything if LAST_WORD in entry["text"]] == [1, 2, 3]
    assert [entry["text"] for entry in everything if entry["note"]] == [
        "the server was started again: run 2",
        "the server was started again: run 3",
    ]
    previous = entries(stage, "--previous")
    assert {entry["run"] for entry in previous} == {2}
    assert [entry["text"] for entry in previous] == [
        entry["text"] for entry in everything if entry["run"] == 2 and not entry["note"]
    ]


def test_following_goes_on_over_a_restart(stage: EngineStage, run_out: Callable[[int], Any]) -> None:
    other = run_out(2)
    process = stage.tritop("logs", "-f", "--json", "--filter", GREETING, other.name)
    seen: list[dict[str, Any]] = []

    def next_run() -> int:
        assert process.stdout is not None
        while True:
            seen.append(json.loads(process.stdout.readline()))
            if not seen[-1]["note"]:
                return int(seen[-1]["run"])

    assert [next_run(), next_run()] == [1, 2]
    other.start()
    assert next_run() == 3
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")


def test_a_log_of_five_thousand_lines_a_second_arrives_whole_and_is_kept_bounded(
    stage: EngineStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four seconds' worth of it, written as fast as it goes."""
    monkeypatch.setattr("tritop.runtimes.docker_log.KEPT_LINES", 5000)
    count = 20_000
    script = f"for ((n = 0; n < {count}; n++)); do echo $n; done"
    stage.other(f"{stage.prefix}-log", ["bash", "-c", script]).start()
    log = DockerLog(engine_address(stage.environ), f"{stage.prefix}-log")
    arrived: list[bytes] = []
    log.follow(lambda chunk: arrived.extend(chunk.lines))
    try:
        wait_until(lambda: len(arrived) >= count, "every line arrived")
        assert arrived == [b"%d" % number for number in range(count)]
        late: list[LogChunk] = []
        log.follow(late.append)
        kept = [line for chunk in late for line in chunk.lines]
        assert 1000 < len(kept) <= 5000
        assert kept == arrived[-len(kept) :]
    finally:
        log.close()


UNFORESEEN = """
sequence_batching {
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1, 2 ] } ] } ]
}
"""
"""No rule of tritop's own says what is wrong with it."""


def test_a_refusal_has_its_reason_and_a_first_edit_its_duration_out_of_the_containers_log(
    stage: EngineStage, tmp_path: Path
) -> None:
    """The server listens inside its container, where its ports and its log are other ones than here."""
    target = ("-u", stage.up().endpoint.grpc_address)
    code, running, err = stage.answer("config", "show", "tiny", *target)
    assert code == 0, err
    file = tmp_path / "unforeseen.pbtxt"
    file.write_text(running + UNFORESEEN)
    code, out, err = stage.answer("load", "tiny", "--config", str(file), "--yes", *target)
    assert (code, out) == (1, "")
    assert "must have exactly 2 entries" in err
    assert "tiny goes on as it was" in err
    code, out, err = stage.answer("batching", "set", "tiny", "--on", "--dry-run", "--json", *target)
    assert code == 0, err
    assert 0 < json.loads(out)["expected_s"] < 60


def test_what_it_prints_goes_through_a_pipe_that_ends(stage: EngineStage, run_out: Callable[[int], Any]) -> None:
    run_out(1)
    process = stage.tritop("logs", f"{stage.prefix}-log")
    assert process.stdout is not None
    head = subprocess.run(["head", "-n", "1"], stdin=process.stdout, capture_output=True, text=True, check=True)
    process.stdout.close()
    assert GREETING in head.stdout
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.wait(20)
