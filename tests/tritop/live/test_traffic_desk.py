"""The traffic of a session, against a gRPC server of our own."""

from __future__ import annotations

import asyncio

from tests.tritop.load.fake_triton import eventually, fake_triton
from tritop.live.traffic import TrafficDesk
from tritop.model import Traffic
from tritop.operation import SetTraffic


def report_of(desk: TrafficDesk) -> Traffic:
    (report,) = desk.reports()
    return report


def test_numbers_begin_anew_when_the_model_was_changed() -> None:
    async def scenario() -> None:
        desk = TrafficDesk()
        async with fake_triton() as fake:
            try:
                await desk.apply(SetTraffic("fake", "m", concurrency=2), fake.endpoint)
                await eventually(lambda: report_of(desk).window_s is not None, "numbers")
                await desk.model_changed("fake", "other")
                assert report_of(desk).window_s is not None, "another model was changed"
                await desk.model_changed("fake", "m")
                report = report_of(desk)
                assert (report.concurrency, report.window_s, report.requests_per_s) == (2, None, None)
                await desk.apply(SetTraffic("fake", "m"), fake.endpoint)
                assert desk.reports() == ()
                await desk.model_changed("fake", "m")
            finally:
                await desk.close()

    asyncio.run(scenario())
