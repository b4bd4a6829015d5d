"""Servers that are absent, silent, rubbish, huge or hostile, as somebody at a terminal or in a script meets them."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.fake_metrics_server import FakeMetricsServer, Peer, Play, response, say
from tests.collectors.fake_triton import FakeTriton, restricted_text, serving
from tests.e2e.triton_calls import load
from tests.e2e.tritop_process import environ, models_of, only_document, run, started, target
from tests.pty_process import PtyProcess
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tests.tui.samples import HOSTILE_NAMES, LONG_NAME
from tritop.endpoint import Endpoint
from tritop.protocol import grpc

NOT_FOUND = response(b"nothing here", status="404 Not Found")
HTML = response(b"<!doctype html><html><body><h1>It works!</h1></body></html>", headers="Content-Type: text/html")
SCRAPE = b"".join(
    b'# TYPE nv_inference_%s counter\nnv_inference_%s{model="m",version="1"} 7\n' % (name, name)
    for name in (b"request_success", b"count", b"exec_count")
)
TWICE = "Unknown child process pid "
"""asyncio, where a child that has just ended is killed as well: `Popen.kill` looks for its end and finds it first."""
HARMLESS = re.compile(r"[\x20-\x7e\n\u0080-\uffff]*")
FAST = ("-d", "0.25")


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


class Servers:
    """Servers of this process, gone with the test."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self._stack = AsyncExitStack()

    def _enter(self, make: Callable[[], AbstractAsyncContextManager[Any]]) -> Any:
        async def enter() -> Any:
            return await self._stack.enter_async_context(make())

        return self._loop.run(enter())

    def triton(self, fake: FakeTriton) -> str:
        """Serve Triton's protocol; returns the address."""
        endpoint: Endpoint = self._enter(lambda: serving(fake))
        return endpoint.grpc_address

    def talk(self, play: Play) -> str:
        """Play a script on a port; returns its URL."""
        server: FakeMetricsServer = self._enter(lambda: FakeMetricsServer(play))
        return server.url

    def close(self) -> None:
        self._loop.run(self._stack.aclose())


@pytest.fixture
def servers(loop: LoopThread) -> Iterator[Servers]:
    opened = Servers(loop)
    yield opened
    opened.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def with_model(name: str = "m") -> FakeTriton:
    fake = FakeTriton()
    fake.add_model(name)
    return fake


