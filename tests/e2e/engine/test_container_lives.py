"""A container under supervision: it comes up, it dies, somebody meddles with it, and what follows."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from collectors.triton_api import TritonApi
from tests.e2e.engine.engine_stage import EngineStage
from tests.e2e.triton_calls import first_reading, infer_tiny
from tests.processes import wait_until
from tritop.runtimes.docker_spec import create_arguments
from tritop.runtimes.stubs import processes_of
from tritop.runtimes.supervisor import Desired, Phase, Wish
from tritop.server_spec import docker_run_line

pytestmark = pytest.mark.engine


def test_it_comes_up_serves_dies_and_comes_back_once(stage: EngineStage) -> None:
    hosted = stage.up()
    launch = hosted.server.launch()
    assert (launch.runtime, launch.state, launch.restarts) == ("docker", "READY", 0)

    async def models() -> set[str]:
        api = TritonApi(hosted.endpoint)
        try:
            reading = await first_reading(api)
        finally:
            await api.aclose()
        assert reading.index is not None
        return {entry.name for entry in reading.index if entry.state == "READY"}

    assert stage.run(models()) == {"tiny", "pair"}
    stage.run(infer_tiny(hosted.endpoint, 20))

    first_run = hosted.shown()["State"]["StartedAt"]
    stage.kill_triton(hosted.container_name)
    held_back = hosted.until_phase(Phase.BACKOFF)
    assert held_back.exit_code == 137
    assert "killed (SIGKILL)" in held_back.explanation
    assert hosted.until_ready().restarts == 1
    assert hosted.shown()["State"]["StartedAt"] > first_run
    assert len(stage.containers(hosted.container_name)) == 1
    stage.run(infer_tiny(hosted.endpoint, 20))


def test_a_start_tells_model_by_model_how_far_it_is(stage: EngineStage) -> None:
    hosted = stage.hosted().open()
    hosted.until_ready()
    progress = hosted.server._runtime.run_log.progress  # type: ignore[union-attr]  # what the screen is told of it
    assert progress.done == {"tiny", "pair"}
    assert progress.loading == {}


def test_somebody_stops_and_starts_it_with_docker_and_both_are_wishes(stage: EngineStage) -> None:
    hosted = stage.up()
    stage.docker("stop", "--time", "30", hosted.container_name)
    stopped = hosted.until_phase(Phase.STOPPED)
    assert stopped.explanation == "Somebody stopped it through the engine."
    assert stage.desired(hosted) is Desired.STOP
    stage.docker("start", hosted.container_name)
    hosted.until_ready()
    assert stage.desired(hosted) is Desired.RUN
    stage.docker("kill", hosted.container_name)
    assert hosted.until_phase(Phase.STOPPED).explanation == "Somebody killed it through the engine."


def test_somebody_removes_it_and_it_stays_removed(stage: EngineStage) -> None:
    hosted = stage.up()
    stage.docker("rm", "--force", hosted.container_name)
    assert "removed by somebody" in hosted.until_phase(Phase.ABSENT).explanation
    assert stage.desired(hosted) is Desired.STOP
    hosted.ask(Wish.START)
    hosted.until_ready()


def test_a_pause_is_not_a_hang_and_a_paused_server_can_be_stopped(stage: EngineStage) -> None:
    hosted = stage.up()
    stage.docker("pause", hosted.container_name)
    hosted.until_phase(Phase.PAUSED)
    stage.docker("unpause", hosted.container_name)
    hosted.until_ready()
    stage.docker("pause", hosted.container_name)
    hosted.until_phase(Phase.PAUSED)
    hosted.ask(Wish.STOP)
    assert hosted.until_phase(Phase.STOPPED).exit_code == 0
    assert hosted.state.restarts == 0


def test_a_dead_stub_is_found_and_its_model_loaded_anew(stage: EngineStage) -> None:
    hosted = stage.up()
    shown = hosted.shown()
    pids = subprocess.run(
        ["docker", "top", hosted.container_name, "-eo", "pid,args"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    stub = next(int(line.split()[0]) for line in pids if "/models/tiny/1/model.py" in line)
    os.kill(stub, 9)
    bereft = hosted.until(lambda state: state.phase is Phase.NOT_READY)
    assert "tiny" in bereft.trouble
    assert "pair" not in bereft.trouble
    hosted.until_ready()
    stage.run(infer_tiny(hosted.endpoint, 5))
    assert hosted.shown()["State"]["StartedAt"] == shown["State"]["StartedAt"], "without a restart"
    commands = processes_of(shown["State"]["Pid"], shown["Id"])
    assert commands is not None
    assert sum("/models/tiny/1/model.py" in command for command in commands) == 1


def test_an_idle_http_connection_holds_up_a_stop_no_longer_than_the_exit_timeout(stage: EngineStage) -> None:
    hosted = stage.up()
    with socket.create_connection((hosted.endpoint.host, hosted.endpoint.http_port)) as idle:
        idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(15).startswith(b"HTTP/1.1 200")
        hosted.ask(Wish.STOP)
        stopped = hosted.until_phase(Phase.STOPPED)
    # Triton's own exit timeout, not a kill by the engine.
    assert stopped.exit_code == 1
    assert stopped.explanation == "It was stopped."


def test_without_anybody_connected_it_stops_gracefully_and_starts_the_same_container(stage: EngineStage) -> None:
    hosted = stage.up()
    container = hosted.shown()["Id"]
    hosted.ask(Wish.RESTART)
    hosted.until(lambda state: state.phase is Phase.STOPPING)
    hosted.until_ready()
    assert hosted.shown()["Id"] == container
    assert hosted.state.restarts == 0, "a restart that was asked for is no crash"
    hosted.ask(Wish.REMOVE)
    hosted.until_phase(Phase.ABSENT)
    assert stage.containers(hosted.container_name) == []


def test_the_docker_run_line_makes_the_same_container(stage: EngineStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D1_SECRET", "hush")
    spec = stage.spec(memory_bytes=1 << 30, environment=("D1_SECRET",), base_port=29000, arguments=("--log-verbose=1",))
    from tritop.server_spec import Ports

    ports = Ports(29000, 29001, 29002)
    line = docker_run_line(spec, ports, "me@here")
    assert "hush" not in line
    by_command = line.replace("docker run --detach", "docker create", 1)
    subprocess.run(by_command, shell=True, check=True, capture_output=True)
    one = stage.client.api.inspect_container(spec.container_name)
    stage.client.api.remove_container(one["Id"])
    version = stage.client.api._version
    made = stage.client.api.create_container(**create_arguments(spec, ports, "me@here", os.environ, version))
    other = stage.client.api.inspect_container(made["Id"])
    for section in ("HostConfig", "Config"):
        differing = {
            key for key in one[section] | other[section] if _plain(one, section, key) != _plain(other, section, key)
        }
        assert differing == set()
    assert one["Path"] == other["Path"]
    assert one["Args"] == other["Args"]


def _plain(shown: dict[str, dict[str, object]], section: str, key: str) -> object:
    """A value without what the two ways leave to chance: the container's id as its host name, empty against absent."""
    if key == "Hostname":
        return None
    return shown[section].get(key) or None


