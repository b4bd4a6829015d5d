"""`tritop up`, `ps`, `restart` and `down` as an operator uses them, and what a killed tritop leaves behind."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.triton_calls import infer_tiny
from tests.processes import wait_until
from tritop.endpoint import Endpoint
from tritop.runtimes.desired import Wanted
from tritop.runtimes.supervisor import Desired, Phase

pytestmark = pytest.mark.engine


def up(stage: EngineStage, *more: str) -> tuple[str, ...]:
    return ("up", str(stage.models), "--name", name_of(stage), "--image", stage.image, *more)


def name_of(stage: EngineStage) -> str:
    return f"{stage.prefix}-cli"


def container_of(stage: EngineStage) -> dict[str, Any] | None:
    found = stage.containers(f"tritop-{name_of(stage)}")
    assert len(found) <= 1
    return found[0] if found else None


def state_of(stage: EngineStage) -> str:
    found = container_of(stage)
    return str(found["State"]) if found else ""


def events_of(stage: EngineStage) -> list[dict[str, Any]]:
    """What the ledger has of the server, oldest first."""
    code, out, err = stage.answer("events", "--json")
    assert code == 0, err
    return [one for line in out.splitlines() if (one := json.loads(line))["server"] == name_of(stage)]


def row_of(stage: EngineStage) -> dict[str, Any]:
    code, out, _ = stage.answer("ps", "--json")
    assert code == 0
    (row,) = [one for one in json.loads(out)["containers"] if one["name"] == name_of(stage)]
    assert isinstance(row, dict)
    return row


def test_up_ps_restart_down(stage: EngineStage) -> None:
    code, out, err = stage.answer(*up(stage, "--json"))
    assert code == 0, err
    document = json.loads(out)
    assert document["state"] == "READY"
    assert " of 2)" in err, "it tells how far it is"
    host, _, port = document["endpoint"].rpartition(":")
    stage.run(infer_tiny(Endpoint("x", host, int(port)), 3))
    row = row_of(stage)
    assert (row["state"], row["health"], row["managed"]) == ("running", "ready", True)
    assert 0 <= row["cpu_cores"] <= (os.cpu_count() or 1)
    assert row["memory_used_bytes"] > 20_000_000, "a server with two models"
    assert row["memory_limit_bytes"] is None
    assert row["endpoint"] == document["endpoint"]

    code, out, err = stage.answer(*up(stage, "--json"))
    assert (code, json.loads(out)["container"]) == (0, document["container"]), "up of what is up changes nothing"
    code, _, err = stage.answer(*up(stage, "--detach", "--memory", "4g"))
    assert code == 1
    assert "--replace" in err

    code, _, err = stage.answer("restart", name_of(stage))
    assert code == 0, err
    assert row_of(stage)["id"] == document["container"]
    code, out, _ = stage.answer("down", name_of(stage))
    assert (code, out) == (0, f"{name_of(stage)}  stopped\n")
    row = row_of(stage)
    assert (row["state"], row["exit_code"], row["endpoint"]) == ("exited", 0, None)
    assert (row["cpu_cores"], row["memory_used_bytes"]) == (None, None)
    code, _, err = stage.answer("up", "--name", name_of(stage), "--detach")
    assert code == 0, f"its settings are remembered: {err}"
    code, out, _ = stage.answer("down", "--remove", name_of(stage))
    assert (code, out) == (0, f"{name_of(stage)}  removed\n")
    assert container_of(stage) is None
    told = [(one["kind"], one["succeeded"]) for one in events_of(stage)]
    launched, stopped = ("server launched", True), ("server stopped", True)
    assert told == [launched, ("server restarted", True), stopped, launched, ("server removed", True)]
    assert {one["endpoint"] for one in events_of(stage)[:3]} == {document["endpoint"]}


def test_up_of_what_cannot_start_leaves_nothing(stage: EngineStage) -> None:
    code, out, err = stage.answer(*up(stage, "--detach", "--gpus", "all"))
    assert (code, out) == (1, "")
    assert "--gpus none" in err
    assert container_of(stage) is None
    wanted = stage.desk.load(name_of(stage))
    assert wanted is not None
    assert wanted.desired is Desired.STOP


def test_a_dry_run_asks_no_engine_and_shows_no_secret(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.setenv("HF_TOKEN", "hush")
    code, out, _ = stage.answer(*up(stage, "--dry-run", "--env", "HF_TOKEN", "--port", "9000", "--", "--log-verbose=1"))
    assert code == 0
    assert out.startswith("docker run --detach --init ")
    assert "127.0.0.1:9001:8001" in out
    assert out.rstrip().endswith("--log-verbose=1")
    assert "hush" not in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--port", "70000"), "first of three ports"),
        (("--gpus", "some"), "names no GPUs"),
        (("--memory", "much"), "is no size"),
        (("--env", "A=b"), "not the name of an environment variable"),
        (("--", "--http-port=1"), "set by tritop"),
    ],
)
def test_wrong_words(stage: EngineStage, more: tuple[str, ...], said: str) -> None:
    code, out, err = stage.answer(*up(stage, "--dry-run", *more))
    assert (code, out) == (2, "")
    assert said in err


def test_down_of_what_is_not_there(stage: EngineStage) -> None:
    code, _, err = stage.answer("down", f"{stage.prefix}-nobody")
    assert code == 2
    assert "runs no server" in err


def test_without_an_engine_it_says_so(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.address = "unix:///nowhere/docker.sock"
    for arguments in (up(stage, "--detach"), ("ps",), ("down", "x"), ("restart", "x")):
        code, _, err = stage.answer(*arguments)
        assert code == 1
        assert "there is no Docker engine at unix:///nowhere/docker.sock" in err
    stage.address = None


def test_an_engine_behind_ssh_is_refused_at_once(stage: EngineStage) -> None:
    """No ssh is started: it would ask for passwords, and its GPUs and ports are another machine's."""
    stage.address = "ssh://me@gpu-box"
    for arguments in (up(stage, "--detach"), ("ps",), ("down", "x"), ("restart", "x")):
        code, out, err = stage.answer(*arguments)
        assert (code, out) == (1, "")
        assert "the Docker engine is behind SSH (ssh://me@gpu-box)" in err
        assert "ssh -t me@gpu-box tritop" in err
    stage.address = None


