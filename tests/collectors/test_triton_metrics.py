"""The collector against a real socket that behaves well, badly and not at all."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from collectors.triton_metrics import TritonMetrics
from tests.collectors.fake_metrics_server import FakeMetricsServer, Peer, Play, in_turn, response, say
from tritop.endpoint import Endpoint, Tls
from tritop.errors import (
    AccessDenied,
    Garbled,
    NotTriton,
    ReadError,
    TimedOut,
    TritopError,
    Unavailable,
    Unreachable,
    UsageError,
)
from tritop.reading import Collector, MetricsReading

BODY = b"""\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="matrix",version="1"} 17
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization Nan
"""
GOOD = response(BODY)
FOREVER_S = 30.0
"""Longer than any of these tests may take: nothing waits for it."""
SOON_S = 0.1
"""For servers that never come to an end, where each bound is reached for certain."""

T = TypeVar("T")


def run(test: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(test, FOREVER_S))


def metrics(
    url: str, *, tls: Tls | None = None, headers: tuple[tuple[str, str], ...] = (), **options: Any
) -> TritonMetrics:
    options.setdefault("timeout_s", FOREVER_S)
    return TritonMetrics(Endpoint("box", "127.0.0.1", metrics_url=url, tls=tls, headers=headers), **options)


async def read_once(url: str, **options: Any) -> MetricsReading:
    collector = metrics(url, **options)
    try:
        return await collector.read()
    finally:
        await collector.aclose()


def fault_of(play: Play, *, tls: ssl.SSLContext | None = None, scheme: str = "", **options: Any) -> ReadError:
    """What the collector raises when it meets a server; it must name the server."""

    async def test() -> ReadError:
        async with FakeMetricsServer(play, tls=tls) as server:
            url = server.url.replace("https:" if tls else "http:", scheme) if scheme else server.url
            with pytest.raises(ReadError) as caught:
                await read_once(url, **options)
            assert str(server.port) in caught.value.sentence
            assert caught.value.sentence.isprintable()
            assert caught.value.sentence.endswith(".")
            return caught.value

    return run(test())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# --- A server that behaves ---------------------------------------------------------------------


def test_a_scrape_is_a_reading_stamped_by_the_given_clocks() -> None:
    async def test() -> None:
        wall, mono = count(1000), count(50)
        async with FakeMetricsServer(say(GOOD, response(BODY.replace(b" 17", b" 18")))) as server:
            collector = metrics(server.url, clock=lambda: float(next(wall)), monotonic=lambda: float(next(mono)))
            first, second = await collector.read(), await collector.read()
            await collector.aclose()
        assert (first.at, first.mono, second.at, second.mono) == (1000, 50, 1001, 51)
        assert first.layout is second.layout
        assert [series.name for series in first.layout.series] == ["nv_inference_request_success", "nv_cpu_utilization"]
        assert (first.values[0], second.values[0]) == (17, 18)
        assert math.isnan(second.values[1])
        assert first.body_bytes == len(BODY)
        assert first.dropped_series == 0

    run(test())


def test_it_is_a_collector() -> None:
    collector: Collector = metrics("http://127.0.0.1:8002/metrics")
    assert (collector.name, collector.period_s) == ("metrics", None)


def test_one_connection_serves_all_scrapes_and_carries_no_secret() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(GOOD)) as server:
            collector = metrics(server.url, headers=(("authorization", "Bearer secret"),))
            for _ in range(3):
                await collector.read()
            await collector.aclose()
            [peer] = server.peers
            assert len(peer.requests) == 3
            head = peer.requests[0].splitlines()
            assert head[0] == "GET /metrics HTTP/1.1"
            assert f"Host: 127.0.0.1:{server.port}" in head
            assert "Accept-Encoding: identity" in head
            assert "secret" not in "".join(peer.requests)

    run(test())


@pytest.mark.parametrize(
    "framing",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:90], BODY[90:]))
        + b"0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        response(BODY, headers="Connection: close\nContent-Type: text/plain"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
        response(BODY, headers="Content-Type: application/openmetrics-text; version=1.0.0"),
    ],
)
def test_every_framing_of_http_is_read_again_and_again(framing: bytes) -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(framing, then_close=True)) as server:
            collector = metrics(server.url)
            for _ in range(2):
                assert (await collector.read()).values[0] == 17
            await collector.aclose()

    run(test())


def test_a_body_that_comes_byte_by_byte_is_read_whole() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        for index in range(len(GOOD)):
            await peer.send(GOOD[index : index + 1])
            await asyncio.sleep(0)

    async def test() -> None:
        async with FakeMetricsServer(play) as server:
            assert (await read_once(server.url)).values[0] == 17

    run(test())


def test_an_exposition_without_series_is_a_reading_without_series() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(response(b""))) as server:
            reading = await read_once(server.url)
            assert (reading.layout.series, list(reading.values)) == ((), [])

    run(test())


def test_nothing_at_another_path_is_a_wrong_path() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(response(b""))) as server:
            with pytest.raises(NotTriton, match="answers with nothing"):
                await read_once(server.url.replace("/metrics", "/"))

    run(test())


def test_series_beyond_the_bound_are_dropped_and_counted() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(GOOD)) as server:
            reading = await read_once(server.url, max_series=1)
            assert (len(reading.layout.series), list(reading.values), reading.dropped_series) == (1, [17], 1)

    run(test())


def test_a_label_with_a_terminal_sequence_arrives_verbatim() -> None:
    async def test() -> None:
        body = b'nv_inference_count{model="\x1b[31m[b]\\"x\\"\\n"} 1\n'
        async with FakeMetricsServer(say(response(body))) as server:
            assert (await read_once(server.url)).layout.series[0].labels == (("model", '\x1b[31m[b]"x"\n'),)

    run(test())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6() -> None:
    async def test() -> None:
        try:
            server = await FakeMetricsServer(say(GOOD), host="::1").__aenter__()
        except OSError:
            pytest.skip("no IPv6 loopback")
        try:
            assert (await read_once(server.url)).values[0] == 17
            assert f"Host: [::1]:{server.port}" in server.peers[0].requests[0]
        finally:
            await server.__aexit__(None, None, None)

    run(test())


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    async def test() -> None:
        async with FakeMetricsServer(say(GOOD)) as server:
            assert (await read_once(server.url)).values[0] == 17

    run(test())


# --- Connections that end ----------------------------------------------------------------------


async def closes_on_the_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.send(GOOD)
    await peer.request()


@pytest.mark.parametrize(
    "first",
    [
        say(GOOD, then_close=True),
        closes_on_the_second_request,
        say(GOOD, response(b"idle", status="408 Request Timeout"), then_close=True),
        say(GOOD + b"and more than it announced", then_close=True),
    ],
)
def test_a_connection_that_cannot_be_used_again_is_replaced_silently(first: Play) -> None:
    async def test() -> None:
        async with FakeMetricsServer(in_turn(first, say(GOOD))) as server:
            collector = metrics(server.url)
            layouts = {id((await collector.read()).layout) for _ in range(3)}
            await collector.aclose()
            assert len(layouts) == 1
            assert len(server.peers) == 2

    run(test())


def test_a_fresh_connection_that_is_closed_is_not_tried_again() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()

    async def test() -> None:
        async with FakeMetricsServer(play) as server:
            collector = metrics(server.url)
            for attempts in (1, 2):
                with pytest.raises(Unreachable, match="closed the connection without an answer"):
                    await collector.read()
                assert len(server.peers) == attempts

    run(test())


def test_a_server_that_dies_and_comes_back_is_read_on() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(GOOD)) as server:
            collector = metrics(server.url)
            before = await collector.read()
        with pytest.raises(Unreachable, match="nobody listens"):
            await collector.read()
        async with FakeMetricsServer(say(response(BODY.replace(b" 17", b" 3"))), port=server.port):
            after = await collector.read()
            await collector.aclose()
        assert after.layout is before.layout
        assert (before.values[0], after.values[0]) == (17, 3)

    run(test())


def test_a_cancelled_scrape_leaves_no_connection_and_the_next_one_works() -> None:
    async def test() -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def hang(peer: Peer) -> None:
            await peer.request()
            await peer.send(GOOD[:-10])
            asked.set()
            await peer.closed_by_client()
            gone.set()

        async with FakeMetricsServer(in_turn(hang, say(GOOD))) as server:
            collector = metrics(server.url)
            scrape = asyncio.create_task(collector.read())
            await asked.wait()
            scrape.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scrape
            await gone.wait()
            assert (await collector.read()).values[0] == 17
            await collector.aclose()

    run(test())


def test_closing_twice_before_and_after_a_scrape() -> None:
    async def test() -> None:
        gone = asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.send(GOOD)
            await peer.closed_by_client()
            gone.set()

        async with FakeMetricsServer(play) as server:
            collector = metrics(server.url)
            await collector.aclose()
            await collector.read()
            await collector.aclose()
            await collector.aclose()
            await gone.wait()

    run(test())


# --- Nobody there ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_listens(host: str) -> None:
    url = f"http://{host}:{free_port()}/metrics"
    with pytest.raises(Unreachable) as caught:
        run(read_once(url))
    assert caught.value.sentence == f"nobody listens at {url}."
    assert "--metrics-port" in caught.value.advice


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid"])
def test_an_unknown_host(host: str) -> None:
    with pytest.raises(Unreachable, match=rf"the host of http://{host}:8002/metrics is not known"):
        run(read_once(f"http://{host}:8002/metrics"))


def test_a_port_that_accepts_no_connection() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for client in waiting:  # they fill the queue of the listener, which nobody empties
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            with pytest.raises(Unreachable, match=r"did not accept a connection within 0\.1 s"):
                run(read_once(f"http://127.0.0.1:{listener.getsockname()[1]}/metrics", timeout_s=SOON_S))
        finally:
            for client in waiting:
                client.close()


def test_an_endpoint_without_metrics() -> None:
    with pytest.raises(Unavailable, match="box has no metrics URL"):
        run(read_once(""))


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8002", "ftp://box/metrics", "http:///metrics", "http://box:99999/", "http://[::1/", "http://b\x1box/"],
)
def test_an_unusable_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match=r"is no metrics URL\."):
        metrics(url)


def test_no_password_of_a_url_is_shown() -> None:
    with pytest.raises(TritopError) as caught:
        metrics("http://me:secret@box:port/metrics")
    assert "secret" not in str(caught.value)
    with pytest.raises(TritopError) as caught:
        run(read_once(f"http://me:secret@127.0.0.1:{free_port()}/metrics?token=secret"))
    assert "secret" not in str(caught.value)


# --- Somebody else there -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (response(b"<html></html>", headers="Content-Type: text/html"), NotTriton, "answers with text/html"),
        (response(b"\n<!DOCTYPE html>", headers="Server: x"), NotTriton, "answers with HTML"),
        (response(b"{}", headers="Content-Type: application/json"), NotTriton, "answers with application/json"),
        (response(b"", status="404 Not Found"), NotTriton, "answers 404 Not Found"),
        (response(b"", status="400 Bad Request"), NotTriton, "answers 400 Bad Request"),
        (response(b"", status="500 \x1b"), NotTriton, "answers 500 Internal Server Error"),
        (response(b"", status="799 Strange"), NotTriton, "answers 799"),
        (response(b"", status="302 Found", headers="Location: /log\x1b[31m"), NotTriton, r"Found to '/log\x1b[31m'"),
        (response(b"", status="302 Found", headers="Location: /login"), NotTriton, "302 Found to '/login'"),
        (response(b"", status="401 Unauthorized"), AccessDenied, "answers 401 Unauthorized"),
        (response(b"", status="403 Forbidden"), AccessDenied, "answers 403 Forbidden"),
        (response(b"", status="502 Bad Gateway"), Unreachable, "nobody answers behind that proxy"),
        (response(b"", status="503 Service Unavailable"), Unavailable, "answers 503 Service Unavailable"),
        (response(b"sent to HTTPS port", status="400 Bad Request"), AccessDenied, "expects TLS"),
        (response(b"node_cpu 1\ngo_threads 8\n"), NotTriton, "none of Triton's: they begin with 'node_cpu'"),
        (response(b"vllm:num_requests_running 1\n"), NotTriton, "begin with 'vllm:num_requests_running'"),
        (b"\x15\x03\x01\x00\x02\x02\x46", AccessDenied, "speaks TLS"),
        (b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x04\x00\x40\r\n\r\n", NotTriton, "HTTP/2"),
        (b"220 box ESMTP ready\r\n\r\n", NotTriton, "does not speak HTTP: it began with b'220 box"),
        (BODY, NotTriton, "does not speak HTTP"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", NotTriton, "does not speak HTTP"),
        (bytes(range(128, 256)) * 8 + b"\r\n\r\n", NotTriton, "does not speak HTTP"),
    ],
)
def test_something_else_answers(answer: bytes, kind: type[ReadError], words: str) -> None:
    fault = fault_of(say(answer, then_close=True))
    assert type(fault) is kind
    assert words in fault.sentence


def test_an_exposition_of_a_triton_with_custom_families_is_accepted() -> None:
    async def test() -> None:
        async with FakeMetricsServer(say(response(b"vllm:a 1\nnv_pinned_memory_pool_used_bytes 0\n"))) as server:
            assert len((await read_once(server.url)).values) == 2

    run(test())


# --- Answers that are no answers ---------------------------------------------------------------


async def silence(peer: Peer) -> None:
    await peer.closed_by_client()


async def half_a_head_then_silence(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: te")
    await peer.closed_by_client()


async def half_a_body_then_silence(peer: Peer) -> None:
    await peer.request()
    await peer.send(GOOD[:-10])
    await peer.closed_by_client()


async def drip(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.send(b"#")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (silence, "accepted the connection and sent nothing within 0.1 s"),
        (half_a_head_then_silence, "sent 33 bytes in 0.1 s and did not come to an end"),
        (half_a_body_then_silence, f"sent {len(GOOD) - 10} bytes in 0.1 s and did not come to an end"),
        (drip, "in 0.1 s and did not come to an end"),
    ],
)
def test_an_answer_that_does_not_end_is_given_up(play: Play, words: str) -> None:
    fault = fault_of(play, timeout_s=SOON_S)
    assert type(fault) is TimedOut
    assert words in fault.sentence


async def endless(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        await peer.send(BODY * 100)


async def endless_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"X-Header: y\r\n" * 1000)


async def announces_64_megabytes(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
    await peer.closed_by_client()


async def sends_64_megabytes(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(64):
        await peer.send(b"100000\r\n" + b"#" * (1 << 20) + b"\r\n")
    await peer.send(b"0\r\n\r\n")


async def resets(peer: Peer) -> None:
    await peer.request()
    await peer.send(GOOD[:-10])
    peer.reset()


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (endless, "which is more than 16,777,216"),
        (endless_head, "broken HTTP head"),
        (announces_64_megabytes, "answered with 67,108,864 bytes, which is more than 16,777,216"),
        (sends_64_megabytes, "which is more than 16,777,216"),
        (resets, "broke off its answer"),
        (say(GOOD[:-10], then_close=True), "broke off its answer"),
        (say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "broke off its answer"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), "broken HTTP head"),
        (say(b"HTTP/1.1 200 OK\r\n\x00bad header\r\n\r\n"), "broken HTTP head"),
        (say(response(b"\x1f\x8b\x08", headers="Content-Encoding: gzip")), "in the encoding 'gzip'"),
        (say(response(bytes(range(256)) * 16)), "is not UTF-8"),
        (say(response(b"\x00\x01\x02\x03" * 64)), "is not Prometheus text: at line 1"),
        (say(response(BODY[:-20])), "is not Prometheus text: at line"),
        (say(response(BODY + b'nv_a{model="\xff"} 1\n')), f"is not UTF-8: byte {len(BODY) + 12} is 0xff"),
    ],
)
def test_a_garbled_answer(play: Play, words: str) -> None:
    fault = fault_of(play)
    assert type(fault) is Garbled
    assert words in fault.sentence


# --- TLS, which only a proxy before Triton speaks ----------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_https_with_the_authority_of_the_endpoint(
    authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    ca_path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_path))

    async def test() -> None:
        async with FakeMetricsServer(say(GOOD), tls=server_tls) as server:
            collector = metrics(server.url, tls=Tls(ca_path=str(ca_path)))
            for _ in range(2):
                assert (await collector.read()).values[0] == 17
            await collector.aclose()
            assert len(server.peers) == 1

    run(test())


def test_https_with_an_unknown_authority(server_tls: ssl.SSLContext) -> None:
    fault = fault_of(say(GOOD), tls=server_tls)
    assert type(fault) is AccessDenied
    assert "is not trusted" in fault.sentence


def test_https_to_a_port_without_tls() -> None:
    async def answers_at_once(peer: Peer) -> None:
        await peer.send(response(b"", status="400 Bad Request"))

    fault = fault_of(answers_at_once, scheme="https:")
    assert type(fault) is AccessDenied
    assert "cannot be spoken to over TLS" in fault.sentence


def test_http_to_a_port_with_tls(server_tls: ssl.SSLContext) -> None:
    fault = fault_of(say(GOOD), tls=server_tls, scheme="http:")
    assert type(fault) is Unreachable
    assert "it expects TLS" in fault.advice


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AccessDenied, match="cannot use the CA file"):
        run(read_once("https://127.0.0.1:1/metrics", tls=Tls(ca_path=str(path))))
