"""The metrics of a real Triton, as prometheus_client reads them, and its other ports."""

from __future__ import annotations

import asyncio
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from collectors.triton_metrics import TritonMetrics
from tests.running_triton import RunningTriton
from tritop.endpoint import Endpoint
from tritop.errors import NotTriton
from tritop.reading import MetricsReading

pytestmark = pytest.mark.triton


async def read_once(url: str) -> MetricsReading:
    collector = TritonMetrics(Endpoint("box", "127.0.0.1", metrics_url=url))
    try:
        return await collector.read()
    finally:
        await collector.aclose()


def fetch(url: str) -> str:
    with urlopen(url) as answer:
        body: bytes = answer.read()
        return body.decode()


def test_a_real_triton_is_read_as_prometheus_client_reads_it(triton_server: RunningTriton) -> None:
    async def test() -> None:
        collector = TritonMetrics(triton_server.endpoint)
        try:
            before = await collector.read()
            text = await asyncio.to_thread(fetch, triton_server.endpoint.metrics_url)
            after = await collector.read()
        finally:
            await collector.aclose()
        assert after.layout is before.layout
        assert after.mono > before.mono
        read = [
            (series.name + "_total" * (series.kind == "counter"), dict(series.labels)) for series in after.layout.series
        ]
        assert read == [(sample.name, sample.labels) for family in families(text) for sample in family.samples]
        models = {dict(series.labels).get("model") for series in after.layout.series}
        assert "matrix" in models
        for series, first, second in zip(after.layout.series, before.values, after.values, strict=True):
            assert series.kind != "counter" or second >= first >= 0, series

    asyncio.run(test())


def test_a_real_triton_at_the_wrong_path_and_at_the_wrong_ports(triton_server: RunningTriton) -> None:
    endpoint = triton_server.endpoint
    for url, words in (
        (endpoint.metrics_url.replace("/metrics", "/stats"), "answers with nothing"),
        (f"http://127.0.0.1:{endpoint.http_port}/metrics", "answers 404 Not Found"),
        (f"http://127.0.0.1:{endpoint.grpc_port}/metrics", "speaks HTTP/2"),
    ):
        with pytest.raises(NotTriton, match=words) as caught:
            asyncio.run(read_once(url))
        assert "--metrics-port" in caught.value.advice
