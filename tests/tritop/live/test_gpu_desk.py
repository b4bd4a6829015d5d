"""When a session reads NVML, and when it does not."""

from __future__ import annotations

import socket
import time

import pytest

from tests.tritop.live.fakes import Deliveries, FakeCollector, FakeHosted
from tritop.endpoint import Endpoint
from tritop.errors import Unavailable
from tritop.live import LiveSession
from tritop.live.gpus import GpuCollector, is_on_this_host
from tritop.model import Gpu, SourceState
from tritop.operation import ReadPcie
from tritop.reading import GpuReading

HERE, ELSEWHERE = Endpoint("here", "127.0.0.1"), Endpoint("elsewhere", "192.0.2.7")


class FakeGpuCollector(FakeCollector):
    """One GPU, with PCIe throughput while it is wanted."""

    def __init__(self) -> None:
        super().__init__("nvml", self._say)
        self.pcie = False

    def _say(self, reads: int) -> GpuReading:
        gpu = Gpu("GPU-a", origin="nvml", index=0, pcie_sent_bytes_per_s=1.0 if self.pcie else None)
        return GpuReading(time.time(), time.monotonic(), "570.1", (gpu,))


class Bench:
    """Counts the collectors that a session makes."""

    def __init__(self) -> None:
        self.made: list[FakeGpuCollector] = []

    def __call__(self) -> GpuCollector:
        self.made.append(FakeGpuCollector())
        return self.made[-1]


def session_of(bench: Bench, *endpoints: Endpoint, hosted: tuple[FakeHosted, ...] = ()) -> LiveSession:
    return LiveSession(
        endpoints,
        hosted=hosted,
        interval_s=0.1,
        make_collectors=lambda endpoint: (FakeCollector(),),
        make_gpu_collector=bench,
    )


@pytest.mark.parametrize("hosted", [False, True], ids=["watched", "hosted"])
def test_a_server_on_this_host_brings_one_source_for_all(hosted: bool) -> None:
    bench, deliveries = Bench(), Deliveries()
    session = session_of(bench, HERE, HERE) if not hosted else session_of(bench, hosted=(FakeHosted("mine"),))
    session.start(deliveries)
    try:
        snapshot = deliveries.until(lambda snapshot: bool(snapshot.gpus))
        assert snapshot.gpu_source is not None
        assert (snapshot.gpu_source.state, snapshot.gpu_driver) == (SourceState.OK, "570.1")
        assert snapshot.gpus[0].pcie_sent_bytes_per_s is None
        session.submit(ReadPcie(True))
        deliveries.until(lambda snapshot: snapshot.gpus[0].pcie_sent_bytes_per_s is not None)
        session.submit(ReadPcie(False))
        deliveries.until(lambda snapshot: snapshot.gpus[0].pcie_sent_bytes_per_s is None)
    finally:
        session.stop()
    (collector,) = bench.made
    assert collector.closed


def test_servers_elsewhere_do_not() -> None:
    bench, deliveries = Bench(), Deliveries()
    session = session_of(bench, ELSEWHERE)
    session.start(deliveries)
    try:
        assert deliveries.until(lambda snapshot: snapshot.seq >= 3).gpu_source is None
        session.submit(ReadPcie(True))
        deliveries.until(lambda snapshot: snapshot.seq >= 4)
    finally:
        session.stop()
    assert bench.made == []


def test_a_host_without_a_driver_costs_nothing_but_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, deliveries = Bench(), Deliveries()
    monkeypatch.setattr(FakeGpuCollector, "read", _absent)
    session = session_of(bench, HERE)
    session.start(deliveries)
    try:
        snapshot = deliveries.until(lambda snapshot: getattr(snapshot.gpu_source, "fault", None) is not None)
    finally:
        session.stop()
    assert snapshot.gpu_source is not None
    assert snapshot.gpu_source.state is SourceState.OFF
    assert snapshot.servers[0].sources[0].state is SourceState.OK


async def _absent(self: FakeGpuCollector) -> GpuReading:
    raise Unavailable("There is no NVIDIA driver on this host.")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), (socket.gethostname(), True),
     ("192.0.2.7", False), ("gpu-box.invalid", False), ("", False)],
)  # fmt: skip
def test_which_addresses_are_here(host: str, expected: bool) -> None:
    assert is_on_this_host(Endpoint("one", host)) is expected
