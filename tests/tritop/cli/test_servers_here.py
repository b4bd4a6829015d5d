"""The servers of a command line without a TARGET."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritop.cli.discovering import ContainersHere
from tritop.cli.serving import find_servers
from tritop.config import load
from tritop.endpoint import Endpoint


@pytest.mark.parametrize(("environ", "read_only"), [({"TRITOP_READONLY": "1"}, True), ({}, False)])
def test_a_container_that_is_found_is_as_read_only_as_everything_else(
    environ: dict[str, str], read_only: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ContainersHere((Endpoint("prod", "127.0.0.1", grpc_port=1),), answered=True)
    monkeypatch.setattr("tritop.cli.discovering.containers_here", lambda: found)
    servers = find_servers(load({}, {"HOME": str(tmp_path), **environ}, tmp_path), ()).endpoints
    assert [server.read_only for server in servers if server.name == "prod"] == [read_only]
