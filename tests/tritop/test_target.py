"""TARGET: every spelling that is understood, and what is said about the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.errors import UsageError
from tritop.target import Target, parse_target


@pytest.mark.parametrize(
    ("text", "host", "grpc_port", "http_port", "metrics_url", "tls"),
    [
        ("gpu-box", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("gpu_box.lan.", "gpu_box.lan.", 8001, 8000, "http://gpu_box.lan.:8002/metrics", False),
        ("gpu-box:8001", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("gpu-box:9001", "gpu-box", 9001, 9000, "http://gpu-box:9002/metrics", False),
        ("gpu-box:8000", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("gpu-box:8002", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("grpc://gpu-box:8000", "gpu-box", 8000, 7999, "http://gpu-box:8001/metrics", False),
        ("grpc://gpu-box", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("GRPCS://gpu-box:443/", "gpu-box", 443, 442, "http://gpu-box:444/metrics", True),
        ("http://gpu-box:8002/metrics", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("http://gpu-box:9302/metrics", "gpu-box", 9301, 9300, "http://gpu-box:9302/metrics", False),
        ("http://gpu-box/metrics", "gpu-box", 8001, 8000, "http://gpu-box/metrics", False),
        ("http://gpu-box:8000", "gpu-box", 8001, 8000, "http://gpu-box:8002/metrics", False),
        ("http://gpu-box:9000/v2", "gpu-box", 9001, 9000, "http://gpu-box:9002/metrics", False),
        ("[::1]", "::1", 8001, 8000, "http://[::1]:8002/metrics", False),
        ("[2001:db8::7]:9001", "2001:db8::7", 9001, 9000, "http://[2001:db8::7]:9002/metrics", False),
        ("http://[::1]:8002/metrics", "::1", 8001, 8000, "http://[::1]:8002/metrics", False),
        ("gpu-box:9001?metrics=8002", "gpu-box", 9001, 9000, "http://gpu-box:8002/metrics", False),
        ("gpu-box?metrics=off", "gpu-box", 8001, 8000, "", False),
        ("grpcs://gpu-box?metrics=https://m/metrics", "gpu-box", 8001, 8000, "https://m/metrics", True),
        ("gpu-box?metrics=http://m:1", "gpu-box", 8001, 8000, "http://m:1/metrics", False),
        ("gpu-box:65535", "gpu-box", 65535, 65534, "", False),
    ],
)
def test_every_spelling(text: str, host: str, grpc_port: int, http_port: int, metrics_url: str, tls: bool) -> None:
    target = parse_target(text)
    assert (target.host, target.grpc_port, target.http_port, target.metrics_url, target.tls) == (
        host,
        grpc_port,
        http_port,
        metrics_url,
        tls,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("gpu-box:8000", "HTTP port"), ("gpu-box:8002", "metrics port"), ("http://gpu-box:9000/v2", "9001")],
)
def test_what_was_assumed_is_said(text: str, said: str) -> None:
    assert said in parse_target(text).note


@pytest.mark.parametrize("text", ["gpu-box", "gpu-box:9001", "grpc://gpu-box:8000", "http://gpu-box:8002/metrics"])
def test_nothing_is_said_where_nothing_was_assumed(text: str) -> None:
    assert parse_target(text).note == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an address"),
        ("gpu box", "no host name"),
        ("gpu-box:", "no port"),
        ("gpu-box:0", "no port"),
        ("gpu-box:65536", "no port"),
        ("gpu-box:٨٠٠١", "no port"),
        ("gpu-box:grpc", "no port"),
        ("::1", "brackets"),
        ("[::1", "after [ come"),
        ("[::1]8001", "after [ come"),
        ("[gpu-box]:8001", "no IPv6 address"),
        ("https://gpu-box:8002/metrics", "none of grpc://"),
        ("unix:///triton.sock", "not an address"),
        ("ftp://gpu-box", "none of grpc://"),
        ("grpc://gpu-box/models", "has no path"),
        ("http://gpu-box:9002", "ending in /metrics"),
        ("http://gpu-box:9002/stats", "neither /metrics nor /v2"),
        ("gpu-box?port=1", "after ? stands metrics="),
        ("gpu-box?metrics=", "after ? stands metrics="),
        ("gpu-box?metrics=ftp://m", "no place for metrics"),
        ("gpu-box\x1b[31m", "not an address"),
        ("-gpu", "no host name"),
    ],
)
def test_what_is_refused_is_named_with_an_example(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(text)
    assert said in refused.value.sentence or said in refused.value.advice
    assert refused.value.advice
    assert "\x1b" not in str(refused.value)


def test_a_password_in_a_target_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        parse_target("http://admin:hunter2@gpu-box:8002/metrics")
    assert "hunter2" not in str(refused.value)
    assert "--header" in refused.value.advice


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        target = parse_target(text)
    except UsageError:
        return
    assert isinstance(target, Target)
    assert target.host
    assert 1 <= target.grpc_port <= 65535


@given(
    st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,4})?", fullmatch=True),
    st.integers(1, 65535),
    st.sampled_from(["grpc", "grpcs"]),
)
def test_an_explicit_address_is_taken_at_its_word(host: str, port: int, scheme: str) -> None:
    target = parse_target(f"{scheme}://{host}:{port}")
    assert (target.host, target.grpc_port, target.tls) == (host, port, scheme == "grpcs")
