"""The parts around the engine that need none: errors, pulls, logs, processes, lists, the kept word."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, ImageNotFound
from hypothesis import given
from hypothesis import strategies as st

from tritop.container_documents import cpu_cores_of, looks_like_triton, seconds_of
from tritop.model import ImageLayer
from tritop.runtimes.desired import Desk, Wanted, held
from tritop.runtimes.docker_errors import engine_failure, pull_failure, transport_failure
from tritop.runtimes.docker_events import RunNotes, _after
from tritop.runtimes.docker_launch import Sight, duration, launch_of
from tritop.runtimes.docker_list import triton_container
from tritop.runtimes.docker_log import stamped_lines
from tritop.runtimes.docker_pull import PullProgress
from tritop.runtimes.docker_spec import bound_ports
from tritop.runtimes.load_progress import LoadProgress
from tritop.runtimes.port_owner import process_at
from tritop.runtimes.stubs import stubs_among
from tritop.runtimes.supervisor import Desired, EndingKind, Phase, Supervision
from tritop.server_spec import Ports, ServerSpec

ADDRESS = "unix:///var/run/docker.sock"


def api_error(status: int, text: str, kind: type[APIError] = APIError) -> APIError:
    response = requests.Response()
    response.status_code = status
    return kind("error", response=response, explanation=text)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            api_error(500, "driver failed programming external connectivity on endpoint x: Error starting userland "
                      "proxy: listen tcp4 127.0.0.1:18100: bind: address already in use"),
            EndingKind.WORLD, "port 18100 is taken",
        ),
        (
            api_error(500, "... Bind for 127.0.0.1:18100 failed: port is already allocated"),
            EndingKind.WORLD, "port 18100 is taken",
        ),
        (
            api_error(500, "failed to set up container networking: driver failed programming: failed to bind host "
                      "port for 0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use"),
            EndingKind.WORLD, "port 7148 is taken",
        ),
        (api_error(500, "write /x: no space left on device"), EndingKind.WORLD, "disk is full"),
        (api_error(409, 'Conflict. The container name "/x" is already in use by container "ab"'),
         EndingKind.WORLD, "another container has that name"),
        (api_error(404, "No such container: abc"), EndingKind.CANCELLED, "it is gone"),
        (api_error(404, "No such image: nope:latest", ImageNotFound), EndingKind.PERMANENT, "No such image"),
        (api_error(500, 'could not select device driver "" with capabilities: [[gpu]]'),
         EndingKind.PERMANENT, "cannot give a container GPUs"),
        (api_error(400, "Unknown runtime specified nvidia"), EndingKind.PERMANENT, "no NVIDIA runtime"),
        (api_error(500, "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9"),
         EndingKind.PERMANENT, "no such GPU device (CDI)"),
        (api_error(400, 'invalid mount config for type "bind": bind source path does not exist: /x'),
         EndingKind.PERMANENT, "the model repository is not there"),
        (api_error(400, 'exec: "nosuch": executable file not found in $PATH: unknown'),
         EndingKind.PERMANENT, "no tritonserver in this image"),
        (api_error(500, "something of the engine's own"), EndingKind.WORLD, "something of the engine's own"),
        (api_error(400, "something we wrote wrong"), EndingKind.PERMANENT, "something we wrote wrong"),
        (requests.exceptions.ReadTimeout("Read timed out. (read timeout=2)"), EndingKind.LOST, "does not answer"),
    ],
)  # fmt: skip
def test_what_the_engine_says(error: Exception, kind: EndingKind, said: str) -> None:
    failure = engine_failure(error, "start it", ADDRESS)
    assert failure.kind is kind
    assert said in failure.sentence


def test_an_engine_that_says_something_evil_reaches_no_terminal() -> None:
    failure = engine_failure(api_error(500, "no \x1b]0;title\x07\x1b[31mred\n line"), "start it", ADDRESS)
    assert failure.sentence.isprintable()


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (FileNotFoundError(2, "No such file"), "there is no Docker engine"),
        (ConnectionRefusedError(111, "refused"), "no Docker engine listens"),
        (PermissionError(13, "denied"), "may not use"),
        (TimeoutError(), "does not answer"),
        (ValueError("odd"), "broke: odd"),
    ],
)
def test_the_cause_is_found_below_the_layers(cause: Exception, said: str) -> None:
    wrapped = requests.exceptions.ConnectionError(("Connection aborted.", cause))
    inner = RuntimeError("while fetching the version")
    inner.__cause__ = requests.exceptions.ConnectionError(cause)
    assert said in transport_failure(wrapped if not isinstance(cause, ValueError) else cause, ADDRESS).sentence
    if not isinstance(cause, ValueError):
        assert said in transport_failure(inner, ADDRESS).sentence


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("unauthorized: authentication required", EndingKind.PERMANENT),
        ("pull access denied for x, repository does not exist or may require 'docker login'", EndingKind.PERMANENT),
        ("manifest for nvcr.io/x:1 not found: manifest unknown", EndingKind.PERMANENT),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', EndingKind.WORLD),
        ("dial tcp 127.0.0.1:1: connect: connection refused", EndingKind.WORLD),
        ("write /var/lib/docker/tmp/x: no space left on device", EndingKind.WORLD),
        ("filesystem layer verification failed for digest sha256:ab", EndingKind.WORLD),
    ],
)
def test_what_a_registry_says(text: str, kind: EndingKind) -> None:
    failure = pull_failure(text, "r.io/x:1")
    assert failure.kind is kind
    assert "r.io/x:1" in failure.sentence


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


STAMP = "2026-01-01T00:00:0{}.000000001Z"


def test_lines_longer_than_a_frame_are_joined() -> None:
    first, second = STAMP.format(1), STAMP.format(2)
    pieces = [f"{first} one\n", f"{second} {'a' * 9}", f"{second} {'b' * 9}", f"{second} c\r\n", f"{second} rest"]
    lines = list(stamped_lines(piece.encode() for piece in pieces))
    assert lines == [(first, b"one"), (second, b"a" * 9 + b"b" * 9 + b"c"), (second, b"rest")]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=30)), st.data())
def test_however_a_log_is_cut_into_frames_its_lines_come_out(lines: list[str], data: st.DataObject) -> None:
    """The engine cuts within lines only, and gives each piece of a line the same timestamp."""
    pieces, stamps = [], []
    for number, line in enumerate(lines):
        stamp = f"2026-01-01T00:00:00.{number:09}Z"
        stamps.append(stamp)
        raw = line.encode() + b"\n"
        cut = data.draw(st.integers(0, len(raw) - 1))
        pieces += [stamp.encode() + b" " + part for part in (raw[:cut], raw[cut:]) if part]
    assert list(stamped_lines(iter(pieces))) == [
        (stamp, line.encode()) for stamp, line in zip(stamps, lines, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T02:00:01.25+02:00", 1.25),
        ("1970-01-01T02:00:10+02:00", 10.0),
        ("1970-01-01T00:00:00Z", 0.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
    ],
)
def test_timestamps(text: str, expected: float | None) -> None:
    assert seconds_of(text) == expected


def test_load_progress_from_the_log_of_a_real_start() -> None:
    progress = LoadProgress()
    for line in (
        'I1123 01:22:19.861835 6 model_lifecycle.cc:472] "loading: tiny:1"',
        'I1123 01:22:19.862934 6 model_lifecycle.cc:472] "loading: matrix:1"',
        'I1123 01:22:19.863110 6 model_lifecycle.cc:472] "loading: matrix:2"',
        'I1123 01:22:19.862553 6 model_lifecycle.cc:472] "loading: broken:1"',
    ):
        progress.take(line)
    assert progress.step() == "loading tiny and 2 more"
    progress.take("I1123 01:22:22.388740 6 model_lifecycle.cc:839] \"successfully loaded 'tiny'\"")
    progress.take("E1123 01:22:22.590580 6 model_lifecycle.cc:642] \"failed to load 'broken' version 1: Internal: x\"")
    assert (progress.done, progress.step()) == ({"tiny", "broken"}, "loading matrix")


def test_stubs_of_a_real_server() -> None:
    stub = "/opt/tritonserver/backends/python/triton_python_backend_stub"
    commands = [
        ["/sbin/docker-init", "--", "tritonserver"],
        ["tritonserver", "--model-repository=/models"],
        [stub, "/models/pair/1/model.py", "region", "1048576", "1048576", "6", "/opt", "336", "pair_0_0", "DEFAULT"],
        [stub, "/models/pair/1/model.py", "region", "1048576", "1048576", "6", "/opt", "336", "pair_0_1", "DEFAULT"],
        [stub, "/models/matrix/2/model.py"],
        [stub],
        [stub, "model.py"],
        [],
    ]
    assert stubs_among(commands) == {("pair", "1"): 2, ("matrix", "2"): 1}


def test_events_remember_what_inspection_cannot_show() -> None:
    notes = RunNotes()
    for action, attributes in (("kill", {"signal": "15"}), ("oom", {}), ("kill", {"signal": "18"}), ("die", {})):
        notes = _after(notes, action, attributes)
    assert notes == RunNotes(signal_sent=15, out_of_memory=1, ended=True)
    assert _after(notes, "start", {}) == RunNotes()


def shown(**given: Any) -> dict[str, Any]:
    return {
        "Id": "abc",
        "Name": "/x",
        "Path": "tritonserver",
        "Args": ["--model-repository=/models"],
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 0},
        "Config": {"Image": "triton:1", "Labels": {}},
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {
            "Ports": {
                "8001/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9001"}],
                "8002/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9002"}],
                "8000/tcp": None,
            }
        },
    } | given


def test_where_a_container_of_somebody_else_answers() -> None:
    container = triton_container(shown())
    assert (container.managed, container.owner, container.running) == (False, "", True)
    assert container.endpoint is not None
    assert container.endpoint.grpc_address == "127.0.0.1:9001"
    assert container.endpoint.metrics_url == "http://127.0.0.1:9002/metrics"


def test_ports_are_read_from_its_own_command_line() -> None:
    arguments = ["tritonserver", "--grpc-port=7001", "--allow-metrics=false"]
    entry = {"Path": "/opt/nvidia/nvidia_entrypoint.sh", "Args": arguments}
    assert triton_container(shown(**entry)).endpoint is None, "that port is not published"
    on_host = triton_container(shown(**entry, HostConfig={"NetworkMode": "host"})).endpoint
    assert on_host is not None
    assert (on_host.grpc_port, on_host.metrics_url) == (7001, "")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"Labels": {"com.nvidia.tritonserver.version": "2.51.0"}}, True),
        ({"Command": "/opt/nvidia/nvidia_entrypoint.sh tritonserver --x"}, True),
        ({"Labels": None, "Command": "nginx"}, False),
    ],
)
def test_what_looks_like_triton(listed: dict[str, Any], expected: bool) -> None:
    assert looks_like_triton(listed) is expected


def test_bound_ports_are_those_of_the_request() -> None:
    bindings = {f"{inside}/tcp": [{"HostIp": "", "HostPort": str(inside + 1000)}] for inside in (8000, 8001, 8002)}
    assert bound_ports({"HostConfig": {"PortBindings": bindings}}) == Ports(9000, 9001, 9002)
    del bindings["8002/tcp"]
    assert bound_ports({"HostConfig": {"PortBindings": bindings}}) is None


def test_who_has_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        owner = process_at(server.getsockname()[1])
    assert owner.endswith(f"(process {os.getpid()})")


def test_the_word_is_kept(tmp_path: Path) -> None:
    desk = Desk("AB:CD", folder=tmp_path / "state", locks=tmp_path / "locks")
    assert desk.load("x") is None
    wanted = Wanted(ServerSpec("x", arguments=("--a",)), Desired.RUN, Ports(1, 2, 3))
    desk.keep(wanted)
    assert desk.load("x") == wanted
    assert desk.names() == ("x",)
    assert Desk("other", folder=tmp_path / "state", locks=tmp_path / "locks").load("x") is None
    desk.forget("x")
    assert desk.names() == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"desired": "RUN"}', json.dumps({"spec": {"name": "x", "new": 1}})])
def test_a_file_that_cannot_be_used_is_no_word(tmp_path: Path, text: str) -> None:
    desk = Desk("AB", folder=tmp_path, locks=tmp_path)
    desk.keep(Wanted(ServerSpec("x")))
    (path,) = tmp_path.glob("servers/*/x.json")
    path.write_text(text)
    assert desk.load("x") is None


def test_one_writer_and_the_kernel_frees_the_lock_of_a_killed_one(tmp_path: Path) -> None:
    desk = Desk("AB", folder=tmp_path, locks=tmp_path)
    program = f"""