def host_of(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


async def silence(peer: Peer) -> None:
    await peer.closed_by_client()


async def endless(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
    while True:
        await peer.send(b"nv_inference_count 1\n" * 4096)


async def stalling(peer: Peer) -> None:
    await peer.request()
    await peer.send(response(SCRAPE)[:-20])
    await peer.closed_by_client()


CUT = say(response(SCRAPE)[:-20], then_close=True)
HUGE = say(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n" + b"# " * (32 << 20))


def hostile_triton() -> FakeTriton:
    """Its name, its version, its models and the reason of a failure are an attack each."""
    fake = FakeTriton()
    fake.server_name = HOSTILE_NAMES[1]
    for name in (*HOSTILE_NAMES, LONG_NAME):
        fake.add_model(name, "1")
    fake.index.models.add(name="failed", version="1", state="UNAVAILABLE", reason="\n".join(HOSTILE_NAMES))
    return fake


def hostile_scrape() -> bytes:
    """A custom family whose labels and values of labels are an attack each, escaped as the format wants."""
    lines = ["# TYPE hostile_gauge gauge"]
    for name in HOSTILE_NAMES:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'hostile_gauge{{model="{escaped}",version="1",note="{escaped}"}} 1')
    return "\n".join(lines).encode() + b"\n"


def once(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """What `tritop --once` of a short interval returns and prints on both streams."""
    done = run(folder, "--once", *FAST, *arguments)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith(TWICE)]
    return done.returncode, done.stdout, "".join(said)


def both(url: str) -> str:
    """A TARGET whose gRPC port and metrics are the same server."""
    return f"{host_of(url)}?metrics={url}"


def test_nobody_listens(closed_port: int, tmp_path: Path) -> None:
    code, stdout, stderr = once(tmp_path, f"127.0.0.1:{closed_port}")
    assert code == 3
    assert "UNREACHABLE" in stdout
    assert "nothing read" in stdout
    assert f"127.0.0.1:{closed_port} refuses connections." in stderr
    assert f"nobody listens at http://127.0.0.1:{closed_port + 1}/metrics" in stderr


@pytest.mark.parametrize(
    ("play", "state", "said"),
    [
        (silence, "UNRESPONSIVE", ("gave no answer within", "accepted the connection and sent nothing")),
        (say(HTML), "NOT_TRITON", ("does not speak gRPC", "answers with text/html, not with metrics")),
        (say(NOT_FOUND), "NOT_TRITON", ("does not speak gRPC", "answers 404 Not Found")),
    ],
    ids=["says nothing", "HTML", "404"],
)
def test_what_listens_is_no_triton(
    servers: Servers, tmp_path: Path, play: Play, state: str, said: tuple[str, str]
) -> None:
    code, stdout, stderr = once(tmp_path, both(servers.talk(play)))
    assert code == 3
    assert state in stdout
    lines = [line for line in stderr.splitlines() if line.startswith("tritop: ")]
    assert [sentence in line for sentence, line in zip(said, lines, strict=True)] == [True, True]
    assert len(stderr.splitlines()) == 2 * len(lines), "a sentence and an advice each, and nothing else"


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (silence, "accepted the connection and sent nothing within 2 s."),
        (say(HTML), "answers with text/html, not with metrics."),
        (say(NOT_FOUND), "answers 404 Not Found."),
        (CUT, "broke off its answer after"),
        (stalling, "and did not come to an end."),
        (HUGE, "answered with 67,108,864 bytes, which is more than 16,777,216."),
        (endless, "which is more than 16,777,216."),
        (say(response(bytes(range(256)) * 64)), "is not UTF-8: byte 128 is 0x80."),
        (say(response(b"\x01\x02 rubbish {{{ \x1b]0;owned\x07 \n" * 9)), "line 1"),
    ],
    ids=["says nothing", "HTML", "404", "cut", "stalls", "64 MB", "endless", "binary", "rubbish"],
)
def test_metrics_that_cannot_be_read_leave_the_rest(servers: Servers, tmp_path: Path, play: Play, said: str) -> None:
    target = f"{servers.triton(with_model())}?metrics={servers.talk(play)}"
    # Megabytes take a busy machine longer than the usual interval, and rates need two answers of the API.
    interval_s = "1" if play in (HUGE, endless) else "0.25"
    code, stdout, stderr = once(tmp_path, "-d", interval_s, target)
    assert code == 0
    assert re.search(r"^m +1 +READY +0 ", stdout, re.MULTILINE), "the statistics of the API serve"
    (line,) = [line for line in stderr.splitlines() if line.startswith("tritop: ")]
    assert said in line
    assert len(stderr.splitlines()) <= 2
    assert HARMLESS.fullmatch(stderr)


def test_a_server_that_lets_nobody_in(servers: Servers, tmp_path: Path) -> None:
    fake = with_model()
    refusal = (grpc.StatusCode.UNAVAILABLE, restricted_text("admin"))
    methods = ("ServerLive", "ServerReady", "ServerMetadata", "RepositoryIndex", "ModelStatistics", "ModelConfig")
    fake.refusals = dict.fromkeys((*methods, "RepositoryModelUnload"), refusal)
    address = servers.triton(fake)
    code, stdout, stderr = once(tmp_path, "--no-metrics", address)
    assert code == 3
    assert "--header triton-grpc-protocol-admin=env:VARIABLE" in stderr
    code, stdout, stderr = once(tmp_path, f"{address}?metrics={servers.talk(say(response(SCRAPE)))}")
    assert code == 1, "its metrics can be read, its health cannot"
    assert re.search(r"^m +1 +UNKNOWN ", stdout, re.MULTILINE)


def test_hostile_names_and_labels_reach_no_terminal(servers: Servers, tmp_path: Path) -> None:
    address = servers.triton(hostile_triton())
    metrics = servers.talk(say(response(hostile_scrape())))
    code, stdout, stderr = once(tmp_path, f"{address}?metrics={metrics}")
    assert code == 1, "one of the models failed to load"
    assert HARMLESS.fullmatch(stdout)
    assert HARMLESS.fullmatch(stderr)
    for part in ("[bold red]markup[/]", "日本語の模型名", "\N{REPLACEMENT CHARACTER}]0;owned", LONG_NAME):
        assert part in stdout, part
    code, stdout, _ = once(tmp_path, "--json", f"{address}?metrics={metrics}")
    assert stdout.strip().isprintable()
    (server,) = only_document(stdout)["servers"]
    assert {name for name in HOSTILE_NAMES if name} <= {name for name, _ in models_of(server)}, (
        "data stay what they are"
    )


POINTER = "\x1b]22;default\x07"
"""Textual sets the shape of the mouse pointer."""
UNTYPED = ("\x07", "\x1b]", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "[31mred")
"""What a terminal would obey, and what tritop has no reason to send."""


