"""A container on the screen: it comes up, its traffic shows, it is killed and comes back, and outlives the screen."""

from __future__ import annotations

import json
import shutil
import sys
from queue import SimpleQueue

import pytest

from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.tmux_terminal import ENDED, Open, then_say
from tests.processes import wait_until
from tritop.live import LiveSession
from tritop.logs import LogLine
from tritop.model import ModelState, ServerState, Snapshot
from tritop.operation import SetTraffic

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


class Arrived:
    """The newest Snapshot of a session."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Snapshot] = SimpleQueue()
        self.seen: list[str] = []

    def __call__(self, snapshot: Snapshot) -> None:
        (server,) = snapshot.servers
        words = (server.state.value, *(model.state.value for model in server.models))
        if not self.seen or self.seen[-1] != " ".join(words):
            self.seen.append(" ".join(words))
        self.newest = snapshot

    def ready(self) -> bool:
        server = self.newest.servers[0]
        ready = {model.name for model in server.models if model.state is ModelState.READY}
        return server.state is ServerState.READY and ready == {"tiny", "pair"}


def test_a_session_shows_a_container_from_nothing_over_a_crash(stage: EngineStage) -> None:
    hosted = stage.hosted()
    session = LiveSession(hosted=[hosted.server], interval_s=0.25)
    arrived = Arrived()
    lines: list[LogLine] = []
    session.start(arrived)
    try:
        wait_until(lambda: hasattr(arrived, "newest"), "the first Snapshot came")
        wait_until(arrived.ready, "its models are READY")
        end_following = session.follow_log(hosted.name, lines.extend)
        session.submit(SetTraffic(hosted.name, "tiny", concurrency=2))
        wait_until(
            lambda: any((model.requests_per_s or 0) > 0 for model in arrived.newest.servers[0].models), "traffic flows"
        )
        stage.kill_triton(hosted.container_name)
        wait_until(lambda: arrived.newest.servers[0].state is ServerState.CRASHED, "the crash shows")
        launch = arrived.newest.servers[0].launch
        assert launch is not None
        assert "SIGKILL" in launch.explanation
        assert launch.restart_in_s is not None
        wait_until(arrived.ready, "it is back")
        launch = arrived.newest.servers[0].launch
        assert launch is not None
        assert (launch.restarts, launch.runtime) == (1, "docker")
        assert launch.command.startswith("docker run ")
        wait_until(
            lambda: sum("successfully loaded 'tiny'" in line.text for line in lines) == 2, "both runs are logged"
        )
        assert {line.run for line in lines if "successfully loaded 'tiny'" in line.text} == {1, 2}
        end_following()
    finally:
        session.stop()
    assert hosted.shown()["State"]["Running"], "it outlives the session"


@pytest.mark.terminal
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_up_in_a_terminal(stage: EngineStage, open_terminal: Open) -> None:
    name = f"{stage.prefix}-screen"
    up = [sys.executable, "-m", "tritop", "up", str(stage.models), "--name", name, "--image", stage.image]
    kept = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
    environ = [f"{key}={value}" for key, value in stage.environ.items() if key in kept]
    terminal = open_terminal(then_say(["env", *environ, *up]), 140, 40)
    terminal.wait_for("its models stand there", lambda text: "tiny" in text and "pair" in text and "● READY" in text)
    stage.kill_triton(f"tritop-{name}")
    terminal.wait_for("the crash", lambda text: "CRASHED" in text)
    terminal.wait_for("that it is back", lambda text: "● READY" in text.splitlines()[0])
    assert len(stage.containers(f"tritop-{name}")) == 1
    terminal.press("q")
    text = terminal.wait_for_text(ENDED)
    assert f"tritop down {name}" in text
    assert stage.client.api.inspect_container(f"tritop-{name}")["State"]["Running"]


def test_without_a_target_the_containers_of_this_host_are_found(stage: EngineStage) -> None:
    """Ours and somebody else's, by the ports that they publish."""
    hosted = stage.up()
    other = f"{stage.prefix}-foreign"
    command = ["tritonserver", "--model-repository=/models", "--model-control-mode=explicit"]
    ports = {"8001/tcp": ("127.0.0.1", None), "8002/tcp": ("127.0.0.1", None)}
    stage.other(other, command, ports=ports, init=True).start()
    found: dict[str, str] = {}

    def both_answer() -> bool:
        code, out, err = stage.answer("models", "--json")
        assert code in (0, 1, 3), err
        found.update({server["name"]: server["state"] for server in json.loads(out)["servers"]})
        return found.get(hosted.container_name) == "READY" and found.get(other) == "READY"

    wait_until(both_answer, "both are found and answer")