import time
from pathlib import Path
from tritop.runtimes.desired import Desk
lock = Desk("AB", folder=Path({str(tmp_path)!r}), locks=Path({str(tmp_path)!r})).lock("x")
assert lock.take()
print("held", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        lock = desk.lock("x")
        assert not lock.take()
        assert lock.holder() == other.pid
        with held(desk.lock("y")) as free:
            assert free, "another server has another lock"
        other.kill()
        other.wait()
        assert lock.take()
        assert lock.holder() == os.getpid()
        lock.release()


@pytest.mark.parametrize(("next_at", "shown"), [(None, "STARTING"), (100.0, "STARTING"), (101.0, "BACKOFF")])
def test_a_start_that_was_asked_for_is_not_shown_as_one_after_a_crash(next_at: float | None, shown: str) -> None:
    launch = launch_of(Supervision(phase=Phase.BACKOFF, since=100.0, next_at=next_at), Sight(now=100.5))
    assert launch.state == shown
    assert (launch.restart_in_s is None) == (shown == "STARTING")


def test_a_launch_says_what_is_going_on() -> None:
    waiting = Supervision(phase=Phase.WAITING, next_at=107.0, explanation="Port 1 is taken.", advice="Mend it.")
    launch = launch_of(waiting, Sight(now=100.0, supervisor_pid=7))
    assert (launch.state, launch.restart_in_s) == ("WAITING", 7.0)
    assert launch.explanation.startswith("Port 1 is taken. Mend it. Another tritop (process 7)")
    loading = LoadProgress()
    loading.take('"loading: a:1"')
    launch = launch_of(Supervision(phase=Phase.STARTING, slow=True), Sight(now=0.0, loading=loading, models=3))
    assert (launch.step, launch.done, launch.total) == ("loading a (slow)", 0, 3)
    pull = PullProgress((ImageLayer("a", "Downloading", 1, 4),))
    assert launch_of(Supervision(phase=Phase.PULLING), Sight(now=0.0, pull=pull)).layers == pull.layers


def test_what_was_wrong_while_it_ran_is_not_said_of_a_server_that_was_stopped() -> None:
    state = Supervision(phase=Phase.NOT_READY, trouble="It has not answered for 31 s.")
    assert launch_of(state, Sight(now=0.0)).explanation == "It has not answered for 31 s."
    stopped = replace(state, phase=Phase.STOPPED, explanation="It was stopped.")
    assert launch_of(stopped, Sight(now=0.0)).explanation == "It was stopped."


def test_cpu_is_counted_between_the_two_samples_of_a_document() -> None:
    stats = {
        "read": "1970-01-01T00:00:12.5Z",
        "preread": "1970-01-01T00:00:10.5Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 4_000_000_000}},
        "precpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}},
    }
    assert cpu_cores_of(stats) == 1.5
    assert cpu_cores_of(stats | {"preread": "0001-01-01T00:00:00Z"}) is None, "there was no sample before"
    assert cpu_cores_of(stats | {"precpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000}}}) is None
    assert cpu_cores_of({}) is None
