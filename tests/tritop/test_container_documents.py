"""An engine's documents as tritop's own values; recorded from a real engine where nothing else is said."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tritop.container_documents import container_sight, looks_like_triton, usage_of
from tritop.derive.containers import memory_used

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "recordings/engine/triton_cgroup_v1.json").read_text()
)
ME = "ann@box"


def shown(which: str = "running", **labels: str) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(RECORDED[which])
    document["Config"]["Labels"].update(labels)
    return document


def test_a_running_container() -> None:
    sight = container_sight(shown(), ME)
    container = sight.container
    assert (container.name, container.status, container.runs) == ("servers-live-rec", "running", True)
    assert len(container.id) == 64
    assert container.image.startswith("tritop-test/triton:")
    assert (container.managed, container.ours, container.owner, sight.profile) == (False, False, "", "")
    assert container.started_at is not None
    assert container.created_at is not None
    assert 0 < container.started_at - container.created_at < 1
    assert (container.finished_at, container.exit_code) == (None, None)
    assert container.ports == ((8000, "127.0.0.1:32770"), (8001, "127.0.0.1:32769"), (8002, "127.0.0.1:32768"))
    assert container.networks == ("bridge",)
    assert container.memory_limit_bytes == 512 * 1024 * 1024
    assert container.gpus == ""
    assert (sight.host, sight.grpc_port, sight.http_port) == ("127.0.0.1", 32769, 32770)
    assert sight.metrics_url == "http://127.0.0.1:32768/metrics"
    assert looks_like_triton(RECORDED["listed"][0])


def test_one_that_has_ended_has_no_address_and_its_exit_code() -> None:
    sight = container_sight(shown("exited"), ME)
    container = sight.container
    assert (container.status, container.runs, container.exit_code) == ("exited", False, 143)
    assert container.started_at is None
    assert container.finished_at is not None
    assert (sight.host, sight.metrics_url) == ("", "")


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([{"Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}], "all"),
        ([{"Count": 2, "DeviceIDs": None}], "2"),
        ([{"Count": 0, "DeviceIDs": ["GPU-6f2c", "1"]}], "GPU-6f2c,1"),
        (None, ""),
    ],
)
def test_gpus_that_were_asked_for(requests: object, expected: str) -> None:
    document = shown()
    document["HostConfig"]["DeviceRequests"] = requests
    assert container_sight(document, ME).container.gpus == expected


@pytest.mark.parametrize(("owner", "ours"), [(ME, True), ("bob@box", False)])
def test_only_what_this_operator_made_is_ours(owner: str, ours: bool) -> None:
    made = {"io.github.tritop.managed": "1", "io.github.tritop.owner": owner, "io.github.tritop.profile": "prod"}
    sight = container_sight(shown(**made), ME)
    container = sight.container
    assert (container.managed, container.ours, container.owner, sight.profile) == (True, ours, owner, "prod")


def test_ports_that_are_not_published_are_explained() -> None:
    document = shown()
    document["NetworkSettings"]["Ports"] = {"8001/tcp": None}
    sight = container_sight(document, ME)
    assert (sight.host, sight.container.ports) == ("", ())
    assert "not published" in sight.container.explanation


def test_a_container_in_the_network_of_the_host_is_where_its_flags_say() -> None:
    document = shown()
    document["HostConfig"]["NetworkMode"] = "host"
    document["NetworkSettings"]["Ports"] = {}
    document["Args"] = ["--grpc-port=9001", "--metrics-port", "9002"]
    sight = container_sight(document, ME)
    assert (sight.host, sight.grpc_port, sight.metrics_url) == ("127.0.0.1", 9001, "http://127.0.0.1:9002/metrics")


def test_a_sample_of_cgroup_v1() -> None:
    usage = usage_of(RECORDED["stats"][1], 5.0)
    assert usage is not None
    assert (usage.mono, usage.cpu_ns, usage.processes) == (5.0, 932742612, 14)
    assert (usage.memory_bytes, usage.inactive_file_bytes) == (63840256, 5103616)
    assert memory_used(usage) == 63840256 - 5103616
    assert (usage.received_bytes, usage.sent_bytes) == (516, 0)


def test_a_sample_of_cgroup_v2() -> None:
    """By moby's source: no `total_` names, `cache` is `file`, and a `limit` as before."""
    document = copy.deepcopy(RECORDED["stats"][1])
    v2 = {"anon": 53559296, "file": 7442432, "inactive_file": 5103616, "active_file": 241664}
    document["memory_stats"] = {"usage": 63840256, "stats": v2, "limit": 536870912}
    usage = usage_of(document, 5.0)
    assert usage is not None
    assert memory_used(usage) == 63840256 - 5103616


def test_the_network_of_the_host_is_not_counted() -> None:
    document = copy.deepcopy(RECORDED["stats"][1])
    del document["networks"]
    usage = usage_of(document, 5.0)
    assert usage is not None
    assert (usage.received_bytes, usage.sent_bytes) == (None, None)


def test_two_networks_count_together() -> None:
    document = copy.deepcopy(RECORDED["stats"][1])
    document["networks"]["eth1"] = {"rx_bytes": 1000, "tx_bytes": 20}
    usage = usage_of(document, 5.0)
    assert usage is not None
    assert (usage.received_bytes, usage.sent_bytes) == (1516, 20)


def test_the_empty_sample_of_a_container_that_has_ended_says_nothing() -> None:
    assert usage_of(RECORDED["stats_exited"], 5.0) is None