@pytest.mark.terminal
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_tritop_alone_goes_on_supervising_what_runs(stage: EngineStage, open_terminal: Open) -> None:
    name = f"{stage.prefix}-adopted"
    up = ("up", str(stage.models), "--name", name, "--image", stage.image, "--detach")
    assert stage.answer(*up)[0] == 0
    kept = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
    environ = [f"{key}={value}" for key, value in stage.environ.items() if key in kept]
    terminal = open_terminal(then_say(["env", *environ, sys.executable, "-m", "tritop"]), 160, 40)
    terminal.wait_for("its models stand there", lambda text: "tiny" in text and name in text)
    started = stage.client.api.inspect_container(f"tritop-{name}")["State"]["StartedAt"]
    stage.kill_triton(f"tritop-{name}")

    def runs_again() -> bool:
        state = stage.client.api.inspect_container(f"tritop-{name}")["State"]
        return bool(state["Running"]) and state["StartedAt"] > started

    wait_until(runs_again, "it was started again")
    terminal.press("q")
    terminal.wait_for_text(ENDED)


@pytest.mark.terminal
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_first_container_is_launched_from_the_screen(stage: EngineStage, open_terminal: Open) -> None:
    """The form, the start model by model, the question before a stop, and the container that is gone with `D`."""
    name = f"{stage.prefix}-first"
    kept = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
    environ = [f"{key}={value}" for key, value in stage.environ.items() if key in kept]
    terminal = open_terminal(then_say(["env", *environ, sys.executable, "-m", "tritop"]), 160, 40)
    terminal.wait_for_text("tritop ▸")
    terminal.press("7")
    terminal.wait_for_text("n new")
    terminal.press("n")
    terminal.wait_for_text("new server")
    terminal.press_text(str(stage.models))
    terminal.press("Tab", "C-u")
    # A key of editing reaches its field after text that is typed right behind it.
    terminal.wait_for("no image", lambda text: "nvcr.io" not in line_of(text, "image"))
    terminal.press_text(stage.image)
    terminal.press("Tab")
    terminal.press_text(name)
    terminal.wait_for_text(f"docker run --detach --init --name tritop-{name}")
    terminal.press("Enter")

    terminal.wait_for("READY", lambda text: "● READY" in line_of(text, name))
    assert len(stage.containers(f"tritop-{name}")) == 1
    terminal.wait_for("the cursor on the new one", lambda text: f"▸ {name}" in text)
    terminal.press("!")
    terminal.wait_for_text("exit returns to tritop")
    terminal.type("echo $((6 * 7)) models: $(echo /models/*)")
    terminal.wait_for_text("42 models: /models/pair /models/tiny")
    terminal.type("exit")
    terminal.wait_for("the shell gone", lambda text: "exit returns" not in text)
    back = terminal.wait_for("the screen again", lambda text: "● READY" in line_of(text, name))
    # Keys that come while the terminal is taken back go to nobody.
    terminal.wait_for("the next second", lambda text: text.splitlines()[0] != back.splitlines()[0])
    terminal.press("x")
    terminal.wait_for("the question", lambda text: f"Stop {name}?" in text and "Cancel (n)" in text)
    terminal.press("Enter")
    terminal.wait_for("the question gone", lambda text: "Cancel (n)" not in text)
    assert stage.client.api.inspect_container(f"tritop-{name}")["State"]["Running"], "Enter cancels"
    terminal.press("x")
    terminal.wait_for_text(f"Stop {name}?")
    terminal.press("y")
    terminal.wait_for("STOPPED", lambda text: "STOPPED" in line_of(text, name))
    terminal.press("D")
    terminal.wait_for_text(f"Remove {name}?")
    terminal.press("y")
    wait_until(lambda: not stage.containers(f"tritop-{name}"), "its container is gone")
    terminal.press("q")
    terminal.wait_for_text(f"{ENDED} 0")


def line_of(text: str, word: str) -> str:
    """The line whose first word it is, the cursor before it left out."""
    return next((line for line in text.splitlines() if line[1:].split()[:1] == [word]), "")
