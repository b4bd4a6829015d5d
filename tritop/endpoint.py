"""Where a server is and how to be let in: a TARGET of the command line, parsed and frozen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS for gRPC; Triton offers it on no other port. Paths are PEM files."""

    ca_path: str = ""
    """"" uses the system's authorities."""
    certificate_path: str = ""
    key_path: str = ""
    server_name: str = ""
    """Name in the certificate where it differs from the address."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server's addresses and credentials.

    Header values are secrets: they are resolved from the environment when the endpoint is made,
    and never shown, recorded or logged (`repr` leaves them out).
    """

    name: str
    host: str
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_url: str = ""
    """Such as `http://127.0.0.1:8002/metrics`; "" where metrics are not to be read."""
    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = ()
    read_only: bool = False
    repositories: tuple[str, ...] = ()
    """Its model repositories as far as they are folders that are readable from here."""

    @property
    def grpc_address(self) -> str:
        """host:port, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.grpc_port}"

    @property
    def place(self) -> str:
        """`place_of` its address."""
        return place_of(self.grpc_address)

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, {self.grpc_address!r}, metrics={self.metrics_url!r})"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this host's own, told without asking a name server."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def place_of(address: str) -> str:
    """host:port in the one spelling by which the ledger knows a server, however it was asked for."""
    host, _, port = address.lower().rpartition(":")
    return f"127.0.0.1:{port}" if host in {"localhost", "[::1]"} else f"{host}:{port}"
