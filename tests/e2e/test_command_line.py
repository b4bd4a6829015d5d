"""The command line as a person or a script uses it: real processes against a real Triton."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.tritop_process import TIMEOUT_S, models_of, only_document, run, started, target
from tests.running_triton import RunningTriton, TritonFactory

pytestmark = pytest.mark.triton


def test_once_shows_every_model(triton_server: RunningTriton, tmp_path: Path) -> None:
    done = run(tmp_path, "--once", "--json", target(triton_server.endpoint))
    assert done.returncode == 1, "the demo's broken model makes the server unhealthy"
    assert done.stderr == ""
    (server,) = only_document(done.stdout)["servers"]
    assert server["endpoint"] == triton_server.endpoint.grpc_address
    assert server["control_mode"] == "explicit"
    assert [source["state"] for source in server["sources"]] == ["OK", "OK"]
    models = models_of(server)
    assert {name for name, _ in models} == {"matrix", "tiny", "pair", "pipeline", "broken"}
    assert models["tiny", "1"]["state"] == "READY"
    assert models["tiny", "1"]["requests_per_s"] is not None, "a whole sampling window has passed"
    assert "FileNotFoundError" in next(model for (name, _), model in models.items() if name == "broken")["reason"]
    table = run(tmp_path, "--once", target(triton_server.endpoint)).stdout
    assert all(name in table for name, _ in models)


def test_a_server_is_found_without_being_named(triton_server: RunningTriton, tmp_path: Path) -> None:
    done = run(tmp_path, "models", "--json")
    endpoints = [server["endpoint"] for server in only_document(done.stdout)["servers"]]
    assert triton_server.endpoint.grpc_address in endpoints


def test_a_configured_name_with_its_header(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    running = make_triton_server("--grpc-restricted-protocol=model-repository,statistics:key=opensesame", load=False)
    (tmp_path / "tritop.toml").write_text(
        f"[targets.locked]\naddress = '{target(running.endpoint)}'\nread_only = true\n"
        "headers = {triton-grpc-protocol-key = 'env:TRITON_KEY'}\n"
    )
    let_in = run(tmp_path, "--once", "--json", "locked", extra={"TRITON_KEY": "opensesame"})
    assert let_in.returncode == 0, let_in.stderr
    (server,) = only_document(let_in.stdout)["servers"]
    assert (server["name"], server["read_only"]) == ("locked", True)
    assert {name for name, _ in models_of(server)} == {"matrix", "tiny", "pair", "pipeline", "broken"}
    assert "opensesame" not in let_in.stdout + let_in.stderr

    refused = run(tmp_path, "--once", "--json", target(running.endpoint))
    assert "triton-grpc-protocol-key" in refused.stdout
    unset = run(tmp_path, "--once", "--json", "locked")
    assert unset.returncode == 2
    assert "TRITON_KEY, which is not set" in unset.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_ndjson_goes_on_until_a_signal(
    triton_server: RunningTriton, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with started(tmp_path, "--ndjson", "-d", "0.25", target(triton_server.endpoint)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        documents = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == code
        assert process.stderr.read() == ""
    times = [document["at"] for document in documents]
    assert times == sorted(times)
    assert documents[-1]["servers"][0]["version"] == "2.51.0"


def test_ndjson_ends_quietly_with_its_reader(triton_server: RunningTriton, tmp_path: Path) -> None:
    with started(tmp_path, "--ndjson", "-d", "0.25", target(triton_server.endpoint)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 141
        assert process.stderr.read() == ""


def test_traffic_reports_what_it_measured(triton_server: RunningTriton, tmp_path: Path) -> None:
    line = ["traffic", "tiny", "--concurrency", "2", "--duration", "1", "--warmup", "0", "--json"]
    done = run(tmp_path, *line, "-u", target(triton_server.endpoint))
    assert done.returncode == 0, done.stderr
    assert only_document(done.stdout)["requests"] > 0
    absent = run(tmp_path, "traffic", "absent", *line[2:], "-u", target(triton_server.endpoint))
    assert absent.returncode == 1
    assert "absent" in absent.stderr


def test_the_demo_shows_its_numbers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--once", "--json")
    assert done.returncode == 0, done.stderr
    (server,) = only_document(done.stdout)["servers"]
    models = models_of(server)
    busy = max((model for (name, _), model in models.items() if name == "matrix"), key=lambda m: m["requests_per_s"])
    assert busy["requests_per_s"] > 0
    assert busy["queue_us"] > 0
    assert busy["batch_sizes"][0]["us_per_inference"] > 0
    broken = next(model for (name, _), model in models.items() if name == "broken")
    assert broken["state"] == "FAILED"
    assert "No such file" in broken["reason"]
    (traffic,) = server["traffic"]
    assert traffic["requests_per_s"] > 0
    assert not Path(f"/proc/{server['launch']['pid']}").exists()
    assert not Path(server["launch"]["log_path"]).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "demo", "--once") as process:
        family = wait_for_server(process.pid)
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 128 + number
    left = [pid for pid in family if Path(f"/proc/{pid}").exists()]
    assert left == []


def wait_for_server(pid: int) -> list[int]:
    """Every descendant of a process as soon as a tritonserver is among them."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        family = descendants(pid)
        if any(name_of(member) == "tritonserver" for member in family):
            return family
        time.sleep(0.02)
    raise AssertionError("no tritonserver was started")


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
