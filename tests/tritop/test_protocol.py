"""Channels and headers: what gRPC cannot survive or explain is refused before it sees it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tritop.endpoint import Endpoint, Tls
from tritop.errors import UsageError
from tritop.protocol import open_channel, request_metadata


def opened_and_closed(tls: Tls) -> None:
    async def scenario() -> None:
        await open_channel(Endpoint("x", "127.0.0.1", 1, tls=tls)).close()

    asyncio.run(scenario())


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    """Files: an authority, two client certificates with their keys, and rubbish."""
    ca = trustme.CA()
    paths = {name: str(tmp_path / name) for name in ("ca", "certificate", "key", "other_key", "rubbish")}
    ca.cert_pem.write_to_path(paths["ca"])
    client = ca.issue_cert("client@example.org")
    client.cert_chain_pems[0].write_to_path(paths["certificate"])
    client.private_key_pem.write_to_path(paths["key"])
    ca.issue_cert("other@example.org").private_key_pem.write_to_path(paths["other_key"])
    Path(paths["rubbish"]).write_bytes(b"\x00rubbish")
    return paths


def test_certificates_that_belong_together_are_taken(pem: dict[str, str]) -> None:
    opened_and_closed(Tls(pem["ca"], pem["certificate"], pem["key"], server_name="triton"))
    opened_and_closed(Tls())


@pytest.mark.parametrize(
    ("ca", "certificate", "key", "told"),
    [
        ("ca", "certificate", "", "without its key"),
        ("ca", "", "key", "without its certificate"),
        ("ca", "certificate", "other_key", "cannot be used together"),
        ("ca", "rubbish", "key", "cannot be used together"),
        ("rubbish", "", "", "holds no certificate"),
        ("missing", "", "", "No such file"),
    ],
)
def test_certificates_that_would_end_the_process(
    pem: dict[str, str], ca: str, certificate: str, key: str, told: str
) -> None:
    """With gRPC 1.85 the process aborts on a certificate without its key."""
    paths = {"": "", "missing": "/nowhere/ca.pem", **pem}
    with pytest.raises(UsageError, match=told):
        opened_and_closed(Tls(paths[ca], paths[certificate], paths[key]))


def test_headers_in_the_form_that_grpc_takes() -> None:
    endpoint = Endpoint("x", "h", headers=(("Authorization", "Bearer a b"), ("trace-bin", "é")))
    assert request_metadata(endpoint) == (("authorization", "Bearer a b"), ("trace-bin", "é".encode()))


@pytest.mark.parametrize("header", [("a:b", "v"), ("grün", "v"), ("a", "secret\r\nx: y"), ("a", "secr\x00et")])
def test_headers_that_grpc_would_refuse_at_every_call(header: tuple[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        request_metadata(Endpoint("x", "h", headers=(header,)))
    assert "secr" not in str(raised.value)
    assert str(raised.value).isprintable()


def test_importing_leaves_the_environment_of_child_processes_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    program = "import os, tritop.protocol; print(os.environ.get('GRPC_VERBOSITY'))"
    for asked_for in (None, "ERROR"):
        env = environment if asked_for is None else {**environment, "GRPC_VERBOSITY": asked_for}
        output = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert output.stdout.strip() == str(asked_for)