@pytest.mark.parametrize(("width", "height"), [(140, 30), (20, 5)])
def test_hostile_names_on_the_screen(servers: Servers, tmp_path: Path, width: int, height: int) -> None:
    target = f"{servers.triton(hostile_triton())}?metrics={servers.talk(say(response(hostile_scrape())))}"
    line = [sys.executable, "-m", "tritop", target]
    screen = PtyProcess(line, width=width, height=height, environ=environ(tmp_path), folder=tmp_path)
    try:
        screen.read_until(b"READY" if height > 5 else b"title")
        for key in "Gd2":
            screen.write(key.encode())
        if height > 5:
            screen.read_until(b"hostile_gauge")
        screen.write(b"q")
        assert screen.wait() == 0
    finally:
        screen.close()
    written = screen.output.decode().replace(POINTER, "")
    assert [bad for bad in UNTYPED if bad in written] == []


def test_a_thousand_models_and_none(servers: Servers, tmp_path: Path) -> None:
    fake = FakeTriton()
    for number in range(1000):
        fake.add_model(f"{LONG_NAME}_{number:04}")
    code, stdout, stderr = once(tmp_path, "--no-metrics", servers.triton(fake))
    assert (code, stderr) == (0, "")
    assert stdout.count(LONG_NAME) == 1000
    code, stdout, stderr = once(tmp_path, "--no-metrics", servers.triton(FakeTriton()))
    assert (code, stderr) == (0, "")
    assert "no models" in stdout


def test_no_terminal_no_screen(servers: Servers, tmp_path: Path) -> None:
    done = run(tmp_path, servers.triton(with_model()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a terminal, so no screen can be drawn." in done.stderr
    assert "Use --once" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--onse", "Did you mean --once?"),
        ("--once --interval soon", "soon"),
        ("--once --interval 0.01", "0.25"),
        ("--once --json --ndjson", "not allowed with"),
        ("--once http://", "http://"),
        ("--once 127.0.0.1:99999", "99999"),
        ("--once --header key=hunter2 127.0.0.1", "env:"),
        ("--once --tls-ca /absent.pem 127.0.0.1", "/absent.pem"),
        ("traffic m --duration 1 -u 127.0.0.1", "--concurrency --rate"),
    ],
)
def test_wrong_flags(tmp_path: Path, line: str, said: str) -> None:
    done = run(tmp_path, *line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "hunter2" not in done.stderr


# -- a real Triton with flags that take numbers away, or bring some --------------------------


def counted(tmp_path: Path, running: RunningTriton, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The server in JSON once `enough` holds for its model, under traffic."""
    running.run(load(running.endpoint, "tiny"))
    endpoint = running.endpoint
    read = target(endpoint) if endpoint.metrics_url else endpoint.grpc_address
    sent = ("traffic", "tiny", "--concurrency", "1", "--duration", "60", "-u", endpoint.grpc_address)
    with started(tmp_path, *sent), started(tmp_path, "--ndjson", *FAST, read) as reader:
        assert reader.stdout is not None
        for line in reader.stdout:
            server: dict[str, Any] = only_document(line)["servers"][0]
            model = models_of(server).get(("tiny", "1"))
            if model is not None and enough(model):
                return server
    raise AssertionError("it ended too soon")


@pytest.mark.triton
def test_a_triton_without_metrics(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    running = make_triton_server("--allow-metrics=false", load=False)
    server = counted(tmp_path, running, lambda model: (model["queue_us"] or 0) > 0)
    assert "metrics" not in [source["name"] for source in server["sources"]], "its command line says that it has none"
    assert server["state"] == "READY"
    model = models_of(server)["tiny", "1"]
    assert model["requests_per_s"] > 0
    assert model["batch_sizes"][0]["size"] == 1
    assert (model["pending"], model["p99_us"]) == (None, None), "only metrics have them"


@pytest.mark.triton
def test_a_triton_whose_counters_stand_still(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    running = make_triton_server("--metrics-config=counter_latencies=false", load=False)
    server = counted(tmp_path, running, lambda model: (model["queue_us"] or 0) > 0)
    assert server["counters_frozen"] is True
    model = models_of(server)["tiny", "1"]
    assert model["requests_per_s"] > 0, "the statistics serve"


@pytest.mark.triton
def test_a_triton_with_summaries(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    running = make_triton_server("--metrics-config=summary_latencies=true", load=False)
    server = counted(tmp_path, running, lambda model: (model["p99_us"] or 0) > 0)
    assert models_of(server)["tiny", "1"]["p99_origin"] == "60 s quantile"
