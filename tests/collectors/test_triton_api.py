"""The API collector against servers that a real Triton cannot be made to be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from collectors.triton_api import TritonApi
from tests.collectors.fake_triton import POLLING_TEXT, FakeTriton, restricted_text, serving
from tritop.endpoint import Endpoint, Tls
from tritop.errors import AccessDenied, Garbled, NotTriton, ReadError, Stopping, TimedOut, Unreachable
from tritop.model import ControlMode
from tritop.protocol import MAX_MESSAGE_BYTES, grpc

EVERY_READ = ["ModelStatistics", "RepositoryIndex", "ServerLive", "ServerReady"]
HEALTH_INDEX_STATISTICS = ("ServerLive", "ServerReady", "RepositoryIndex", "ModelStatistics")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def reading(fake: FakeTriton | None, **options: Any) -> AsyncIterator[TritonApi]:
    """A collector on a fake server, both closed at the end."""
    async with serving(fake) as endpoint:
        api = TritonApi(endpoint, **options)
        try:
            yield api
        finally:
            await api.aclose()


def refuse(fake: FakeTriton, code: grpc.StatusCode, text: str, *methods: str) -> None:
    fake.refusals.update(dict.fromkeys(methods, (code, text)))


def test_everything_is_read_and_kept_verbatim() -> None:
    fake = FakeTriton()
    fake.ready = False
    fake.add_model("resnet50", "2")
    fake.index.models.add(name="never_loaded")
    fake.index.models.add(name="ranker", version="1", state="UNAVAILABLE", reason="no such file\n\x1b[31mweights.pt")
    fake.add_model("from_overrides_only", listed=False)

    async def scenario() -> None:
        async with reading(fake, clock=Clock(1000.0), monotonic=Clock(7.0)) as api:
            reading_ = await api.read()
        assert (reading_.at, reading_.mono) == (1000.0, 7.0)
        assert (reading_.live, reading_.ready) == (True, False)
        assert (reading_.server_name, reading_.version, reading_.extensions) == ("triton", "2.51.0", ("statistics",))
        assert reading_.control_mode is ControlMode.EXPLICIT
        assert reading_.index is not None
        assert [(entry.name, entry.version, entry.state) for entry in reading_.index] == [
            ("resnet50", "2", "READY"),
            ("never_loaded", "", ""),
            ("ranker", "1", "UNAVAILABLE"),
        ]
        assert reading_.index[2].reason == "no such file\n\x1b[31mweights.pt"
        assert reading_.statistics is not None
        assert [row.name for row in reading_.statistics] == ["resnet50", "from_overrides_only"]
        assert set(reading_.configs) == {("resnet50", "2"), ("from_overrides_only", "1")}
        assert reading_.part_faults == ()

    asyncio.run(scenario())


def test_a_second_read_asks_only_for_what_moves() -> None:
    fake = FakeTriton()
    fake.add_model("resnet50")

    async def scenario() -> None:
        async with reading(fake) as api:
            first = await api.read()
            assert fake.take_asked() == sorted([*EVERY_READ, "ModelConfig", "RepositoryModelUnload", "ServerMetadata"])
            second = await api.read()
            assert fake.take_asked() == EVERY_READ
        assert second.version == "2.51.0"
        assert second.control_mode is ControlMode.EXPLICIT
        assert second.configs is first.configs
        assert second.index is first.index
        assert second.statistics is first.statistics

    asyncio.run(scenario())


def test_an_empty_server_is_read() -> None:
    async def scenario() -> None:
        async with reading(FakeTriton()) as api:
            empty = await api.read()
        assert (empty.index, empty.statistics, dict(empty.configs)) == ((), (), {})

    asyncio.run(scenario())


def test_an_in_place_update_is_found_in_rotation() -> None:
    fake = FakeTriton()
    fake.add_model("resnet50")
    monotonic = Clock(0.0)

    async def scenario() -> None:
        async with reading(fake, monotonic=monotonic) as api:
            first = await api.read()
            fake.configs["resnet50", "1"].instance_group.add(count=4)
            monotonic.now = 9.9
            assert (await api.read()).configs is first.configs
            monotonic.now = 10.1
            later = await api.read()
        assert first.configs["resnet50", "1"].instances == 1
        assert later.configs["resnet50", "1"].instances == 4
        assert later.configs is not first.configs

    asyncio.run(scenario())


def test_a_full_reload_is_asked_for_at_once() -> None:
    fake = FakeTriton()
    fake.add_model("resnet50")
    fake.statistics.model_stats[0].execution_count = 100

    async def scenario() -> None:
        async with reading(fake) as api:
            await api.read()
            fake.statistics.model_stats[0].execution_count = 2
            fake.configs["resnet50", "1"].max_batch_size = 64
            assert (await api.read()).configs["resnet50", "1"].max_batch_size == 64

    asyncio.run(scenario())


def test_a_thousand_models_are_complete_after_sixteen_reads() -> None:
    fake = FakeTriton()
    for number in range(1000):
        fake.add_model(f"model_{number:04d}")

    async def scenario() -> None:
        async with reading(fake, timeout_s=30.0) as api:
            for number in range(1, 17):
                reading_ = await api.read()
                assert len(reading_.configs) == min(64 * number, 1000)
            assert reading_.index is not None
            assert reading_.statistics is not None
            assert (len(reading_.index), len(reading_.statistics)) == (1000, 1000)

    asyncio.run(scenario())


def test_namesakes_of_several_namespaces_are_kept() -> None:
    fake = FakeTriton()
    fake.add_model("a")
    fake.add_model("a", state="UNAVAILABLE")
    fake.statistics.model_stats[0].execution_count = 5
    fake.statistics.model_stats[1].execution_count = 3
    refuse(fake, grpc.StatusCode.INVALID_ARGUMENT, "There are 2 identifiers of model 'a'", "ModelConfig")

    async def scenario() -> None:
        async with reading(fake) as api:
            for _ in range(3):
                reading_ = await api.read()
                fake.statistics.model_stats[0].execution_count += 1
            assert reading_.statistics is not None
            assert [row.execution_count for row in reading_.statistics] == [7, 3]
            assert reading_.index is not None
            assert [entry.state for entry in reading_.index] == ["READY", "UNAVAILABLE"]
            assert reading_.part_faults == ()
        assert fake.asked.count("ModelConfig") == 1

    asyncio.run(scenario())


def test_restricted_parts_are_named_with_the_header_to_give() -> None:
    fake = FakeTriton()
    fake.add_model("resnet50")
    for key, methods in {
        "admin-key": ["RepositoryIndex", "RepositoryModelUnload"],
        "stats-key": ["ModelStatistics"],
        "config-key": ["ModelConfig"],
        "health-key": ["ServerLive", "ServerReady"],
    }.items():
        refuse(fake, grpc.StatusCode.UNAVAILABLE, restricted_text(key), *methods)
    clock = Clock(100.0)

    async def scenario() -> None:
        async with reading(fake, clock=clock) as api:
            del fake.refusals["ModelStatistics"]
            first = await api.read()
            assert (first.live, first.ready, first.index) == (None, None, None)
            assert first.statistics is not None
            assert first.control_mode is ControlMode.UNKNOWN
            faults = {fault.sentence.partition(":")[0]: fault for fault in first.part_faults}
            assert set(faults) == {"No health", "No repository index", "No model configurations"}
            assert "triton-grpc-protocol-admin-key" in faults["No repository index"].sentence
            assert "--header triton-grpc-protocol-config-key=env:" in faults["No model configurations"].advice
            clock.now = 200.0
            again = await api.read()
            assert {(fault.since, fault.attempts) for fault in again.part_faults} == {(100.0, 2)}
            assert fake.asked.count("RepositoryModelUnload") == 1
            fake.refusals.clear()
            well = await api.read()
            assert well.part_faults == ()
            assert well.index is not None
            assert set(well.configs) == {("resnet50", "1")}

    asyncio.run(scenario())


def test_one_who_may_only_know_the_name_still_gets_a_reading() -> None:
    fake = FakeTriton()
    refuse(fake, grpc.StatusCode.UNAVAILABLE, restricted_text("k"), *HEALTH_INDEX_STATISTICS)

    async def scenario() -> None:
        async with reading(fake) as api:
            for _ in range(2):
                reading_ = await api.read()
                assert reading_.version == "2.51.0"
                assert len(reading_.part_faults) == 3

    asyncio.run(scenario())


def test_one_who_may_know_nothing_is_told_so() -> None:
    fake = FakeTriton()
    refuse(fake, grpc.StatusCode.UNAVAILABLE, restricted_text("k"), "ServerMetadata", *HEALTH_INDEX_STATISTICS)

    async def scenario() -> None:
        async with reading(fake) as api:
            with pytest.raises(AccessDenied, match="triton-grpc-protocol-k"):
                await api.read()

    asyncio.run(scenario())


def test_a_hanging_part_leaves_the_others() -> None:
    fake = FakeTriton()
    fake.add_model("resnet50")
    fake.hanging = {"RepositoryIndex"}

    async def scenario() -> None:
        async with reading(fake, timeout_s=1.0) as api:
            reading_ = await api.read()
        assert reading_.index is None
        assert reading_.statistics is not None
        assert set(reading_.configs) == {("resnet50", "1")}
        assert [fault.title for fault in reading_.part_faults] == [TimedOut.title]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "no token", AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, "", AccessDenied),
        (grpc.StatusCode.UNAVAILABLE, "Server exiting", Stopping),
        (grpc.StatusCode.INTERNAL, "a\x1b[2Jb", Garbled),
    ],
)
def test_a_server_that_refuses_everything(code: grpc.StatusCode, text: str, kind: type[ReadError]) -> None:
    fake = FakeTriton()
    refuse(fake, code, text, "ServerMetadata", *HEALTH_INDEX_STATISTICS)

    async def scenario() -> None:
        async with reading(fake) as api:
            with pytest.raises(kind) as raised:
                await api.read()
        assert raised.value.sentence.isprintable()

    asyncio.run(scenario())


def test_a_server_that_shuts_down_is_not_called_broken() -> None:
    """Between SIGTERM and its end Triton still answers ServerMetadata."""
    fake = FakeTriton()
    refuse(fake, grpc.StatusCode.UNAVAILABLE, "Server exiting", "ServerLive", "ServerReady")
    refuse(fake, grpc.StatusCode.UNAVAILABLE, "Server not ready", "RepositoryIndex", "ModelStatistics")

    async def scenario() -> None:
        async with reading(fake) as api:
            with pytest.raises(Stopping):
                await api.read()

    asyncio.run(scenario())


def test_a_server_that_hangs_times_out() -> None:
    fake = FakeTriton()
    fake.hanging = {"ServerMetadata", *HEALTH_INDEX_STATISTICS}

    async def scenario() -> None:
        async with reading(fake, timeout_s=0.3) as api:
            with pytest.raises(TimedOut, match="no answer"):
                await api.read()
            fake.hanging.clear()
            assert (await api.read()).live

    asyncio.run(scenario())


def test_another_grpc_service_is_not_triton() -> None:
    async def scenario() -> None:
        async with reading(None) as api:
            with pytest.raises(NotTriton, match="speaks gRPC"):
                await api.read()

    asyncio.run(scenario())


def test_an_answer_beyond_the_bound_is_garbled() -> None:
    fake = FakeTriton()
    fake.index.models.add(name="a", reason="x" * (MAX_MESSAGE_BYTES + 1))

    async def scenario() -> None:
        async with reading(fake, timeout_s=20.0) as api:
            reading_ = await api.read()
        assert reading_.index is None
        (fault,) = reading_.part_faults
        assert (fault.title, "too large" in fault.sentence) == (Garbled.title, True)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("refusal", "mode"),
    [
        (None, ControlMode.EXPLICIT),
        ((grpc.StatusCode.UNAVAILABLE, POLLING_TEXT), ControlMode.NONE_OR_POLL),
        ((grpc.StatusCode.UNAVAILABLE, restricted_text("k")), ControlMode.UNKNOWN),
        ((grpc.StatusCode.UNIMPLEMENTED, "Method not found!"), ControlMode.UNKNOWN),
    ],
)
def test_the_control_mode_is_found_out_once(refusal: tuple[grpc.StatusCode, str] | None, mode: ControlMode) -> None:
    fake = FakeTriton()
    if refusal:
        fake.refusals["RepositoryModelUnload"] = refusal

    async def scenario() -> None:
        async with reading(fake) as api:
            for _ in range(3):
                assert (await api.read()).control_mode is mode
        assert fake.asked.count("RepositoryModelUnload") == 1

    asyncio.run(scenario())


def test_no_answer_about_the_control_mode_is_no_finding() -> None:
    fake = FakeTriton()
    refuse(fake, grpc.StatusCode.UNAVAILABLE, "Server not ready", "RepositoryModelUnload")

    async def scenario() -> None:
        async with reading(fake) as api:
            assert (await api.read()).control_mode is ControlMode.UNKNOWN
            fake.refusals.clear()
            assert (await api.read()).control_mode is ControlMode.EXPLICIT

    asyncio.run(scenario())


@pytest.mark.parametrize(("read_only", "probe"), [(True, True), (False, False)])
def test_a_server_that_may_not_be_touched_is_not_probed(read_only: bool, probe: bool) -> None:
    fake = FakeTriton()

    async def scenario() -> None:
        async with serving(fake, read_only=read_only) as endpoint:
            api = TritonApi(endpoint, probe_control_mode=probe)
            assert (await api.read()).control_mode is ControlMode.UNKNOWN
            await api.aclose()
        assert "RepositoryModelUnload" not in fake.asked

    asyncio.run(scenario())


def test_headers_go_with_every_call() -> None:
    fake = FakeTriton()

    async def scenario() -> None:
        async with serving(fake, headers=(("Triton-Grpc-Protocol-K", "secret"), ("x-trace-bin", "abc"))) as endpoint:
            api = TritonApi(endpoint)
            await api.read()
            await api.aclose()
        assert fake.metadata["triton-grpc-protocol-k"] == "secret"
        assert fake.metadata["x-trace-bin"] == b"abc"

    asyncio.run(scenario())


@pytest.mark.parametrize("header", [("a b", "v"), ("a", "s3cret\n"), ("a", "s3crét"), ("", "v")])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(header: tuple[str, str]) -> None:
    async def scenario() -> None:
        api = TritonApi(Endpoint("x", "127.0.0.1", 1, headers=(header,)))
        with pytest.raises(AccessDenied, match="request header") as raised:
            await api.read()
        assert "s3cr" not in str(raised.value)
        await api.aclose()

    asyncio.run(scenario())


def test_a_missing_certificate_file_is_named() -> None:
    async def scenario() -> None:
        api = TritonApi(Endpoint("x", "127.0.0.1", 1, tls=Tls(ca_path="/nowhere/ca.pem")))
        with pytest.raises(AccessDenied, match=r"/nowhere/ca\.pem"):
            await api.read()
        await api.aclose()

    asyncio.run(scenario())


def test_a_server_that_comes_back_is_read_at_once_and_known_anew() -> None:
    fake, other = FakeTriton(), FakeTriton()
    fake.add_model("old")
    other.add_model("new")
    other.server_name = "other"

    async def scenario() -> None:
        async with serving(fake) as endpoint:
            api = TritonApi(endpoint)
            assert (await api.read()).server_name == "triton"
        for _ in range(4):
            with pytest.raises(Unreachable):
                await api.read()
        async with serving(other, endpoint.grpc_port):
            back = await api.read()
            assert back.server_name == "other"
            assert set(back.configs) == {("new", "1")}
            assert other.asked.count("RepositoryModelUnload") == 1
        await api.aclose()

    asyncio.run(scenario())


def test_a_restart_between_two_reads_is_noticed() -> None:
    fake, other = FakeTriton(), FakeTriton()
    other.server_name = "other"

    async def scenario() -> None:
        async with serving(fake) as endpoint:
            api = TritonApi(endpoint)
            await api.read()
        async with serving(other, endpoint.grpc_port):
            assert (await api.read()).server_name == "other"
        await api.aclose()

    asyncio.run(scenario())


def test_closing_ends_a_read_that_is_under_way() -> None:
    fake = FakeTriton()
    fake.hanging = {"ServerMetadata", *HEALTH_INDEX_STATISTICS}

    async def scenario() -> None:
        async with reading(fake, timeout_s=30.0) as api:
            read = asyncio.create_task(api.read())
            await fake.until_asked(5)
            await api.aclose()
            with pytest.raises(ReadError):
                await read
            await api.aclose()

    asyncio.run(scenario())


def test_closing_a_collector_that_never_read() -> None:
    asyncio.run(TritonApi(Endpoint("x", "127.0.0.1", 1)).aclose())


QUIET_PROGRAM = """
import asyncio, logging, sys, trustme
from collectors.triton_api import TritonApi
from tests.collectors.fake_triton import FakeTriton, serving
from tritop.endpoint import Endpoint, Tls

logging.basicConfig(level=logging.WARNING)

async def scenario(ca_path):
    fake = FakeTriton()
    fake.hanging = {"ModelStatistics"}
    async with serving(fake) as endpoint:
        cancelled = TritonApi(endpoint)
        read = asyncio.create_task(cancelled.read())
        await fake.until_asked(5)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
        await cancelled.aclose()
        never_closed = TritonApi(endpoint, timeout_s=0.2)
        await never_closed.read()
        over_tls = TritonApi(Endpoint("x", "127.0.0.1", endpoint.grpc_port, tls=Tls(ca_path)))
        await asyncio.gather(over_tls.read(), return_exceptions=True)
        await over_tls.aclose()
    await asyncio.gather(never_closed.read(), return_exceptions=True)

asyncio.run(scenario(sys.argv[1]), debug=True)
"""


def test_nothing_is_written_to_the_terminal(tmp_path: Path) -> None:
    """Cancelled, never closed, a TLS handshake that fails: stderr is where the screen is drawn."""
    ca_path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_path))
    program = subprocess.run(
        [sys.executable, "-X", "dev", "-c", QUIET_PROGRAM, str(ca_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (program.returncode, program.stdout, program.stderr) == (0, "", "")