@pytest.mark.parametrize("moment", ["", "created", "running"])
def test_a_tritop_that_is_killed_while_it_starts_a_container(stage: EngineStage, moment: str) -> None:
    process = stage.tritop(*up(stage, "--detach"))
    wait_until(lambda: _has_begun(stage) if not moment else state_of(stage) != "", "it has begun")
    wait_until(lambda: not moment or state_of(stage) in (moment, "running"), f"its container is {moment}")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    code, _, err = stage.answer(*up(stage, "--detach"))
    assert code == 0, err
    assert state_of(stage) == "running"


def _has_begun(stage: EngineStage) -> bool:
    wanted = stage.desk.load(name_of(stage))
    return wanted is not None and wanted.desired is Desired.RUN


def killed_while(stage: EngineStage, verb: str, moment: str) -> None:
    """Begin to stop or restart the container and kill that tritop: while Triton ends, or once it has ended."""
    process = stage.tritop(verb, name_of(stage))

    def it_ends() -> bool:
        found = container_of(stage)
        return found is not None and b"Signal (15) received" in stage.client.api.logs(found["Id"], tail=20)

    wait_until(it_ends if moment == "stopping" else lambda: state_of(stage) == "exited", f"it is {moment}")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert moment == "exited" or state_of(stage) == "running", "it was killed in time, or this shows nothing"


@pytest.mark.parametrize("moment", ["stopping", "exited"])
def test_a_tritop_that_is_killed_while_it_restarts_a_container(stage: EngineStage, moment: str) -> None:
    """The next one finishes it, whether Triton was about to end or had ended."""
    assert stage.answer(*up(stage, "--detach"))[0] == 0
    found = container_of(stage)
    assert found is not None
    started = stage.client.api.inspect_container(found["Id"])["State"]["StartedAt"]
    killed_while(stage, "restart", moment)
    wanted = stage.desk.load(name_of(stage))
    assert wanted is not None
    adopted = stage.hosted(wanted.spec, wish=None).open()
    adopted.until(lambda state: state.phase is Phase.READY and state.run > started)
    after = container_of(stage)
    assert after is not None
    assert after["Id"] == found["Id"]
    assert stage.desired(adopted) is Desired.RUN


@pytest.mark.parametrize("moment", ["stopping", "exited"])
def test_a_tritop_that_is_killed_while_it_stops_a_container(stage: EngineStage, moment: str) -> None:
    assert stage.answer(*up(stage, "--detach"))[0] == 0
    killed_while(stage, "down", moment)
    wanted: Wanted | None = stage.desk.load(name_of(stage))
    assert wanted is not None
    adopted = stage.hosted(wanted.spec, wish=None).open()
    adopted.until_phase(Phase.STOPPED)
    assert state_of(stage) == "exited"


def test_up_while_triton_still_ends_for_a_tritop_that_was_killed(stage: EngineStage) -> None:
    """Its end is not taken for somebody's wish against the newer one."""
    assert stage.answer(*up(stage, "--detach"))[0] == 0
    killed_while(stage, "down", "stopping")
    code, out, err = stage.answer("up", "--name", name_of(stage), "--detach")
    assert (code, out.split()[:2]) == (0, [name_of(stage), "READY"]), err
    assert state_of(stage) == "running"


def test_down_and_restart_beside_a_tritop_that_supervises(stage: EngineStage) -> None:
    assert stage.answer(*up(stage, "--detach"))[0] == 0
    wanted = stage.desk.load(name_of(stage))
    assert wanted is not None
    watching = stage.hosted(wanted.spec, wish=None).open()
    watching.until_ready()
    code, out, err = stage.answer("restart", name_of(stage))
    assert code == 0, err
    assert f"supervised by process {os.getpid()}" in out
    watching.until_ready()
    assert watching.state.desired is Desired.RUN
    assert stage.answer("down", name_of(stage))[0] == 0
    watching.until_phase(Phase.STOPPED)
    assert watching.state.restarts == 0
