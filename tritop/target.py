"""TARGET: how the command line and the config file say where a server is.

```
gpu-box                          gRPC on 8001, metrics on 8002
gpu-box:9001                     gRPC on 9001, metrics on the port after it
gpu-box:8000                     the HTTP port of a server on its usual ports: gRPC on 8001, metrics on 8002
grpc://gpu-box:8001              the same as gpu-box:8001, and 8000 would be taken at its word
grpcs://gpu-box:8001             gRPC over TLS
http://gpu-box:8002/metrics      the metrics URL; gRPC is on the port before it
[2001:db8::7]:8001               IPv6
gpu-box:8001?metrics=9002        metrics on another port, at another URL, or `off`
```

The ports are Triton's defaults: 8000 HTTP, 8001 gRPC, 8002 metrics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tritop.errors import UsageError

HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
"""Triton's defaults for --http-port, --grpc-port and --metrics-port."""

EXAMPLES = "Write it as gpu-box, gpu-box:8001, grpcs://gpu-box:8001, http://gpu-box:8002/metrics or [::1]:8001."

_SHAPE = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<authority>[^/?#]*)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")
_SCHEMES = ("grpc", "grpcs", "http")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one server is, as far as a TARGET says it."""

    host: str
    """Name or address; an IPv6 address has no brackets."""
    grpc_port: int
    http_port: int
    metrics_url: str
    """"" where metrics are not to be read."""
    tls: bool = False
    note: str = ""
    """What was assumed, in a sentence, where that is not what the text says."""

    @property
    def name(self) -> str:
        """Short name: the host, with the gRPC port where it is not the usual one."""
        return self.host if self.grpc_port == GRPC_PORT else f"{_in_url(self.host)}:{self.grpc_port}"


def parse_target(text: str) -> Target:
    """Read one TARGET, by the grammar at the top of this module.

    Raises:
        UsageError: the text is no TARGET; the sentence names the text and what is wrong with it.
    """
    if "@" in text:
        raise UsageError(
            "a TARGET with user name or password in it is refused, because command lines are visible to others.",
            "Give credentials as a header: --header authorization=env:VARIABLE",
        )
    match = _SHAPE.fullmatch(text)
    if match is None or not match["authority"] or not text.isprintable():
        raise _refused(text, "it is not an address")
    scheme = (match["scheme"] or "").lower()
    if scheme and scheme not in _SCHEMES:
        advice = "Metrics behind TLS: gpu-box:8001?metrics=https://gpu-box/metrics" if scheme == "https" else EXAMPLES
        raise _refused(text, f"{scheme}:// is none of grpc://, grpcs://, http://", advice)
    host, port = _split_authority(text, match["authority"])
    path = (match["path"] or "").rstrip("/")
    read = _read_http if scheme == "http" else _read_grpc
    target = read(text, scheme, host, port, path)
    return _apply_query(text, target, match["query"])


def metrics_url_from(text: str, host: str) -> str:
    """Where metrics are, out of a port, a URL or `off`.

    Raises:
        UsageError: it is none of these.
    """
    if text == "off":
        return ""
    if text.isdecimal():
        return f"http://{_in_url(host)}:{_port(text, text)}/metrics"
    match = _SHAPE.fullmatch(text)
    if match is None or match["scheme"] not in ("http", "https") or not match["authority"] or not text.isprintable():
        raise UsageError(
            f"{text!r} is no place for metrics: it is neither a port, nor a URL, nor off.",
            "Write it as 8002, http://gpu-box:8002/metrics or off.",
        )
    _split_authority(text, match["authority"])
    return text if match["path"] else f"{text}/metrics"


def _refused(text: str, reason: str, advice: str = EXAMPLES) -> UsageError:
    return UsageError(f"cannot read the target {text!r}: {reason}.", advice)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and 1 <= int(digits) <= 65535):
        raise _refused(text, f"{digits!r} is no port between 1 and 65535")
    return int(digits)


def _split_authority(text: str, authority: str) -> tuple[str, int | None]:
    """Host without brackets, and port where there is one."""
    if authority.startswith("["):
        import ipaddress

        host, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _refused(text, "after [ come an IPv6 address, ] and perhaps :PORT")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise _refused(text, f"{host!r} is no IPv6 address") from None
        return host, _port(text, rest[1:]) if rest else None
    if authority.count(":") > 1:
        raise _refused(text, "an IPv6 address needs brackets", f"Write it as [{authority}] or [{authority}]:8001.")
    host, colon, digits = authority.partition(":")
    if not _HOST_NAME.fullmatch(host):
        raise _refused(text, f"{host!r} is no host name")
    return host, _port(text, digits) if colon else None


def default_target(host: str, grpc_port: int, *, tls: bool = False) -> Target:
    """A server whose HTTP port is the one before gRPC's and its metrics port the one after, as Triton's own are."""
    metrics_url = f"http://{_in_url(host)}:{grpc_port + 1}/metrics" if grpc_port < 65535 else ""
    return Target(host, grpc_port, max(1, grpc_port - 1), metrics_url, tls=tls)


def _usual(host: str, note: str = "") -> Target:
    return Target(host, GRPC_PORT, HTTP_PORT, f"http://{_in_url(host)}:{METRICS_PORT}/metrics", note=note)


def _read_grpc(text: str, scheme: str, host: str, port: int | None, path: str) -> Target:
    if path:
        raise _refused(text, f"a gRPC address has no path, and this one has {path!r}")
    if not scheme and port in (HTTP_PORT, METRICS_PORT):
        which = "HTTP" if port == HTTP_PORT else "metrics"
        return _usual(
            host, f"{port} is Triton's {which} port: reading gRPC on {host}:{GRPC_PORT}, metrics on {METRICS_PORT}."
        )
    return default_target(host, port or GRPC_PORT, tls=scheme == "grpcs")


def _read_http(text: str, scheme: str, host: str, port: int | None, path: str) -> Target:
    if path == "/metrics":
        url = f"http://{_in_url(host)}{'' if port is None else f':{port}'}/metrics"
        if port is None or port < 3:
            return Target(host, GRPC_PORT, HTTP_PORT, url, note=f"reading gRPC on {host}:{GRPC_PORT}.")
        return Target(host, port - 1, port - 2, url)
    if path and not path.startswith("/v2"):
        raise _refused(text, f"{path!r} is neither /metrics nor /v2")
    if port in (HTTP_PORT, METRICS_PORT) and not path:
        return _read_grpc(text, "", host, port, path)
    if port is None or port > 65533 or not path:
        raise _refused(text, "an http:// target is the URL of the metrics, ending in /metrics")
    note = f"{port} is taken as the HTTP port: reading gRPC on {host}:{port + 1}, metrics on {port + 2}."
    return Target(host, port + 1, port, f"http://{_in_url(host)}:{port + 2}/metrics", note=note)


def _apply_query(text: str, target: Target, query: str | None) -> Target:
    if query is None:
        return target
    key, equals, value = query.partition("=")
    if key != "metrics" or not equals or not value:
        raise _refused(text, f"after ? stands metrics=PORT, metrics=URL or metrics=off, not {query!r}")
    url = metrics_url_from(value, target.host)
    return Target(target.host, target.grpc_port, target.http_port, url, target.tls, target.note)