def test_containers_outlive_tritop_and_are_adopted(stage: EngineStage) -> None:
    hosted = stage.up()
    started = hosted.shown()["State"]["StartedAt"]
    hosted.let_go()
    assert hosted.shown()["State"]["Running"]
    again = stage.hosted(wish=None).open()
    again.until_ready()
    assert again.shown()["State"]["StartedAt"] == started
    assert again.state.desired is Desired.RUN
    assert again.endpoint == hosted.endpoint


def test_the_second_tritop_only_watches_until_the_first_has_gone(stage: EngineStage) -> None:
    first = stage.up()
    second = stage.hosted(wish=Wish.STOP).open()
    second.until_ready()
    assert not second.server.supervises
    assert f"process {os.getpid()}" in second.server.launch().explanation
    assert stage.desired(first) is Desired.RUN
    first.let_go()
    second.until(lambda state: second.server.supervises)
    second.ask(Wish.STOP)
    second.until_phase(Phase.STOPPED)


def test_another_spec_is_applied_by_a_restart_and_not_before(stage: EngineStage) -> None:
    hosted = stage.up()
    container = hosted.shown()["Id"]
    hosted.let_go()
    changed = stage.hosted(stage.spec(memory_bytes=2 << 30)).open()
    changed.until_ready()
    assert changed.state.spec_changed
    assert changed.shown()["Id"] == container
    changed.ask(Wish.RESTART)
    changed.until(lambda state: state.phase is Phase.STOPPING)
    changed.until_ready()
    assert changed.shown()["HostConfig"]["Memory"] == 2 << 30
    assert not changed.state.spec_changed


def test_the_engine_and_tritop_do_not_both_restart_it(stage: EngineStage) -> None:
    hosted = stage.up()
    hosted.let_go()
    stage.docker("update", "--restart", "always", hosted.container_name)
    again = stage.hosted(wish=None).open()
    again.until_ready()
    wait_until(lambda: again.shown()["HostConfig"]["RestartPolicy"]["Name"] == "no", "the policy is taken over")
