"""The numbers on the screen are those that a person computes from two raw scrapes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

import pytest

from collectors.exposition import ExpositionReader
from collectors.http_connection import HttpConnection
from collectors.triton_api import TritonApi
from collectors.triton_metrics import MAX_BODY_BYTES
from tests.running_triton import RunningTriton
from tritop.endpoint import Endpoint
from tritop.live import LiveSession
from tritop.model import Snapshot
from tritop.operation import SetTraffic
from tritop.reading import Collector, MetricsReading
from tritop.settings import Settings
from tui.app import TritopApp
from tui.format import batch, latency_us, rate
from tui.widgets.line_table import LineTable

pytestmark = pytest.mark.triton

MODEL, VERSION = "tiny", "1"


class TappedMetrics:
    """Reads the metrics as the real collector does and keeps what came over the wire."""

    name = "metrics"
    period_s: float | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = HttpConnection(
            endpoint.metrics_url, max_body_bytes=MAX_BODY_BYTES, clock=time.time, monotonic=time.monotonic
        )
        self._reader = ExpositionReader()
        self.scrapes: dict[float, str] = {}
        """Monotonic time of each scrape -> its body."""

    async def read(self) -> MetricsReading:
        answer = await self._connection.get(2.0)
        self.scrapes[answer.mono] = answer.body.decode()
        layout, values = self._reader.read(answer.body)
        return MetricsReading(at=answer.at, mono=answer.mono, layout=layout, values=values)

    async def aclose(self) -> None:
        await self._connection.aclose()


def counter(body: str, family: str) -> float:
    """The value of one counter, found with nothing but a regular expression."""
    found = re.search(rf'^{family}{{model="{MODEL}",version="{VERSION}"}} (\S+)$', body, re.MULTILINE)
    assert found, f"{family} of {MODEL} is not in the scrape"
    return float(found[1])


def computed(before: tuple[float, str], after: tuple[float, str]) -> dict[str, str]:
    """REQ/s, BATCH, QUEUE and COMPUTE, as a person would work them out with a calculator."""
    (began, first), (ended, second) = before, after

    def increase(family: str) -> float:
        return counter(second, family) - counter(first, family)

    requests = increase("nv_inference_request_success")
    parts = [increase(f"nv_inference_compute_{part}_duration_us") for part in ("input", "infer", "output")]
    return {
        "REQ/s": rate(requests / (ended - began)),
        "BATCH": batch(increase("nv_inference_count") / increase("nv_inference_exec_count")),
        "QUEUE": latency_us(increase("nv_inference_queue_duration_us") / requests),
        "COMPUTE": latency_us(sum(parts) / requests),
    }


def shown(app: TritopApp) -> dict[str, str]:
    """The same columns as they stand in the table on the screen."""
    table = app.screen.query_one(LineTable)
    lines = [table.render_line(y).text for y in range(table.size.height)]
    head = next(line for line in lines if "MODEL" in line)
    row = next(line for line in lines if re.match(rf"[ ▸]*{MODEL} +{VERSION}\b", line))
    return {title: row[: head.find(title) + len(title)].split()[-1] for title in ("REQ/s", "BATCH", "QUEUE", "COMPUTE")}


async def watch(endpoint: Endpoint) -> tuple[Snapshot, dict[str, str], TappedMetrics]:
    """Run the screen until the model has had traffic for two whole intervals, and read it."""
    tapped = TappedMetrics(endpoint)

    def make(endpoint: Endpoint) -> Sequence[Collector]:
        return (TritonApi(endpoint), tapped)

    session = LiveSession([endpoint], interval_s=1.0, make_collectors=make)
    app = TritopApp(session, Settings(title="by hand"))
    async with app.run_test(size=(160, 45)) as pilot:
        app.desk.submit(SetTraffic(endpoint.name, MODEL, concurrency=4))
        busy = 0
        seen = app.desk.latest
        while busy < 3:
            await pilot.pause(0.05)
            if app.desk.latest is seen:
                continue
            seen = app.desk.latest
            rates = [row.requests_per_s or 0 for row in seen.servers[0].models if row.key == (MODEL, VERSION)]
            busy += rates[0] > 10
        app.desk.toggle_pause()
        await pilot.pause()
        return app.desk.shown, shown(app), tapped


def test_the_screen_shows_what_two_scrapes_say(triton_server: RunningTriton) -> None:
    snapshot, on_screen, tapped = asyncio.run(watch(triton_server.endpoint))
    scrapes = sorted((mono, body) for mono, body in tapped.scrapes.items() if mono <= snapshot.mono)
    assert on_screen == computed(scrapes[-2], scrapes[-1])
    assert on_screen["REQ/s"] not in {"0", "--"}
