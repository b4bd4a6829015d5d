"""The API collector against a real Triton: its answers, its edits, its TLS, its restrictions."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from collectors.grpc_faults import LostConnection
from collectors.triton_api import TritonApi
from tests.e2e.triton_calls import call, config_of, first_reading, infer_tiny, load, until
from tests.e2e.tritop_process import run
from tests.running_triton import LoopThread, RunningTriton, TritonFactory
from tritop.demo.repository import write_repository
from tritop.endpoint import Endpoint, Tls
from tritop.errors import AccessDenied, NotTriton, ReadError, Stopping, Unreachable
from tritop.model import ControlMode, ModelConfig, Scheduling
from tritop.protocol import service_pb2
from tritop.reading import ApiReading, IndexEntry, VersionStatistics
from tritop.runtimes.local import LocalServer

pytestmark = pytest.mark.triton


def read_once(endpoint: Endpoint) -> ApiReading:
    """One reading over a connection of its own."""

    async def scenario() -> ApiReading:
        api = TritonApi(endpoint)
        try:
            return await api.read()
        finally:
            await api.aclose()

    return asyncio.run(scenario())


def row(reading: ApiReading, name: str, version: str = "1") -> VersionStatistics:
    assert reading.statistics is not None
    return next(row for row in reading.statistics if (row.name, row.version) == (name, version))


def test_a_server_with_the_demo(triton_server: RunningTriton) -> None:
    reading = read_once(triton_server.endpoint)
    assert reading.part_faults == ()
    assert (reading.live, reading.server_name) == (True, "triton")
    assert reading.ready is False, "a failed first load makes a server not ready until it loads"
    assert "statistics" in reading.extensions
    assert reading.control_mode is ControlMode.EXPLICIT
    assert reading.index is not None
    states = {(entry.name, entry.version): entry.state for entry in reading.index}
    assert states["matrix", "1"] == states["matrix", "2"] == "READY"
    (broken,) = (entry for entry in reading.index if entry.name == "broken")
    assert broken.state == "UNAVAILABLE"
    assert broken.reason not in ("", "unloaded")
    loaded = {key for key, state in states.items() if state == "READY"}
    assert set(reading.configs) == loaded == {(row.name, row.version) for row in reading.statistics or ()}


def test_configurations_say_what_triton_says(triton_server: RunningTriton) -> None:
    """The tensors are made of the configuration; Triton's own metadata must agree."""
    reading = read_once(triton_server.endpoint)
    pipeline = reading.configs["pipeline", "1"]
    assert (pipeline.scheduling, pipeline.ensemble_steps) == (Scheduling.ENSEMBLE, ("tiny", "pair"))
    assert reading.configs["pair", "1"].instances == 2
    assert (reading.configs["matrix", "1"].max_batch_size, reading.configs["matrix", "1"].version_policy) == (32, "all")

    async def metadata(name: str, version: str) -> service_pb2.ModelMetadataResponse:
        request = service_pb2.ModelMetadataRequest(name=name, version=version)
        return await call(triton_server.endpoint, "ModelMetadata", request)

    for (name, version), config in reading.configs.items():
        truth = asyncio.run(metadata(name, version))
        for ours, theirs in ((config.inputs, truth.inputs), (config.outputs, truth.outputs)):
            assert [(t.name, t.datatype, t.shape) for t in ours] == [
                (t.name, t.datatype, tuple(t.shape)) for t in theirs
            ]


def test_counters_count_what_was_sent(triton_server: RunningTriton) -> None:
    endpoint = triton_server.endpoint

    async def scenario() -> tuple[ApiReading, ApiReading]:
        api = TritonApi(endpoint)
        before = await api.read()
        await infer_tiny(endpoint, times=5, rows=3)
        after = await api.read()
        await api.aclose()
        return before, after

    before, after = asyncio.run(scenario())
    old, new = row(before, "tiny"), row(after, "tiny")
    assert new.success.count - old.success.count == 5
    assert new.inference_count - old.inference_count == 15
    executions = {batch.size: batch.count for batch in new.batches}
    assert executions[3] - {batch.size: batch.count for batch in old.batches}.get(3, 0) == 5
    assert new.compute_infer.ns > old.compute_infer.ns
    assert row(after, "pair") is row(before, "pair")
    assert after.mono > before.mono


def loaded_tiny(make: TritonFactory, *arguments: str) -> RunningTriton:
    running = make(*arguments, load=False)
    asyncio.run(load(running.endpoint, "tiny"))
    return running


def test_edits_on_the_running_server_are_seen(make_triton_server: TritonFactory) -> None:
    """A full reload at the next read, an in-place update in rotation."""
    endpoint = loaded_tiny(make_triton_server).endpoint
    now = [0.0]

    async def scenario() -> None:
        api = TritonApi(endpoint, monotonic=lambda: now[0])
        key = ("tiny", "1")
        await infer_tiny(endpoint, times=3)
        first = await api.read()
        assert first.configs[key].scheduling is Scheduling.NONE

        batching = await config_of(endpoint, "tiny")
        batching.dynamic_batching.max_queue_delay_microseconds = 1500
        await load(endpoint, "tiny", batching)
        reloaded = await api.read()
        assert row(reloaded, "tiny").success.count == 0
        assert (reloaded.configs[key].scheduling, reloaded.configs[key].max_queue_delay_us) == (
            Scheduling.DYNAMIC_BATCHING,
            1500,
        )
        assert first.configs[key].max_queue_delay_us == 0

        doubled = await config_of(endpoint, "tiny")
        doubled.instance_group[0].count = 2
        await load(endpoint, "tiny", doubled)
        now[0] = 20.0
        assert (await api.read()).configs[key].instances == 2

        await call(endpoint, "RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name="tiny"))

        async def is_unloaded() -> bool:
            unloaded = await api.read()
            assert unloaded.index is not None
            return unloaded.configs == {} and IndexEntry("tiny", "1", "UNAVAILABLE", "unloaded") in unloaded.index

        await until(is_unloaded)
        await api.aclose()

    asyncio.run(scenario())


def test_a_model_made_of_overrides_is_read_though_no_index_lists_it(make_triton_server: TritonFactory) -> None:
    running = loaded_tiny(make_triton_server)

    async def upload() -> None:
        config = await config_of(running.endpoint, "tiny")
        config.name = "from_overrides"
        code = (running.repository / "tiny" / "1" / "model.py").read_bytes()
        await load(running.endpoint, "from_overrides", config, {"1/model.py": code})

    asyncio.run(upload())
    reading = read_once(running.endpoint)
    assert reading.index is not None
    assert "from_overrides" not in {entry.name for entry in reading.index}
    assert row(reading, "from_overrides").success.count == 0
    assert reading.configs["from_overrides", "1"].max_batch_size == 64


def test_a_server_that_polls_says_so(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    write_repository(tmp_path / "models")
    (tmp_path / "models" / "tiny").rename(tmp_path / "tiny")
    for mode in ("none", "poll"):
        folder = tmp_path / mode
        folder.mkdir()
        (folder / "tiny").symlink_to(tmp_path / "tiny")
        running = make_triton_server(f"--model-control-mode={mode}", repository=folder)
        reading = read_once(running.endpoint)
        assert reading.control_mode is ControlMode(mode), "by its command line: the answers are the same"
        assert set(reading.configs) == {("tiny", "1")}


def test_the_other_ports_of_triton_are_recognised(triton_server: RunningTriton) -> None:
    endpoint = triton_server.endpoint
    metrics_port = int(endpoint.metrics_url.rsplit(":", 1)[1].split("/")[0])
    for port, told in ((endpoint.http_port, "Triton's HTTP endpoint"), (metrics_port, "Triton's metrics endpoint")):
        with pytest.raises(NotTriton, match=told):
            read_once(replace(endpoint, grpc_port=port))
    with pytest.raises(AccessDenied, match="does not use TLS"):
        read_once(replace(endpoint, tls=Tls()))


def test_restricted_parts_open_with_their_header(make_triton_server: TritonFactory) -> None:
    running = make_triton_server(
        "--grpc-restricted-protocol=statistics,model-repository:admin-key=opensesame",
        "--grpc-restricted-protocol=model-config:config-key=please",
        load=False,
    )
    endpoint = running.endpoint
    header = ("triton-grpc-protocol-admin-key", "opensesame")
    asyncio.run(load(replace(endpoint, headers=(header,)), "tiny"))

    outsider = read_once(endpoint)
    assert (outsider.live, outsider.index, outsider.statistics) == (True, None, None)
    assert outsider.control_mode is ControlMode.UNKNOWN
    assert outsider.version != ""
    assert len(outsider.part_faults) == 2
    for fault in outsider.part_faults:
        assert fault.title == AccessDenied.title
        assert "triton-grpc-protocol-admin-key" in fault.sentence
    assert len(read_once(replace(endpoint, headers=((header[0], "wrong"),))).part_faults) == 2

    admin = read_once(replace(endpoint, headers=(header,)))
    assert row(admin, "tiny").version == "1"
    assert admin.control_mode is ControlMode.EXPLICIT
    (fault,) = admin.part_faults
    assert "triton-grpc-protocol-config-key" in fault.sentence

    both = read_once(replace(endpoint, headers=(header, ("triton-grpc-protocol-config-key", "please"))))
    assert both.part_faults == ()
    assert isinstance(both.configs["tiny", "1"], ModelConfig)


def test_a_server_that_is_told_to_stop(make_triton_server: TritonFactory) -> None:
    running = loaded_tiny(make_triton_server)
    seen: set[type[ReadError]] = set()

    async def scenario() -> None:
        api = TritonApi(running.endpoint)
        await api.read()
        os.kill(running.pid, signal.SIGTERM)
        async with asyncio.timeout(30.0):
            while Unreachable not in seen:
                try:
                    await api.read()
                except ReadError as error:
                    seen.add(type(error))
        await api.aclose()

    asyncio.run(scenario())
    assert seen <= {Stopping, LostConnection, Unreachable}


class Certificates:
    """Files of an authority, a server named `triton.example`, a client, and a stranger."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.stranger_ca = str(folder / "stranger_ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        stranger.cert_pem.write_to_path(self.stranger_ca)
        self.server = self._issue(authority, folder, "triton.example")
        self.client = self._issue(authority, folder, "client.example")
        self.stranger = self._issue(stranger, folder, "stranger.example")

    @staticmethod
    def _issue(authority: trustme.CA, folder: Path, name: str) -> tuple[str, str]:
        issued = authority.issue_cert(name)
        certificate, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key


StartTls = Callable[..., Endpoint]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def start_tls(triton_loop: LoopThread, tmp_path: Path, certificates: Certificates) -> Iterator[StartTls]:
    """Start servers whose gRPC wants TLS; each is up when `first_reading` says so, and killed at the end."""
    servers: list[LocalServer] = []
    (tmp_path / "empty").mkdir()

    def start(*arguments: str) -> Endpoint:
        certificate, key = certificates.server
        server = LocalServer(
            tmp_path / "empty",
            arguments=(*arguments, f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"),
            log_path=tmp_path / "tls.log",
        )
        servers.append(server)
        triton_loop.run(server.start())
        return server.endpoint

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


def first_read(endpoint: Endpoint) -> ApiReading:
    async def scenario() -> ApiReading:
        api = TritonApi(endpoint)
        try:
            return await first_reading(api)
        finally:
            await api.aclose()

    return asyncio.run(scenario())


def test_tls(start_tls: StartTls, certificates: Certificates) -> None:
    plain = start_tls("--grpc-use-ssl=true")
    right = Tls(certificates.ca, server_name="triton.example")
    assert first_read(replace(plain, tls=right)).live
    for tls, told in (
        (None, "uses TLS"),
        (Tls(certificates.ca), "is for another name"),
        (Tls(certificates.stranger_ca, server_name="triton.example"), "not trusted"),
        (Tls(server_name="triton.example"), "not trusted"),
    ):
        with pytest.raises(AccessDenied, match=told):
            read_once(replace(plain, tls=tls))


def test_client_certificates(start_tls: StartTls, certificates: Certificates, tmp_path: Path) -> None:
    plain = start_tls("--grpc-use-ssl-mutual=true", f"--grpc-root-cert={certificates.ca}")
    right = Tls(certificates.ca, *certificates.client, server_name="triton.example")
    assert first_read(replace(plain, tls=right)).live
    for tls, told in (
        (Tls(certificates.ca, server_name="triton.example"), "wants a client certificate"),
        (Tls(certificates.ca, *certificates.stranger, server_name="triton.example"), "does not accept the client"),
        (None, "uses TLS"),
    ):
        with pytest.raises(AccessDenied, match=told):
            read_once(replace(plain, tls=tls))

    line = ("--once", "--no-metrics", "--tls-ca", certificates.ca, "--tls-server-name", "triton.example")
    certificate, key = certificates.client
    let_in = run(tmp_path, *line, "--tls-cert", certificate, "--tls-key", key, plain.grpc_address)
    assert (let_in.returncode, let_in.stderr) == (0, "")
    assert "READY" in let_in.stdout
    refused = run(tmp_path, *line, plain.grpc_address)
    assert refused.returncode == 3
    assert "wants a client certificate" in refused.stderr
